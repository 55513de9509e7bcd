"""What holds whatever happens: any order of events, a death between any two effects, any lack of pods.

Hypothesis plays the world: it picks what happens next (`model/acts`), where it begins (`model/starts`) and where the
operator dies. After every act the operator gets its passes, and the promises (`model/invariants`) are checked on what
the API server then holds.
"""

import copy
from itertools import permutations
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.accepted import accepted_rollout_specs
from tests.unit.rollout.model.acts import SEEN_SILENT, act, exists
from tests.unit.rollout.model.invariants import hold
from tests.unit.rollout.model.starts import (
    BY_GATEWAY,
    Course,
    LongCourse,
    anything,
    courses,
    courses_on,
    daily,
    start,
)
from tests.unit.rollout.stage import KEY, SPEC, Stage
from tests.unit.rollout.test_anchor import asks_for

from belay_api.rollout.status import RLRolloutStatus
from belay_operator.rollout.observe import KIND


def play(name: str, acts: list[str]) -> Stage:
    """Let all of it happen, with the operator's passes between."""
    stage = start(name)
    for one in acts:
        act(stage, one)
        stage.passes()
    return stage


ANCHOR_ON_TRIAL = ["want c", "gateway accepts", "half minute", "want a", *SEEN_SILENT, "gateway accepts"]

EVERYWHERE_WELL = ["gateway counts"] * 2 + ["prometheus tells"] * 3


@settings(max_examples=200, deadline=None)
@given(courses(anything, 14))
@example(("two", ["want b", "promote@1", "gateway accepts", "a deleted"]))
@example(("two", ["a deleted", "want b", "gateway accepts"]))
@example(("two", ["want b", "gateway accepts", "half minute", "b has no pods", "bad episodes"]))  # a raise is carried
@example(("two", ["steps spoilt", "route deleted"]))
@example(("two", ["scaled up", "want b", "all have pods", "gateway accepts", "scaled down"]))
@example(("two", ["steps match", "want b", "gateway accepts", "abort@1", "gateway accepts", "want c"]))
@example(("two", ["steps match", "want b", "gateway accepts", "half minute", "gateway accepts", "a deleted"]))
@example(("three", ["want c", "gateway accepts", "a has no pods"]))
@example(("two", ["b and c compete", "gateway accepts", "bad episodes", "gateway accepts", "half minute"]))
@example(("two", ["b and c compete", "gateway accepts", "half minute", "better episodes", "fast", "gateway accepts"]))
@example(("two", ["b and c compete", "gateway accepts", "a deleted", "b has no pods"]))
@example(("three", ["b and c compete", "gateway accepts", "undo@1", "gateway accepts"]))
@example(("two", ["c and d compete", "gateway accepts", "want b", "gateway accepts", "half minute", "bad episodes"]))
@example(("three", ["want c", "gateway accepts", "half minute", "b deleted", "a has no pods"]))
@example(("three", ["want c", "gateway accepts", "abort@1", "hours", "want d", "gateway accepts"]))
@example(("three", ["steps shadow", "want c", "want a", "gateway accepts", "want b"]))  # who is withdrawn is the anchor
@example(("three", [*ANCHOR_ON_TRIAL, "abort@1", *SEEN_SILENT, "want d", "gateway accepts"]))  # rejected, and served
@example(("two", ["want b", "gateway accepts", "good episodes", "abort@1", *SEEN_SILENT, "retry@2", "gateway accepts"]))
@example(("judged", ["good episodes", "fast", "gateway accepts", "fast"]))  # a promotion by verdicts
@example(("judged", ["metrics from everywhere", *EVERYWHERE_WELL, "gateway counts no more", "prometheus away"]))
@example(("judged", ["metrics from everywhere", *EVERYWHERE_WELL, "fast", "good episodes", "gateway accepts"]))
@example(("shown", ["want a", "limits of stable broken", "gateway accepts"]))  # whoever is promoted instead is not
def test_every_promise_holds_after_every_act(course: Course) -> None:
    name, acts = course
    stage = start(name)
    for one in acts:
        act(stage, one)
        before = stage.status
        stage.passes()
        hold(before, stage)


@settings(max_examples=150, deadline=None)
@given(courses(daily, 20, of=BY_GATEWAY))
def test_a_pinned_rule_keeps_its_place_while_its_version_serves(course: Course) -> None:
    """Gateways name what a rule leads to by its position: one that shifts or goes costs requests."""
    stage = start(course[0])
    for name in course[1]:
        before = list((stage.pinned or {}).items())
        act(stage, name)
        stage.passes()
        after = list((stage.pinned or {}).items())
        if name == "route deleted":
            continue
        assert len(before) <= len(after) <= 4
        for place, (policy, serving) in enumerate(before):
            assert after[place][0] == policy or serving != policy, "only who no longer serves is replaced"


@settings(max_examples=100, deadline=None)
@given(courses_on(anything, 8, anything, 1), st.integers(0, 8))
def test_a_death_between_any_two_effects_changes_nothing_in_the_end(course: LongCourse, effects: int) -> None:
    name, before, [last] = course
    stage = play(name, before)
    act(stage, last)
    undisturbed = copy.deepcopy(stage)
    undisturbed.passes()
    stage.world.reconcile(KIND, KEY, now=stage.now, effects=effects)
    stage.passes()
    assert everything(stage) == everything(undisturbed)


@settings(max_examples=100, deadline=None)
@given(courses(daily, 10, of=BY_GATEWAY), st.booleans(), st.booleans())
def test_capacity_never_delays_a_rollback(course: Course, stable_has_pods: bool, candidate_has_pods: bool) -> None:
    stage = play(*course)
    if stage.status.candidate is None or stage.status.stable is None:
        return
    stage.ready(stage.status.stable.policy, int(stable_has_pods))
    stage.ready(stage.status.candidate.policy, int(candidate_has_pods))
    candidate = stage.status.candidate.policy
    stage.command("abort@last")
    stage.world.reconcile(KIND, KEY, now=stage.now)  # one pass: intent and route leave together
    assert candidate not in (stage.weights or {})
    assert candidate not in (stage.pinned or {}).values()
    assert stage.weights == {stage.status.stable.policy: 10_000}, "nor to the anchor"


BARRED = {"closed windows": "windows closed", "a pause": "pause@first"}


@settings(max_examples=150, deadline=None)
@given(courses_on(anything, 6, daily, 10), st.sampled_from(sorted(BARRED)))
@example(("two", ["want b", "gateway accepts"], ["half minute", "gateway accepts", "skip@1"]), "closed windows")
@example(("two", ["steps ask", "want b", "gateway accepts"], ["approve@1", "gateway accepts"]), "a pause")
@example(("three", ["promote@1"], ["undo@1", "gateway accepts", "hours", "retry@1"]), "closed windows")
def test_no_candidate_gets_more_by_itself_while_it_is_barred(course: LongCourse, bar: str) -> None:
    """Neither in closed windows nor while a person holds it; what a person promotes and the way back are not barred."""
    name, before, then = course
    stage = play(name, before)
    act(stage, BARRED[bar])
    stage.passes()
    for name in then:
        status = stage.status
        held = bar == "closed windows" or status.paused is not None
        act(stage, name)
        stage.passes()
        held = held and (bar == "closed windows" or stage.status.paused is not None)
        if held and not name.startswith("promote"):
            check_no_more(status, stage.status)


def check_no_more(before: RLRolloutStatus, after: RLRolloutStatus) -> None:
    """What must hold of a pass in which no candidate may get more by itself."""
    by_a_person = after.step is not None and after.step.kind == "promote"
    by_a_person |= before.step is not None and before.step.kind == "promote"
    if after.candidate is None or after.stable is None or by_a_person:
        return
    same = before.candidate is not None and before.candidate.policy == after.candidate.policy
    shares = [status.weight.desired if status.weight is not None else 0.0 for status in (before, after)]
    assert shares[1] <= (shares[0] if same else 0.0), "its weight is not raised, and no other one begins with some"


@settings(max_examples=150, deadline=None)
@given(st.lists(anything("three"), max_size=20))
@example(["gateway accepts", "half minute", "approve@1", "half minute", "gateway accepts", "half minute"])
@example(["gateway accepts", "half minute", "anchor not served", "half minute", "want d", "gateway accepts"])
def test_the_anchor_has_its_pods_while_an_accepted_route_leads_to_it(acts: list[str]) -> None:
    """The Gateway may take its time: what it has accepted last is where requests go."""
    stage = start("three")
    for name in ["want c", *acts]:
        act(stage, name)
        stage.passes()
        if stage.accepted_anchor is not None and exists(stage, stage.accepted_anchor):
            assert asks_for(stage, stage.accepted_anchor)


@pytest.mark.parametrize(
    "acts",
    [
        ("want b", "all have pods", "gateway accepts"),
        ("bad episodes", "abort@1", "b has no pods", "gateway accepts"),
        ("want c", "gateway accepts", "silent"),
        ("want a", "route deleted", "b has no pods"),
    ],
)
def test_every_order_of_events_ends_the_same(acts: tuple[str, ...]) -> None:
    """Events of one moment may be seen in any order, with passes between; the candidate's fate does not hang on it."""
    ends = []
    for order in permutations(acts):
        stage = Stage("a", "b", "c").go()
        stage.wants("b")
        stage.go().go(seconds=31)
        for name in order:
            act(stage, name)
            stage.passes()
        for _ in range(4):  # the Gateway and the scrapes catch up
            stage.accept()
            for policy in "abc":
                stage.scrape(policy, rate=0.0)
            stage.go(seconds=2)
        status = stage.status
        ends.append(
            (
                status.phase,
                status.stable and status.stable.policy,
                status.candidate and status.candidate.policy,
                stage.weights,
                stage.pinned,
            )
        )
    assert all(end == ends[0] for end in ends), ends


def everything(stage: Stage) -> object:
    """All objects but the numbers that an API server gives them."""
    given_by_server = {"uid", "generation", "creationTimestamp", "ownerReferences"}
    return {
        key: held | {"metadata": {name: said for name, said in held["metadata"].items() if name not in given_by_server}}
        for key, held in stage.world.objects.items()
    }


@settings(max_examples=200, deadline=None)
@given(accepted_rollout_specs())
def test_whatever_spec_the_api_server_accepts_traffic_stays_safe(spec: dict[str, Any]) -> None:
    """Route, judging, commands and rollbacks go on, whatever of the spec cannot be carried out."""
    stage = Stage("a", "b").go()
    stage.wants("b")
    stage.go(seconds=1)
    held = stage.world.objects["RLRollout", "default", "cartpole"]
    # Traffic is immutable, and a rollout that wants another policy withdraws the candidate by itself.
    held["spec"] = spec | {"traffic": SPEC["traffic"], "policy": {"name": "b"}}
    stage.world.objects.pop(("HTTPRoute", "default", "cartpole"))
    stage.passes()
    assert stage.weights, "the route is written again"
    stage.command("abort@last")
    stage.passes()
    assert stage.weights == {"a": 10000}, "abort, or the withdrawal that the spec asks for"
    stage.accept()
    stage.passes()
    stage.later(seconds=2)
    stage.scrape("b", rate=0.0)
    stage.passes()
    assert stage.status.rollback is not None
    assert stage.status.rollback.drained_at is not None
    assert stage.weights == {"a": 10000}
