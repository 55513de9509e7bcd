"""The rollback bench's own reckoning: when a regression is proven, who answers, who does not, which tail is told."""

import asyncio
import random
from collections import Counter

import pytest
from figures import figures_of
from played import Reported
from proof import NoProof, proof
from stand_in import Gateway
from tests.api.dataplane import DataPlane
from trouble import Silence

from belay_api.rollout.spec import RLRolloutSpec

BEGIN = 1_700_000_000.0
SPEC = RLRolloutSpec.model_validate(
    {
        "policy": {"name": "worse"},
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "steps": [{"setWeight": 50}, {"analyze": {}}],
        "analysis": {
            "window": "10s",
            "grace": "2s",
            "metrics": [
                {
                    "name": "return",
                    "source": {"logbook": {"outcome": "return"}},
                    "compare": {"maxRegression": "10%"},
                }
            ],
        },
    }
)


def episodes(*, worse: float, sent_after: float = 0.1) -> list[Reported]:
    """Return ten a second of each side for 20 s, the candidate's with mean `worse` and stable's with 100."""
    rng = random.Random(7)
    return [
        Reported(side, BEGIN + n / 10, BEGIN + n / 10 + sent_after, rng.gauss(mean, 10))
        for n in range(200)
        for side, mean in (("worse", worse), ("good", 100.0))
    ]


def proven(reported: list[Reported], until: float = BEGIN + 60) -> float:
    return proof(reported, SPEC, stable="good", candidate="worse", since=BEGIN, until=until)


def test_the_proof_is_the_first_instant_that_suffices() -> None:
    told = episodes(worse=60)
    instant = proven(told)
    # An episode counts once its grace is over: the proof is such an instant, some seconds in.
    assert any(abs(e.began + 2 - instant) < 1e-6 for e in told)
    enough = [e for e in told if e.began + 2 <= instant]
    assert proven(enough) == instant
    with pytest.raises(NoProof):
        proven([e for e in enough if e.began + 2 < instant])


def test_there_is_no_proof_without_a_regression_nor_before_it() -> None:
    with pytest.raises(NoProof):
        proven(episodes(worse=100))
    told = episodes(worse=60)
    with pytest.raises(NoProof):
        proven(told, until=proven(told) - 0.01)


def test_returns_that_come_after_their_grace_prove_nothing() -> None:
    with pytest.raises(NoProof):
        proven(episodes(worse=60, sent_after=2.5))


def test_an_episode_stays_where_it_is_pinned_and_others_go_by_weight(tmp_path: object) -> None:
    gateway = Gateway(DataPlane(tmp_path, "bench", address="127.0.0.1"), {})  # type: ignore[arg-type]
    assert gateway.policy(None, random.Random(0)) is None
    gateway(route([("good", 3), ("worse", 1)], pins={"worse": "worse"}))
    rng = random.Random(0)
    drawn = Counter(gateway.policy(None, rng) for _ in range(4_000))
    assert 900 < drawn["worse"] < 1_100
    assert {gateway.policy("worse", rng) for _ in range(50)} == {"worse"}
    # Taken back: what was pinned there goes to stable at once, and nobody begins there.
    gateway(route([("good", 1), ("worse", 0)], pins={"worse": "good"}))
    assert {gateway.policy(pinned, rng) for pinned in (None, "worse") for _ in range(200)} == {"good"}
    gateway(route([("other", 1)], pins={}, name="other"))
    assert gateway.policy(None, rng) == "good"


def route(weights: list[tuple[str, int]], *, pins: dict[str, str], name: str = "canary") -> dict[str, object]:
    def rule(backends: list[tuple[str, int]], **match: object) -> dict[str, object]:
        return {"matches": [match], "backendRefs": [{"name": name, "weight": weight} for name, weight in backends]}

    pinned = [rule([(to, 1)], headers=[{"name": "x-belay-policy", "value": pin}]) for pin, to in pins.items()]
    return {"metadata": {"name": name}, "spec": {"rules": [rule(weights), *pinned]}}


@pytest.mark.asyncio
async def test_silence_takes_connections_and_says_nothing() -> None:
    silence = Silence()
    port = await silence.listen("127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.3)
    _, second = await asyncio.open_connection("127.0.0.1", port)
    assert (silence.taken, silence.most) == (2, 2)
    silence.let_go()
    assert await hung_up(reader)
    third, last = await asyncio.open_connection("127.0.0.1", port)
    assert await hung_up(third)
    assert silence.taken == 2
    silence.close()
    for end in (writer, second, last):
        end.close()


async def hung_up(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), 5) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(("runs", "longest"), [(35, 35), (100, 99), (200, 198)])
def test_the_tail_is_what_one_in_a_hundred_exceeds(runs: int, longest: int) -> None:
    took = [{"last": n, "decided": n, "accepted": 0.0, "drained": 0.0} for n in range(1, runs + 1)]
    found = figures_of(took)
    assert found["proof_to_last_request_s_p99"] == longest
    assert found["proof_to_last_request_s_p50"] == (runs + 1) / 2
    assert found["rollbacks"] == runs
