"""What holds whatever happens: any order of events, a death between any two effects, any lack of pods.

Hypothesis plays the world: it picks what happens next and where the operator dies. After every act the operator gets
its passes, and the promises are checked on what the API server then holds.
"""

import copy
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.accepted import accepted_rollout_specs
from tests.unit.rollout.stage import ANALYSIS, KEY, SPEC, Stage
from tests.unit.rollout.test_anchor import asks_for, promoted
from tests.unit.rollout.test_shadow import hears
from tests.unit.rollout.test_shadow import mirrored as mirrors

from belay_api.rollout.status import RLRolloutStatus
from belay_operator.rollout.arms import running
from belay_operator.rollout.commands import ACTIONS
from belay_operator.rollout.observe import KIND
from belay_operator.rollout.withdrawal import NO_EVIDENCE

THIRD = {
    **ANALYSIS,
    "anchor": "Serve",
    "metrics": ANALYSIS["metrics"][:1],
}
BAD = {"a": (80, 480.0, 40.0), "b": (60, 300.0, 60.0)}
GOOD = {"a": (200, 480.0, 40.0), "b": (200, 479.0, 40.0)}
BETTER = {"a": (400, 480.0, 40.0), "b": (400, 570.0, 40.0)}


def _judge(stage: Stage, sides: dict[str, tuple[int, float, float]]) -> None:
    status = stage.status
    if status.candidate and status.stable and status.analysis_started_at:
        names = {"a": status.stable.policy, "b": status.candidate.policy}
        found = {names[key]: value for key, value in sides.items()}
        if status.served_anchor is not None:
            found[status.served_anchor.policy] = sides["a"]
        stage.episodes("return", found)
    competing = running(status) if status.candidate is None else None
    if competing is not None and competing.started_at is not None:
        first = competing.arms[0].policy
        arms = {arm.policy: sides["b"] if arm.policy == first else sides["a"] for arm in competing.arms}
        stage.episodes("return", {competing.stable: sides["a"], **arms})


def begin(sides: str) -> Stage:
    """`two`: a is stable. `three`: b is, and a, which was approved, is served beside any other candidate."""
    if sides == "two":
        return Stage("a", "b", "c", "d").go()
    bake, rollback = {"duration": "1s", "keepWarm": "20s"}, {"keepCandidate": "1h"}
    stage = Stage("a", "b", "c", "d", analysis=THIRD, bake=bake, rollback=rollback).go()
    promoted(stage, "b", a=GOOD["a"], b=GOOD["a"])
    return stage


STARTS = {sides: begin(sides) for sides in ("two", "three")}
SIDES = st.sampled_from(sorted(STARTS))


def start(sides: str) -> Stage:
    return copy.deepcopy(STARTS[sides])


def _exists(stage: Stage, policy: str) -> bool:
    return ("RLPolicy", "default", policy) in stage.world.objects


def _ready(stage: Stage, policy: str, replicas: int) -> None:
    if _exists(stage, policy):
        stage.ready(policy, replicas)


def _delete(stage: Stage, policy: str) -> None:
    if _exists(stage, policy):
        stage.world.remove("RLPolicy", policy)


def accept(stage: Stage) -> None:
    """What the Gateway has accepted stays in force until it accepts another route."""
    stage.accept()
    third, weights = stage.status.served_anchor, stage.weights or {}
    stage.accepted_anchor = third.policy if third is not None and third.policy in weights else None


ACTS: dict[str, Callable[[Stage], object]] = {
    "want a": lambda stage: stage.wants("a"),
    "want b": lambda stage: stage.wants("b"),
    "want c": lambda stage: stage.wants("c"),
    "want d": lambda stage: stage.wants("d"),
    "b and c compete": lambda stage: stage.wants_winner_of("b", "c:30", duration="20s", timeout="1h"),
    "c and d compete": lambda stage: stage.wants_winner_of("c", "d", duration="20s", keepLosers="3h"),
    "want nothing there": lambda stage: stage.wants("z"),
    "b has no pods": lambda stage: _ready(stage, "b", 0),
    "a has no pods": lambda stage: _ready(stage, "a", 0),
    "all have pods": lambda stage: [_ready(stage, policy, 1) for policy in "abc"],
    "gateway accepts": accept,
    "anchor served": lambda stage: stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": THIRD}}),
    "anchor not served": lambda stage: stage.world.patch(
        "RLRollout", "cartpole", {"spec": {"analysis": {"anchor": "Approve"}}}
    ),
    "route deleted": lambda stage: stage.world.objects.pop(("HTTPRoute", "default", "cartpole"), None),
    "second": lambda stage: stage.later(seconds=1),
    "half minute": lambda stage: stage.later(seconds=31),
    "hours": lambda stage: stage.later(hours=2),
    "good episodes": lambda stage: _judge(stage, GOOD),
    "better episodes": lambda stage: _judge(stage, BETTER),
    "bad episodes": lambda stage: _judge(stage, BAD),
    "silent": lambda stage: [stage.scrape(policy, rate=0.0) for policy in "abc"],
    "fast": lambda stage: [stage.scrape(policy, rate=40.0) for policy in "abc"],
    "slow": lambda stage: [stage.scrape(policy, rate=40.0, slow=1.0) for policy in "abc"],
    "no answer": lambda stage: [stage.scrape(policy, rate=None) for policy in "abc"],
}
COMMANDS = st.builds("{}@{}".format, st.sampled_from([*ACTIONS, "nonsense"]), st.integers(0, 9))
STEPS = st.one_of(st.sampled_from(sorted(ACTS)), COMMANDS)
ASKING = [{"setWeight": 10}, {"approve": {"timeout": "1h"}}, {"setWeight": 50}, {"pause": {}}]
INTERNAL = [{"name": "x-user-group", "value": "internal"}]
MATCHING = [
    {"match": {"headers": INTERNAL, "weight": 50}},
    {"pause": {"duration": "30s"}},
    {"setWeight": 10},
    {"pause": {"duration": "30s"}},
    {"setWeight": 50},
    {"analyze": {}},
]
SUNDAYS = {"days": ["Sun"], "from": "00:00", "to": "24:00", "timeZone": "Europe/Berlin"}  # a stage begins on a Monday
HANDS: dict[str, Callable[[Stage], object]] = {
    "steps ask": lambda stage: stage.edits_steps(*ASKING),
    "windows closed": lambda stage: stage.world.patch("RLRollout", "cartpole", {"spec": {"windows": [SUNDAYS]}}),
    "windows open": lambda stage: stage.world.patch("RLRollout", "cartpole", {"spec": {"windows": []}}),
    "steps match": lambda stage: stage.edits_steps(*MATCHING),
    "steps shadow": lambda stage: stage.edits_steps({"shadow": {"duration": "30s"}}, *SPEC["steps"]),
    "shadow agrees": lambda stage: _shadowed(stage, 0.0),
    "shadow differs": lambda stage: _shadowed(stage, 0.9),
    "a deleted": lambda stage: _delete(stage, "a"),
    "b deleted": lambda stage: _delete(stage, "b"),
    "steps spoilt": lambda stage: stage.edits_steps({"analyze": {}}),
    "steps mended": lambda stage: stage.edits_steps(*SPEC["steps"]),
    "all published": lambda stage: [stage.publish(policy) for policy in "abc"],
}
MORE_STEPS = st.one_of(STEPS, st.sampled_from(sorted(HANDS)))


def act(stage: Stage, name: str) -> None:
    if name in ACTS | HANDS:
        (ACTS | HANDS)[name](stage)
    else:
        stage.command(name)


def _shadowed(stage: Stage, difference: float) -> None:
    """The logbook tells of a step `shadow`, where one is under way."""
    if stage.status.step is not None and stage.status.step.mirror is not None and stage.status.stable is not None:
        hears(stage, difference=difference)


def check(stage: Stage) -> None:
    """What must hold of what the API server has, once the operator has had its passes."""
    status, weights = stage.status, stage.weights
    withdrawn = status.rollback is not None and status.rollback.drained_at is None
    if weights is not None and (mirrored := set(mirrors(stage)) - {None}):
        assert status.candidate is not None
        assert status.step is not None
        assert (mirrored, status.step.kind, withdrawn) == ({status.candidate.policy}, "shadow", False)
        assert status.candidate.policy not in weights, "what answers nobody gets nobody"
        assert _exists(stage, status.candidate.policy), "a mirror that leads nowhere makes the Gateway refuse the route"
    if status.stable is None:
        assert weights is None or set(weights) == {status.candidate and status.candidate.policy}
        return
    assert weights is not None
    share = status.weight.of_everybody if status.weight and status.candidate else 0
    third = status.served_anchor
    part = min(share, (100 - share) / 2) if third and third.on_route and not withdrawn else 0
    wanted = {status.stable.policy: round(100 * (100 - share - part))}
    if status.candidate:
        wanted[status.candidate.policy] = round(100 * share)
    on_trial = check_arms(stage)
    wanted |= on_trial
    wanted[status.stable.policy] -= sum(on_trial.values())
    if third:
        wanted[third.policy] = wanted.get(third.policy, 0) + round(100 * part)
        assert not part or _answers(stage, third.policy), "an anchor without pods gets nothing"
    assert sum(weights.values()) == 10_000
    if not _exists(stage, status.stable.policy):
        check_lost(stage)
        return
    assert weights == {policy: weight for policy, weight in wanted.items() if weight}, (
        "the route is the recorded intent"
    )
    pinned = stage.pinned or {}
    if _exists(stage, status.stable.policy):
        assert pinned[status.stable.policy] == status.stable.policy
        gone = {policy for policy in pinned.values() if not _exists(stage, policy)}
        assert not gone, "a rule that leads nowhere makes the Gateway refuse the route"
    serving = {version.policy for version in status.versions() if version is not status.kept}
    assert set(pinned.values()) <= serving, "no rule leads to pods that may go"
    if withdrawn:
        assert status.candidate is not None
        assert status.candidate.policy not in pinned.values(), "episodes leave a withdrawn candidate"
        assert share == 0
    if status.rollback is not None and not withdrawn and status.rollback.reason not in NO_EVIDENCE:
        assert status.rollback.policy not in pinned.values(), "nor do they come back to one that was rejected"
    if status.rollback is not None and not withdrawn:
        sides = [side.digest for side in (status.candidate, status.stable, status.previous) if side]
        assert not set(sides) & set(status.rejected_digests), "what is rejected serves nobody"
    if status.candidate is None:
        assert (status.paused, status.step, status.weight) == (None, None, None)
    check_told(status)


def check_told(status: RLRolloutStatus) -> None:
    """What must hold of conditions and commands."""
    ready = [c for c in status.conditions if c.type == "Ready"]
    assert len(ready) == 1
    assert (ready[0].status == "True") == (len(status.conditions) == 1)
    ids = [(command.action, command.id) for command in status.commands]
    assert len(ids) == len(set(ids)), "a command is carried out once"


def check_arms(stage: Stage) -> dict[str, int]:
    """What must hold of arms: and which weights they have."""
    status = stage.status
    arms = [arm for arm in status.arms if arm.on_route]
    assert not arms or (status.candidate is None and status.stable is not None), "an experiment ends before a trial"
    assert not {arm.digest for arm in arms} & set(status.rejected_digests), "what is rejected serves nobody"
    if status.stable is not None and _exists(stage, status.stable.policy):
        assert all(_answers(stage, arm.policy) for arm in arms), "an arm without pods gets nothing"
    return {arm.policy: 100 * arm.weight for arm in arms}


def check_segment(stage: Stage) -> None:
    """Who is matched gets what is recorded of them, and each comparison is of users of whom both sides were drawn."""
    status, weights = stage.status, stage.weights or {}
    segment = status.weight.segment if status.weight and status.candidate else None
    assert (stage.segment is None) == (status.segment_rule is None), "a rule that was there once stays"
    if stage.segment is None:
        return
    if segment is None or status.stable is None or not _exists(stage, status.stable.policy):
        assert stage.segment == weights
        assert stage.compared == ["everybody", "segment"]
        return
    assert status.candidate is not None
    assert stage.segment[status.candidate.policy] == round(100 * segment.weight)
    assert stage.compared == ["segment" if segment.alone else "everybody"]
    assert weights.get(status.candidate.policy, 0) < stage.segment[status.candidate.policy], "they are not the last"


def check_lost(stage: Stage) -> None:
    """What must hold while the stable version is gone, RLPolicy and pods."""
    status, weights = stage.status, stage.weights or {}
    assert status.stable is not None
    assert status.stable.lost_at is not None
    third = status.served_anchor if status.served_anchor and status.served_anchor.until is None else None
    arms = [arm for arm in status.arms if arm.on_route and status.candidate is None]
    sides = [side for side in (status.candidate, status.previous, third, *arms) if side]
    answering = [side.policy for side in sides if _answers(stage, side.policy)]
    assert not answering or set(weights) <= set(answering), "traffic goes where it is answered"
    assert "serves" not in stage.message, "never said of what has no endpoint"
    (ready,) = [c for c in status.conditions if c.type == "Ready"]
    assert ready.status == "False"


def _answers(stage: Stage, policy: str) -> bool:
    held = stage.world.objects.get(("RLPolicy", "default", policy))
    return held is not None and held["status"]["readyReplicas"] > 0


@settings(max_examples=150, deadline=None)
@given(st.lists(MORE_STEPS, max_size=14), SIDES)
@example(["want b", "promote@1", "gateway accepts", "a deleted"], "two")
@example(["a deleted", "want b", "gateway accepts"], "two")
@example(["want b", "gateway accepts", "half minute", "b has no pods", "bad episodes"], "two")  # a raise is carried
@example(["steps spoilt", "route deleted"], "two")
@example(["steps match", "want b", "gateway accepts", "abort@1", "gateway accepts", "want c"], "two")
@example(["steps match", "want b", "gateway accepts", "half minute", "gateway accepts", "a deleted"], "two")
@example(["want c", "gateway accepts", "a has no pods"], "three")
@example(["b and c compete", "gateway accepts", "bad episodes", "gateway accepts", "half minute"], "two")
@example(["b and c compete", "gateway accepts", "half minute", "better episodes", "fast", "gateway accepts"], "two")
@example(["b and c compete", "gateway accepts", "a deleted", "b has no pods"], "two")
@example(["b and c compete", "gateway accepts", "undo@1", "gateway accepts"], "three")
@example(["c and d compete", "gateway accepts", "want b", "gateway accepts", "half minute", "bad episodes"], "two")
@example(["want c", "gateway accepts", "half minute", "b deleted", "a has no pods"], "three")
@example(["want c", "gateway accepts", "abort@1", "hours", "want d", "gateway accepts"], "three")
def test_the_route_is_always_the_recorded_intent(acts: list[str], sides: str) -> None:
    stage = start(sides)
    for name in acts:
        act(stage, name)
        stage.passes()
        check(stage)
        check_segment(stage)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=20), SIDES)
def test_a_pinned_rule_keeps_its_place_while_its_version_serves(acts: list[str], sides: str) -> None:
    """Gateways name what a rule leads to by its position: one that shifts or goes costs requests."""
    stage = start(sides)
    for name in acts:
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
@given(st.lists(MORE_STEPS, max_size=8), MORE_STEPS, st.integers(0, 6), SIDES)
def test_a_death_between_any_two_effects_changes_nothing_in_the_end(
    acts: list[str], last: str, effects: int, sides: str
) -> None:
    stage = start(sides)
    for name in acts:
        act(stage, name)
        stage.passes()
    act(stage, last)
    undisturbed = copy.deepcopy(stage)
    undisturbed.passes()
    stage.world.reconcile(KIND, KEY, now=stage.now, effects=effects)
    stage.passes()
    assert _held(stage) == _held(undisturbed)


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=10), st.booleans(), st.booleans(), SIDES)
def test_capacity_never_delays_a_rollback(
    acts: list[str], stable_has_pods: bool, candidate_has_pods: bool, sides: str
) -> None:
    stage = start(sides)
    for name in acts:
        act(stage, name)
        stage.passes()
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
@given(st.lists(MORE_STEPS, max_size=6), st.sampled_from(sorted(BARRED)), st.lists(STEPS, max_size=10), SIDES)
@example(["want b", "gateway accepts"], "closed windows", ["half minute", "gateway accepts", "skip@1"], "two")
@example(["steps ask", "want b", "gateway accepts"], "a pause", ["approve@1", "gateway accepts"], "two")
@example(["promote@1"], "closed windows", ["undo@1", "gateway accepts", "hours", "retry@1"], "three")
def test_no_candidate_gets_more_by_itself_while_it_is_barred(
    before: list[str], bar: str, acts: list[str], sides: str
) -> None:
    """Neither in closed windows nor while a person holds it; what a person promotes and the way back are not barred."""
    stage = start(sides)
    for name in before:
        act(stage, name)
        stage.passes()
    act(stage, BARRED[bar])
    stage.passes()
    for name in acts:
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
@given(st.lists(MORE_STEPS, max_size=20))
@example(["gateway accepts", "half minute", "approve@1", "half minute", "gateway accepts", "half minute"])
@example(["gateway accepts", "half minute", "anchor not served", "half minute", "want d", "gateway accepts"])
def test_the_anchor_has_its_pods_while_an_accepted_route_leads_to_it(acts: list[str]) -> None:
    """The Gateway may take its time: what it has accepted last is where requests go."""
    stage = start("three")
    for name in ["want c", *acts]:
        act(stage, name)
        stage.passes()
        if stage.accepted_anchor is not None and _exists(stage, stage.accepted_anchor):
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


def _held(stage: Stage) -> object:
    route = stage.world.objects.get(("HTTPRoute", "default", "cartpole"))
    return stage.world.objects["RLRollout", "default", "cartpole"].get("status"), route and route["spec"]


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
