"""Places in a group: never too many candidates in any order of passes and writes, and everybody's turn comes."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rollout.stage import SPEC, Stage, digest
from tests.world import START, World, belay_object

from belay_api.rollout.group import GroupSpec
from belay_api.units import format_instant
from belay_operator.engine.change import Change
from belay_operator.engine.plan import Key, Plan
from belay_operator.rollout.group import Member, is_free, next_place
from belay_operator.rollout.observe import KIND

GROUP = {"group": {"name": "night", "limit": 1}}
ASKED = {"name": "night", "askedAt": format_instant(START)}
TAKEN = ASKED | {"grantedAt": format_instant(START)}
TRIAL = {"policy": "b", "digest": digest("b"), "since": format_instant(START)}
Json = dict[str, Any]


def rollout(name: str, limit: int = 1, **status: Any) -> Json:
    """A rollout whose stable version is a, and which wants b."""
    stable = {"policy": "a", "digest": digest("a"), "since": format_instant(START)}
    spec = SPEC | {"policy": {"name": "b"}, "group": {"name": "night", "limit": limit}}
    return belay_object("RLRollout", name, spec, status={"stable": stable} | status)


def policy(name: str) -> Json:
    artifact = {"uri": f"store://sha256/{name * 64}", "digest": digest(name)}
    return belay_object("RLPolicy", name, {"artifact": artifact}, status={"readyReplicas": 1})


class Crowd:
    """Rollouts of one group. What a pass decided is written later, when others may have decided meanwhile."""

    def __init__(self, limits: list[int]) -> None:
        self.now = START
        self.world = World([policy("a"), policy("b")])
        self.names = [f"r{index}" for index in range(len(limits))]
        for name, limit in zip(self.names, limits, strict=True):
            self.world.put(rollout(name, limit))
        self.decided: dict[str, Plan] = {}

    def status(self, name: str) -> Json:
        status: Json = self.world.objects["RLRollout", "default", name]["status"]
        return status

    @property
    def on_trial(self) -> list[str]:
        return [name for name in self.names if "candidate" in self.status(name)]

    def act(self, name: str) -> None:
        """The next thing that happens to a rollout: a pass decides, or what it decided is written."""
        self.now += timedelta(milliseconds=300)
        if (plan := self.decided.pop(name, None)) is None:
            self.decided[name] = self.world.plan(KIND, Key("RLRollout", "default", name), self.now)
        elif plan.status is not None:
            self.world._write_status(Key("RLRollout", "default", name), plan.status)

    def end(self, name: str) -> None:
        """Its trial ends: the candidate is stable now."""
        self.decided.pop(name, None)  # a conflict: it is decided anew
        status = dict(self.status(name))
        promoted = status.pop("candidate")
        for gone in ("step", "weight"):
            status.pop(gone, None)
        self.world._write_status(Key("RLRollout", "default", name), status | {"stable": promoted})


@settings(max_examples=60, deadline=None)
@given(
    limits=st.lists(st.integers(1, 3), min_size=2, max_size=5),
    acts=st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40),
)
def test_no_order_of_passes_and_writes_lets_too_many_through(limits: list[int], acts: list[tuple[int, bool]]) -> None:
    crowd = Crowd(limits)
    most = max(limits)
    ended: set[str] = set()

    def happens(name: str, over: bool) -> None:
        before = crowd.on_trial
        if over and name in before:
            crowd.end(name)
            ended.add(name)
        else:
            crowd.act(name)
        assert len(crowd.on_trial) <= most, "each counts the places of others against its own limit"

    for index, over in acts:
        happens(crowd.names[index % len(limits)], over)
    for _ in range(8 * len(limits)):  # everybody's turn comes
        for name in crowd.names:
            happens(name, over=False)
            happens(name, over=False)
        for name in crowd.on_trial:
            happens(name, over=True)
    assert ended == set(crowd.names)
    assert [name for name in crowd.names if "group" in crowd.status(name)] == []


def test_who_asked_first_goes_first() -> None:
    crowd = Crowd([1, 1, 1])
    for name in ("r0", "r2", "r1", "r0"):  # r0 asks and takes, r2 and r1 ask after it, r0 takes up
        crowd.act(name)
        crowd.act(name)
    assert crowd.on_trial == ["r0"]
    crowd.end("r0")
    for name in ("r0", "r1", "r2", "r1", "r2"):
        crowd.act(name)
        crowd.act(name)
    assert crowd.on_trial == ["r2"]


def test_of_two_that_take_one_place_at_once_the_one_that_asked_later_gives_it_back() -> None:
    spec = GroupSpec.model_validate(GROUP["group"])
    own = next_place(spec, None, (), "b", START)
    assert own.granted_at == START
    earlier = Member("night", (START, "a"), granted=True, on_trial=False)
    later = Member("night", (START, "c"), granted=True, on_trial=False)
    assert not is_free(spec, (later,)), "it waits until the other has given it back"
    assert next_place(spec, own, (later,), "b", START) == own
    assert next_place(spec, own, (earlier,), "b", START).granted_at is None


def test_a_rollout_waits_and_says_so_until_the_other_has_ended() -> None:
    stage = Stage("a", "b", **GROUP).go()
    stage.world.put(rollout("other", candidate=TRIAL, group=TAKEN))
    stage.wants("b")
    stage.go().later(seconds=5)
    stage.go()
    assert stage.status.candidate is None
    assert (
        f"{stage.reason}: {stage.message}"
        == "GroupFull: waiting for a place in the group night, of which 1 may have a candidate at once"
    )
    stage.world.remove("RLRollout", "other")
    stage.go()
    assert stage.status.candidate is not None
    assert stage.status.group is not None
    stage.command("promote@1")
    stage.go(seconds=1).go(seconds=1).go()
    assert stage.status.stable is not None
    assert (stage.status.stable.policy, stage.status.group) == ("b", None)


@pytest.mark.parametrize("how", ["first", "way back", "rollback"])
def test_what_waits_for_nobody(how: str) -> None:
    stage = Stage("a", "b", **GROUP)
    full = rollout("other", candidate=TRIAL, group=TAKEN)
    if how == "first":
        stage.world.put(full)
        stage.go()
        assert stage.status.stable is not None
        return
    stage.go()
    stage.wants("b")
    stage.go()
    assert stage.status.candidate is not None
    if how == "way back":
        stage.command("promote@1")
        stage.go(seconds=1).go(seconds=1)
    stage.world.put(full)
    stage.wants("a")
    stage.go(seconds=1).go(seconds=1)
    assert stage.weights == {"a": 10000}


def test_a_trial_that_was_under_way_before_its_rollout_was_in_the_group_counts() -> None:
    stage = Stage("a", "b").go()
    stage.wants("b")
    stage.go()
    stage.world.patch("RLRollout", "cartpole", {"spec": GROUP})
    stage.go()
    assert stage.status.group is not None
    assert stage.status.group.granted_at is not None


def test_a_place_that_is_left_wakes_those_who_wait_and_nobody_else() -> None:
    busy, waits = rollout("busy", group=TAKEN, candidate=TRIAL), rollout("waits", group=ASKED)
    world = World([busy, waits, rollout("another", group=TAKEN, candidate=TRIAL), rollout("apart")])
    before = world.get("RLRollout", "default", "busy")
    after = rollout("busy")
    after["metadata"]["namespace"] = "default"
    assert set(KIND.related(Change("RLRollout", before, after), world)) == {Key("RLRollout", "default", "waits")}
    assert set(KIND.related(Change("RLRollout", before, None), world)) == {Key("RLRollout", "default", "waits")}
    assert before is not None
    told = before | {"status": before["status"] | {"phase": "Progressing"}}
    assert set(KIND.related(Change("RLRollout", before, told), world)) == set()
