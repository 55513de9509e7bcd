"""A version that is the shadow of another answers mirrors: it starts no episode, proves nothing, and tells what it
decided under the request's id. The version that answers callers does all it ever does, and tells the same of itself."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from tests.unit.handler.artifacts import CARTPOLE, manifest, outputs
from tests.unit.handler.test_exporter import World
from tests.unit.handler.test_starts import wait_until
from tests.unit.handler.web import Request, Response, serving

from belay_api import receipts
from belay_api.artifact import RecurrentState
from belay_api.names import SEAL_HEADER
from belay_api.shadowing import ShadowStep, depth_of, read_header, seal, step_of, write_header
from belay_api.spaces import BoxSpace, MultiDiscreteSpace, Space
from belay_api.wire import ShadowDecision
from belay_handler.acting import Actor
from belay_handler.requests import Reader
from belay_handler.server import Answer, Ask, Server
from belay_handler.shadow import BUFFER, CALM, ITEMS, RATE, ShadowReporter, Teller
from belay_handler.states import States

KEY = receipts.namespace_key(b"m" * 32, "team-a")
NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
STEP = ShadowStep("new", step_of(NOW))
HEADER = write_header(STEP).encode()
RIGHT = [0, 0, 1.0, 0]
STATE = RecurrentState(shape=[1, 3])


class Pod:
    """One serving pod, and what it told of shadow steps and of starts."""

    def __init__(self, policy: str, network: Any = outputs, *, state: RecurrentState | None = None, **spaces) -> None:
        made = manifest(state=state, **spaces)
        actor = Actor(made, network, np.random.default_rng(0))
        self.states = States("sha256:" + policy.encode().hex().ljust(64, "0"), state)
        self.reporter = ShadowReporter("http://127.0.0.1:9", "team-a", Path("/nowhere"), key=KEY)
        self.starts: list[str] = []
        self.server = Server(
            policy=policy,
            namespace="team-a",
            actor=actor,
            reader=Reader(CARTPOLE, stochastic=actor.stochastic, masks=actor.masks, states=self.states),
            receipt_key=KEY,
            on_start=self.starts.append,
            states=self.states,
            teller=Teller(policy, made.action, self.reporter),
        )

    def ask(self, value: object, *, shadow: bytes | None = HEADER, request: bytes | None = b"r-1") -> Answer:
        (answer,) = self.server.answer([Ask(orjson.dumps(value), b"shop", None, shadow, request)], NOW)
        return answer

    @property
    def told(self) -> list[ShadowDecision]:
        return [ShadowDecision.model_validate_json(orjson.dumps(one)) for one in self.reporter._waiting]


def first(**more: Any) -> dict[str, Any]:
    return {"observation": RIGHT, "episode": "e1", **more}


def test_a_mirror_starts_nothing_proves_nothing_and_is_told() -> None:
    shadow, stable = Pod("new"), Pod("old")

    unheard, answered = shadow.ask(first()), stable.ask(first())

    assert (unheard.status, unheard.mirror, unheard.receipt, shadow.starts) == (200, True, None, [])
    assert (answered.status, answered.mirror, bool(answered.receipt), len(stable.starts)) == (200, False, True, 1)
    assert orjson.loads(answered.body)["action"] == 1
    (mirrored,), (compared,) = shadow.told, stable.told
    assert (mirrored.version, compared.version) == ("new", "old")
    assert mirrored.candidate == compared.candidate == "new"
    both = ("rollout", "step", "request", "item", "episode", "space", "choice", "status", "not_compared")
    assert [getattr(mirrored, name) for name in both] == [getattr(compared, name) for name in both]
    assert (mirrored.rollout, mirrored.choice, mirrored.status) == ("shop", "1", 200)


@pytest.mark.parametrize("header", [None, b"", b"new", b"new/", b"/1", b"New/1", b"new/xyz", b"new/1\xff", b"n" * 70])
def test_without_a_routes_word_a_request_is_a_callers(header: bytes | None) -> None:
    pod = Pod("new")
    answer = pod.ask(first(), shadow=header)
    assert (answer.mirror, bool(answer.receipt), len(pod.starts), pod.told) == (False, True, 1, [])


def test_a_request_that_came_through_no_route_is_no_mirror() -> None:
    pod = Pod("new")
    (answer,) = pod.server.answer([Ask(orjson.dumps(first()), None, None, HEADER, b"r")], NOW)
    assert (answer.mirror, pod.told) == (False, [])


def test_an_error_of_the_shadow_is_told_and_counts_as_nobodys() -> None:
    broken = Pod("new", lambda batch: np.full((len(batch), 2), np.nan))
    assert broken.ask(first()).status == 200, "TorchServe counts what it answers with 5xx as a caller's"
    assert broken.ask({"observation": [1]}).status == 200
    assert broken.ask(["no object"]).status == 200
    (answer,) = broken.server.answer([Ask(b"no json", b"shop", None, HEADER, b"r")], NOW)
    assert (answer.status, answer.mirror) == (200, True)
    assert [one.status for one in broken.told] == [500, 400, 400, 400]


def test_items_of_a_list_are_told_by_place_and_not_all_of_a_long_one() -> None:
    pod = Pod("old")
    pod.ask([first(episode=f"e{index}") for index in range(ITEMS + 5)])
    assert [(one.item, one.episode) for one in pod.told] == [(index, f"e{index}") for index in range(ITEMS)]


def test_a_draw_is_told_as_one() -> None:
    pod = Pod("new")
    pod.ask(first(deterministic=False))
    assert pod.told[0].not_compared == "Sampled"


def summing(batch: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Adds up the first numbers it has seen, and takes action 1 where their sum is above 10."""
    after = states + batch[:, :1, None]
    return np.stack([np.full(len(batch), 10.0), after[:, 0, 0]], axis=1), after


def test_the_shadow_takes_one_step_from_the_memory_of_the_version_that_answers() -> None:
    stable, shadow = Pod("old", summing, state=STATE), Pod("new", summing, state=STATE)
    seen = orjson.loads(stable.ask({"observation": [9, 0, 0, 0], "episode": "e"}).body)
    request = {"observation": [4, 0, 0, 0], "episode": "e", "step": 1, "state": seen["state"]}
    stable.ask(request)
    shadow.ask(request)
    assert (stable.told[-1].choice, shadow.told[-1].choice) == ("1", "1"), "9 + 4 is above 10, 4 alone is not"
    assert shadow.told[-1].not_compared is None


@pytest.mark.parametrize(
    ("request_state", "step", "not_compared"),
    [
        (None, 0, None),  # both begin
        (None, 1, "State"),  # stable has no memory to lend
        (States("sha256:" + "f" * 64, RecurrentState(shape=[2, 9])).write(np.ones((2, 9))), 1, "State"),  # another form
        ("nonsense", 1, "State"),
    ],
)
def test_a_memory_that_nobody_has_is_not_made_up(request_state: str | None, step: int, not_compared: str) -> None:
    shadow = Pod("new", summing, state=STATE)
    shadow.ask(
        {"observation": RIGHT, "episode": "e", "step": step} | ({"state": request_state} if request_state else {})
    )
    assert (shadow.told[0].status, shadow.told[0].not_compared) == (200, not_compared)


def test_a_shadow_that_remembers_nothing_needs_no_memory() -> None:
    shadow = Pod("new")
    shadow.ask(first(step=3, state=Pod("old", summing, state=STATE).states.write(np.ones((1, 3)))))
    assert (shadow.told[0].status, shadow.told[0].not_compared) == (200, None)


def boxed(low: list[float | None], high: list[float | None]) -> dict[str, Any]:
    size = len(low)
    space = BoxSpace(shape=[size], dtype="float32", low=low, high=high)
    return {"action": space, "output": "mean", "network": lambda batch: np.tile(batch[:, :1], (1, size))}


def test_numbers_are_told_by_their_range_where_they_have_one() -> None:
    ranged = Pod("new", **boxed([-2.0, 0.0], [2.0, 10.0]))
    ranged.ask({"observation": [1.0, 0, 0, 0]})
    endless = Pod("new", **boxed([None, 0.0], [2.0, 10.0]))
    endless.ask({"observation": [1.0, 0, 0, 0]})
    assert (ranged.told[0].numbers, ranged.told[0].ranged) == ([0.75, 0.1], True)
    assert (endless.told[0].numbers, endless.told[0].ranged) == ([1.0, 1.0], False)
    assert ranged.told[0].space != endless.told[0].space


def test_an_action_of_very_many_numbers_is_not_told() -> None:
    large = Pod("new", **boxed([-1.0] * 100, [1.0] * 100))
    large.ask({"observation": RIGHT})
    assert (large.told[0].numbers, large.told[0].not_compared) == (None, "Large")


def test_several_choices_are_one() -> None:
    space: Space = MultiDiscreteSpace(nvec=[2, 2], start=[0, 0])
    pod = Pod(
        "new",
        lambda batch: np.tile(np.array([0.0, 1, 1, 0]), (len(batch), 1)),
        action=space,
        output="multi-categorical",
    )
    pod.ask({"observation": RIGHT})
    assert pod.told[0].choice == "[1,0]"


def test_both_sides_tell_of_the_same_requests_however_many_there_are() -> None:
    """The busy side tells of a part of what the other tells of, and never of something else."""
    busy, quiet = Pod("old"), Pod("new")
    for index in range(20 * RATE):
        busy.ask(first(), request=f"r-{index}".encode())
    for index in range(RATE // 4):
        quiet.ask(first(), request=f"r-{index}".encode())
    depth = busy.reporter.depth
    assert depth >= 3
    assert len(busy.told) < 6 * RATE
    late = [one for one in busy.told if one.depth == depth]
    assert all(depth_of(one.request.encode()) >= depth for one in late if one.request)
    for _ in range(CALM * depth + 1):
        busy.reporter.pause_over()
    assert busy.reporter.depth == 0, "in quiet times it tells of everything again"


def test_depths_halve() -> None:
    depths = [depth_of(f"{index:032x}-{index * 7919}".encode()) for index in range(20_000)]
    for depth in range(1, 6):
        share = sum(one >= depth for one in depths) / len(depths)
        assert share == pytest.approx(0.5**depth, rel=0.15)


def test_requests_without_an_id_are_told_now_and_then() -> None:
    pod = Pod("old")
    for _ in range(50):
        pod.ask(first(), request=None)
    assert [one.request for one in pod.told] == [None]


def test_a_logbook_that_is_away_costs_a_bounded_buffer() -> None:
    pod = Pod("old")
    for _ in range(BUFFER + 10):
        pod.reporter.add({})
    assert (len(pod.reporter._waiting), pod.reporter.dropped) == (BUFFER, 10)


def test_decisions_are_sent_sealed(tmp_path: Path) -> None:
    requests: list[Request] = []

    def answer(request: Request) -> Response:
        requests.append(request)
        return Response(200, b'{"accepted": 1, "refused": []}')

    with serving(answer) as url:
        reporter = ShadowReporter(url, "team-a", tmp_path / "none", key=KEY, period_s=0.02)
        reporter.add({"request": "r"})
        reporter.start()
        wait_until(lambda: reporter.reported == 1)
        reporter.close()
    (sent,) = requests
    assert sent.path == "/v1/namespaces/team-a/shadows"
    assert json.loads(sent.body) == {"items": [{"request": "r"}]}
    assert sent.headers[SEAL_HEADER] == seal(sent.body, KEY) != seal(sent.body + b" ", KEY)


def test_a_header_says_what_was_written() -> None:
    assert read_header(HEADER) == STEP


def test_mirrors_are_no_requests_and_their_slowness_is_nobodys_wait() -> None:
    world = World()
    meter = world.meter()
    meter.add(0.001, requests=0, errors=0, probes=0, mirrors=4)
    world.slow += [0.5, 0.5, 0.5, 0.5]
    world.now += 1
    reading = meter.read()
    assert (reading.requests, reading.errors, sum(reading.buckets), reading.mirrors) == (0, 0, 0, 4)
    meter.add(0.001, requests=10, errors=1, probes=0)
    world.now += 1
    meter.read()
    world.now += 1
    reading = meter.read()
    assert (reading.requests, reading.errors, sum(reading.buckets)) == (10, 1, 10)


def test_of_slow_answers_to_both_callers_get_their_share() -> None:
    world = World()
    meter = world.meter()
    meter.add(0.001, requests=30, errors=0, probes=0, mirrors=10)
    world.slow += [0.5] * 8
    world.now += 1
    meter.read()
    world.now += 1
    reading = meter.read()
    assert (reading.requests, sum(reading.buckets)) == (30, 30)
    assert reading.seconds == pytest.approx(6 * 0.5 + 24 * 0.001, rel=0.01)
