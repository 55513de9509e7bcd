"""Where random courses begin: rollouts at rest, each with another part of what a spec can ask for.

two      a is stable
three    b is, and a, which was approved, is served beside any other candidate
shown    b is, and a is warm; there is a preview address, a group with one place, and an RLProgression of steps
judged   a is, and b has half of the traffic: its limit was kept at a tenth of it, and nothing is known since
pods     a is, without a gateway: the weight is a ratio of its three pods and the candidate's
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from hypothesis import strategies as st
from tests.unit.rollout.model import acts
from tests.unit.rollout.model.acts import Act
from tests.unit.rollout.stage import Stage
from tests.unit.rollout.test_anchor import promoted
from tests.unit.rollout.test_group import GROUP
from tests.unit.rollout.test_preview import TRAFFIC
from tests.unit.rollout.test_replicas import Cluster

T = TypeVar("T")
Course = tuple[str, list[str]]
"""A start, and the acts that follow."""
LongCourse = tuple[str, list[str], list[str]]
"""The same, and the acts that follow when something has happened that is not drawn among them."""
Drawn = Callable[[str], st.SearchStrategy[str]]
"""The acts that are drawn for a start."""


def _two() -> Stage:
    return Stage("a", "b", "c", "d").go()


def _three() -> Stage:
    bake, rollback = {"duration": "1s", "keepWarm": "20s"}, {"keepCandidate": "1h"}
    stage = Stage("a", "b", "c", "d", analysis=acts.THIRD, bake=bake, rollback=rollback).go()
    promoted(stage, "b", a=acts.GOOD["a"], b=acts.GOOD["a"])
    return stage


def _shown() -> Stage:
    bake, rollback = {"duration": "1s", "keepWarm": "10m"}, {"keepCandidate": "1h"}
    stage = Stage(traffic=TRAFFIC, bake=bake, rollback=rollback, **GROUP, **acts.BY_THE_LIST)
    for policy in "abcd":
        stage.publish(policy, family=acts.FAMILY)
    acts.writes_list(stage, 10, 50)
    stage.go()
    stage.wants("b")
    stage.go(seconds=1)
    stage.command("promote@first")
    return stage.go(seconds=1).go(seconds=1)


def _judged() -> Stage:
    stage = Stage("a", "b", "c", "d").go()
    for act in ("want b", "gateway accepts", "silent", "fast", "half minute", "gateway accepts"):
        acts.act(stage, act)
        stage.passes()
    return stage


def _pods() -> Stage:
    steps = [{"setWeight": 25}, {"pause": {"duration": "30s"}}, {"setWeight": 75}, {"pause": {"duration": "30s"}}]
    return Cluster("a", "b", "c", steps=steps, rollback={"keepCandidate": "1h"}).go()


STARTS = {"two": _two(), "three": _three(), "shown": _shown(), "judged": _judged(), "pods": _pods()}
BY_GATEWAY = tuple(name for name, stage in STARTS.items() if not isinstance(stage, Cluster))
DAILY: dict[str, tuple[Mapping[str, Act], ...]] = {
    "two": (acts.EVERY_DAY, acts.BY_GATEWAY),
    "three": (acts.EVERY_DAY, acts.BY_GATEWAY),
    "shown": (acts.EVERY_DAY, acts.BY_GATEWAY, acts.OF_SHOWN),
    "judged": (acts.EVERY_DAY, acts.BY_GATEWAY),
    "pods": (acts.EVERY_DAY, acts.OF_PODS),
}
"""What goes on with each, beside commands."""


def start(name: str) -> Stage:
    return copy.deepcopy(STARTS[name])


def daily(name: str) -> st.SearchStrategy[str]:
    """Any act that moves such a rollout on and back."""
    return acts.drawn(*DAILY[name])


def anything(name: str) -> st.SearchStrategy[str]:
    """Any act at all."""
    by_hand = (acts.HANDS,) if name == "pods" else (acts.HANDS, acts.BY_GATEWAY_BY_HAND)
    return acts.drawn(*DAILY[name], *by_hand)


def courses(drawn: Drawn, most: int, *, of: Iterable[str] = STARTS) -> st.SearchStrategy[Course]:
    """A start, and so many acts at most."""
    return _of_each(of, lambda name: st.tuples(st.just(name), st.lists(drawn(name), max_size=most)))


def courses_on(drawn: Drawn, most: int, then: Drawn, further: int) -> st.SearchStrategy[LongCourse]:
    """The same, and at least one and at most so many further acts."""
    return _of_each(
        STARTS,
        lambda name: st.tuples(
            st.just(name), st.lists(drawn(name), max_size=most), st.lists(then(name), min_size=1, max_size=further)
        ),
    )


def _of_each(names: Iterable[str], drawn: Callable[[str], st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    return st.sampled_from(sorted(names)).flatmap(drawn)
