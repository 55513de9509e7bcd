"""What a policy remembers goes out with each answer and comes back with the next request; nobody else's is read."""

import base64
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from tests.unit.handler.artifacts import CARTPOLE, TWO_ACTIONS, manifest

from belay_api.artifact import ArtifactInvalid, RecurrentState
from belay_handler.acting import Actor
from belay_handler.requests import Reader
from belay_handler.server import Answer, Ask, Server
from belay_handler.states import ForeignState, States

SHAPE = (2, 1, 3)
STATE = RecurrentState(shape=list(SHAPE))
DIGEST, OTHER = "sha256:" + "a1" * 32, "sha256:" + "b2" * 32
NOW = datetime(2026, 5, 4, tzinfo=UTC)
ZERO = [0.0, 0.0, 0.0, 0.0]


def summing(batch: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A policy that adds up the first numbers it has seen, and takes action 1 where their sum is above 10."""
    after = states + batch[:, :1, None, None]
    return np.stack([np.full(len(batch), 10.0), after[:, 0, 0, 0]], axis=1), after


def server(network: Any = summing, *, digest: str = DIGEST, state: RecurrentState | None = STATE) -> Server:
    actor = Actor(manifest(action=TWO_ACTIONS, state=state), network, np.random.default_rng(0))
    states = States(digest, state)
    reader = Reader(CARTPOLE, stochastic=actor.stochastic, states=states)
    how = {"receipt_key": None, "on_start": lambda _: None, "states": states}
    return Server(policy="p-1", namespace="a", actor=actor, reader=reader, **how)


def ask(one: Server, *items: dict[str, Any]) -> list[Answer]:
    """Ask for each by itself, in one batch."""
    return one.answer([Ask(orjson.dumps({"observation": ZERO} | item)) for item in items], NOW)


def body(answer: Answer) -> Any:
    return orjson.loads(answer.body)


def seen(number: float) -> dict[str, Any]:
    return {"observation": [number, 0, 0, 0]}


def test_a_memory_travels_with_its_episode_whoever_is_beside_it_in_the_batch() -> None:
    """Two episodes, decided in one batch and in another order each time; any pod of the version would do."""
    first, second = (body(one) for one in ask(server(), seen(4), seen(1)))
    assert (first["action"], second["action"]) == (0, 0)
    second, first = (
        body(one) for one in ask(server(), seen(1) | {"state": second["state"]}, seen(7) | {"state": first["state"]})
    )
    assert (first["action"], second["action"]) == (1, 0), "4 + 7 is above 10, and 1 + 1 is not"
    begun, first = (body(one) for one in ask(server(), seen(2), seen(-5) | {"state": first["state"]}))
    assert (begun["action"], first["action"]) == (0, 0)
    assert States(DIGEST, STATE).read(first["state"], "state")[0, 0, 0] == 6
    assert States(DIGEST, STATE).read(begun["state"], "state")[0, 0, 0] == 2, "without a state an episode begins"


def test_a_list_carries_a_state_for_each() -> None:
    items = [seen(number) for number in (1, 20)]
    (answer,) = server().answer([Ask(orjson.dumps(items))], NOW)
    again = [item | {"state": one["state"]} for item, one in zip(items, body(answer), strict=True)]
    (answer,) = server().answer([Ask(orjson.dumps([*again, seen(0) | {"state": "what"}]))], NOW)
    assert answer.status == 200
    assert [one.get("action") for one in body(answer)] == [0, 1, None]
    assert body(answer)[2]["error"]["field"] == "items[2].state"


def test_numbers_come_back_to_the_last_bit() -> None:
    states, drawn = States(DIGEST, STATE), np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    np.testing.assert_array_equal(states.read(states.write(drawn), "state"), drawn)


FINE = States(DIGEST, STATE).write(np.ones(SHAPE, np.float32))


def _holding(content: bytes) -> str:
    return f"{FINE.rpartition('.')[0]}.{base64.urlsafe_b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ("", "is no state of a policy"),
        ("nonsense", "is no state of a policy"),
        ("s9." + FINE[3:], "is no state of a policy"),
        (FINE + " ", "is no state of a policy"),
        (FINE[:-3], "is cut off or changed"),
        (_holding(bytes(20)), "has 20 bytes, wanted 24"),
        (_holding(b""), "has 0 bytes, wanted 24"),
        (_holding(bytes(1_000_000)), "has 1000000 bytes, wanted 24"),
        (_holding(np.array([1, 2, np.nan, 4, 5, 6], "<f4").tobytes()), "holds NaN or infinity"),
        (_holding(np.array([1, 2, np.inf, 4, 5, 6], "<f4").tobytes()), "holds NaN or infinity"),
        (7, "Input should be a valid string"),
        ({"h": [0]}, "Input should be a valid string"),
    ],
)
def test_what_is_no_state_is_refused_alone(sent: object, says: str) -> None:
    bad, good = ask(server(), {"state": sent}, {"state": FINE})
    error = body(bad)["error"]
    assert (bad.status, error["status"], error["field"], good.status) == (400, 400, "state", 200)
    assert says in error["message"]


@pytest.mark.parametrize("answering", [{"digest": OTHER}, {"digest": OTHER, "state": None}, {"state": None}])
def test_another_versions_memory_is_a_conflict_and_says_what_to_do(answering: dict[str, Any]) -> None:
    """Also where the version that answers remembers nothing at all: the episode has to begin anew, and know it."""
    memoryless = {"network": lambda batch: np.zeros((len(batch), 2))} if "state" in answering else {}
    one = server(**memoryless, **answering)
    conflict, good = ask(one, {"state": FINE}, {})
    error = body(conflict)["error"]
    assert (conflict.status, error["status"], error["field"], good.status) == (409, 409, "state", 200)
    assert "Ask again without state" in error["message"]
    assert ("state" in body(good)) == ("state" not in answering)
    with pytest.raises(ForeignState):
        States(OTHER, STATE).read(FINE, "state")


def test_a_list_of_conflicts_alone_is_one() -> None:
    items = [{"observation": ZERO, "state": FINE}] * 2
    (answer,) = server(digest=OTHER).answer([Ask(orjson.dumps(items))], NOW)
    assert (answer.status, [one["error"]["status"] for one in body(answer)]) == (409, [409, 409])


def test_a_refused_observation_does_not_shift_its_neighbours_memories() -> None:
    ten = States(DIGEST, STATE).write(np.full(SHAPE, 10, np.float32))
    bad, good = ask(server(), {"observation": [None, 0, 0, 0], "state": FINE}, seen(1) | {"state": ten})
    worse, better = server().answer(
        [
            Ask(b'{"observation": [NaN, 0, 0, 0], "state": "' + FINE.encode() + b'"}'),
            Ask(orjson.dumps(seen(1) | {"state": ten})),
        ],
        NOW,
    )
    assert (bad.status, worse.status) == (400, 400)
    for answer in (good, better):
        assert body(answer)["action"] == 1
        assert States(DIGEST, STATE).read(body(answer)["state"], "state")[0, 0, 0] == 11


def test_a_memory_that_is_no_number_is_the_policys_fault_and_is_not_handed_out() -> None:
    def breaking(batch: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after = np.where(batch[:, :1, None, None] > 5, np.inf, states)
        return np.zeros((len(batch), 2)), after

    bad, good = ask(server(breaking), seen(9), seen(1))
    assert (bad.status, good.status) == (500, 200)
    assert "state" not in body(bad)


def test_a_network_that_remembers_otherwise_than_its_manifest_is_not_served() -> None:
    short = Actor(
        manifest(state=STATE), lambda batch, states: (np.zeros((1, 2)), states[:, 0]), np.random.default_rng(0)
    )
    with pytest.raises(
        ArtifactInvalid, match=r"remembers shape \(1, 1, 3\) where the manifest promises \(1, 2, 1, 3\)"
    ):
        short.act_and_remember(np.zeros((1, 4), np.float32), np.zeros((1, *SHAPE), np.float32), [True])
