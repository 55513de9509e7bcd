"""The anchor beside a trial: served only while it can be, in nobody's way, and needed for a Pass."""

from typing import Any

import pytest
from tests.unit.rollout.stage import ANALYSIS, KEY, Stage, digest
from tests.unit.rollout.test_observe import rollout_uid
from tests.unit.rollout.test_observe import served as deployed

from belay_api.reasons import Verdict
from belay_api.rollout.status import RolloutPhase, ServedAnchorStatus
from belay_operator.engine.change import Change
from belay_operator.policy.needs import demands
from belay_operator.rollout.observe import KIND

STEPS = [{"setWeight": 10}, {"pause": {"duration": "30s"}}, {"setWeight": 50}, {"analyze": {}}]
EQUAL = (400, 480.0, 40.0)
WORSE = (400, 415.0, 40.0)  # than EQUAL, by more than the 10 % that are allowed
SERVE: dict[str, Any] = {**ANALYSIS, "metrics": ANALYSIS["metrics"][:1], "anchor": "Serve"}


def serving(*policies: str, **analysis: object) -> Stage:
    """`a` was approved, `b` was promoted by its verdicts."""
    stage = Stage(
        "a", "b", *policies, steps=STEPS, analysis=SERVE | analysis, bake={"duration": "1s", "keepWarm": "1m"}
    ).go()
    promoted(stage, "b", a=EQUAL, b=EQUAL)
    assert stage.status.served_anchor is None, "stable was the anchor itself"
    stage.go(minutes=2)  # a is not kept warm any more
    assert stage.status.previous is None
    return stage


def analyzed(stage: Stage, policy: str) -> None:
    """The candidate has half of the traffic and waits for its verdict."""
    stage.wants(policy)
    stage.go(seconds=1).go(seconds=31)
    assert stage.status.step is not None
    assert stage.status.step.kind == "analyze"


def promoted(stage: Stage, policy: str, **sides: tuple[int, float, float]) -> None:
    analyzed(stage, policy)
    stage.episodes("return", sides)
    stage.go(seconds=2).go(seconds=2)
    assert stable(stage) == policy


def stable(stage: Stage) -> str:
    assert stage.status.stable is not None
    return stage.status.stable.policy


def served(stage: Stage) -> ServedAnchorStatus:
    assert stage.status.served_anchor is not None
    return stage.status.served_anchor


def asks_for(stage: Stage, policy: str) -> bool:
    """Whether the rollout asks for pods of a policy, by what the policy kind reads."""
    found = demands(policy, [stage.world.objects["RLRollout", "default", "cartpole"]])
    return any(demand.digest == digest(policy) and demand.holds(stage.now) for demand in found)


def test_it_gets_part_of_stables_share_while_the_candidate_has_some() -> None:
    stage = serving("c")
    assert not asks_for(stage, "a")
    stage.wants("c")
    stage.go(seconds=1)
    assert asks_for(stage, "a")
    assert stage.weights == {"b": 8000, "c": 1000, "a": 1000}
    assert stage.pinned == {"a": "a", "b": "b", "c": "c"}, "its episodes stay with it"
    assert stage.status.weight is not None
    assert stage.status.weight.anchor == 10
    stage.go(seconds=31)
    assert stage.weights == {"b": 2500, "c": 5000, "a": 2500}
    assert [(one.percent, one.anchor) for one in stage.status.weight_history] == [(10, 10), (50, 25)]


def test_a_pass_against_both_promotes_and_nobody_is_asked() -> None:
    stage = serving("c", "d", "e")
    for before, policy in zip("bcd", "cde", strict=True):
        promoted(stage, policy, **{"a": EQUAL, before: EQUAL, policy: EQUAL})
        stage.go(minutes=2)
    assert stage.status.anchor is not None
    assert (stage.status.anchor.policy, stage.status.anchor.promotions) == ("a", 4)
    assert "ApprovalNeeded" not in stage.told


def test_equal_to_stable_and_not_to_the_anchor_never_passes_and_its_patience_ends() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.episodes("return", {"a": EQUAL, "b": WORSE, "c": WORSE})
    stage.go(seconds=2)
    assert stage.weights == {"b": 2500, "c": 5000, "a": 2500}
    words = "not worse than stable by as much as the allowed regression, but not shown to be within 10 % of a"
    assert words in stage.message
    (verdict,) = stage.status.verdicts
    assert verdict.verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert verdict.anchor is not None
    assert verdict.anchor.withholds
    assert verdict.anchor.policy == "a"
    assert verdict.anchor.anchor is not None
    assert verdict.anchor.anchor.mean == EQUAL[1]
    stage.go(hours=25)
    assert stage.weights == {"b": 10000}
    assert stage.status.rollback is not None
    assert stage.status.rollback.reason == "NotEnoughSamples"
    assert words in stage.status.rollback.message


def test_worse_than_stable_is_taken_back_whatever_the_anchor_says() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.episodes("return", {"a": (400, 300.0, 40.0), "b": EQUAL, "c": WORSE})
    stage.passes()
    assert stage.status.rollback is not None
    assert stage.status.rollback.reason == "Verdict"
    assert stage.weights == {"b": 10000}
    assert (stage.pinned or {})["c"] == "b"


def test_better_than_stable_and_worse_than_the_anchor_is_taken_back_by_nobody() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.episodes("return", {"a": (400, 900.0, 40.0), "b": EQUAL, "c": EQUAL})
    stage.go(seconds=2)
    assert stage.status.rollback is None
    assert stage.weights == {"b": 2500, "c": 5000, "a": 2500}


def test_it_leaves_the_route_before_its_pods_go_and_its_episodes_end() -> None:
    stage = serving("c", grace="30s")
    promoted(stage, "c", a=EQUAL, b=EQUAL, c=EQUAL)
    assert stage.weights == {"c": 10000}
    assert served(stage).until is not None, "the route without it is in force"
    assert (stage.pinned or {})["a"] == "a", "what it began ends there"
    assert asks_for(stage, "a")
    until = served(stage).until
    assert until is not None
    stage.now = until
    stage.passes()
    assert stage.status.served_anchor is None
    assert (stage.pinned or {})["a"] == "c"


def test_its_pods_stay_until_the_route_without_it_is_accepted() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.command("abort@1")
    stage.passes()
    assert stage.weights == {"b": 10000}, "with the intent"
    stage.scrape("c", rate=0.0, seconds=0)
    stage.ready("c", 0)
    stage.world.objects.pop(("Pod", "default", "c-0"))
    stage.go(seconds=1)
    assert stage.status.candidate is None
    assert served(stage).until is not None

    stage = serving("c")
    analyzed(stage, "c")
    stage.command("abort@1")
    stage.passes()
    stage.world.objects.pop(("Pod", "default", "c-0"))
    for _ in range(4):
        stage.later(minutes=5)
        stage.passes()
    assert stage.status.candidate is None, "closed endpoints end it without the Gateway"
    assert stage.status.rollback is not None
    assert stage.status.rollback.weight_zero_at is None
    assert served(stage).until is None
    assert asks_for(stage, "a"), "requests may still come to it"


def test_without_pods_it_gets_nothing_and_with_them_its_share_at_once() -> None:
    stage = serving("c")
    stage.ready("a", 0)
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.weights == {"b": 9000, "c": 1000}
    assert asks_for(stage, "a")
    stage.ready("a", 1)
    stage.go(seconds=5)
    assert stage.weights == {"b": 8000, "c": 1000, "a": 1000}
    weight = stage.status.weight
    assert weight is not None
    assert len(stage.status.weight_changes) == 2, "no window spans the change of stable's share"
    assert weight.since == stage.status.weight_changes[0], "the candidate's evidence goes on"
    stage.ready("a", 0)
    stage.passes()
    assert stage.weights == {"b": 9000, "c": 1000}, "in the same pass"


def test_its_pods_count_once_its_policy_has_heard_of_the_trial() -> None:
    """Until then they may be another rollout's, and about to be ended."""
    stage = serving("c")
    deployment = deployed(stage, kept_for="uid-somebody")
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.weights == {"b": 9000, "c": 1000}
    assert list(KIND.related(Change("Deployment", None, deployment), stage.world)) == [KEY]
    deployment = deployed(stage, kept_for=rollout_uid(stage))
    stage.go(seconds=1)
    assert stage.weights == {"b": 8000, "c": 1000, "a": 1000}
    assert list(KIND.related(Change("Deployment", None, deployment), stage.world)) == []


def test_its_part_ends_with_its_policy_and_no_rule_leads_to_what_is_gone() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.world.remove("RLPolicy", "a")
    stage.passes()
    assert stage.weights == {"b": 5000, "c": 5000}
    assert "a" not in (stage.pinned or {}).values()
    assert stage.status.served_anchor is None
    stage.episodes("return", {"b": EQUAL, "c": EQUAL})
    stage.go(seconds=2).go(seconds=2)
    assert stable(stage) == "c", "one version promoted since the approval: nobody is asked yet"


def test_a_deleted_policy_whose_pods_serve_on_is_still_compared() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.deletes("a")
    stage.passes()
    assert stage.weights == {"b": 2500, "c": 5000, "a": 2500}


@pytest.mark.parametrize("how", ["deleted", "without pods", "made again"])
def test_where_it_cannot_be_served_a_person_is_asked(how: str) -> None:
    stage = serving("c", approveAfter=1)
    analyzed(stage, "c")
    if how == "deleted":
        stage.world.remove("RLPolicy", "a")
    elif how == "without pods":
        stage.ready("a", 0)
        stage.passes()
        stage.episodes("return", {"b": EQUAL, "c": EQUAL})
        stage.go(seconds=1)
        assert stage.reason == "Analyzing", "its pods may come"
        stage.later(minutes=10)
    else:
        artifact = {"uri": "store://sha256/x", "digest": digest("x")}
        stage.world.patch("RLPolicy", "a", {"spec": {"artifact": artifact}})
    stage.passes()
    stage.episodes("return", {"b": EQUAL, "c": EQUAL})
    stage.go(seconds=1)
    assert stage.weights == {"b": 5000, "c": 5000}
    assert stage.reason == "ApprovalNeeded"
    assert stage.status.phase is RolloutPhase.WAITING_FOR_APPROVAL
    assert "cannot be held against a" in stage.message
    stage.command("approve@1")
    stage.go(seconds=1).go(seconds=2)
    assert stable(stage) == "c"


def test_before_a_candidate_is_taken_up_a_person_is_asked_where_it_is_gone() -> None:
    stage = serving("c", "d")
    promoted(stage, "c", a=EQUAL, b=EQUAL, c=EQUAL)
    stage.go(minutes=2)
    stage.world.remove("RLPolicy", "a")
    stage.wants("d")
    stage.passes()
    assert stage.reason == "ApprovalNeeded"
    assert "RLPolicy a was deleted" in stage.message
    stage.publish("a")
    stage.go(seconds=1)
    assert stage.status.candidate is not None, "it is there again"
    assert served(stage).on_route


def test_an_approval_during_the_trial_ends_its_part() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.episodes("return", {"a": EQUAL, "b": WORSE, "c": WORSE})
    stage.go(seconds=2)
    stage.command("approve@1")
    stage.go(seconds=1)
    assert stage.weights is not None
    assert "a" not in stage.weights
    stage.go(seconds=2)
    assert stable(stage) == "c"


def test_the_spec_may_ask_for_it_and_let_it_go_during_a_trial() -> None:
    stage = serving("c", anchor="Approve")
    analyzed(stage, "c")
    assert stage.weights == {"b": 5000, "c": 5000}
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"anchor": "Serve"}}})
    stage.go(seconds=1)
    assert stage.weights == {"b": 2500, "c": 5000, "a": 2500}
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"anchor": "Approve"}}})
    stage.go(seconds=1)
    assert stage.weights == {"b": 5000, "c": 5000}
    assert served(stage).until is not None


def test_a_pass_on_record_from_before_it_was_asked_for_does_not_count() -> None:
    """The operator starts anew with a Pass on record, and the spec asks for the anchor since a moment ago."""
    stage = serving("c", anchor="Approve")
    analyzed(stage, "c")
    held = stage.world.objects["RLRollout", "default", "cartpole"]
    stage.episodes("return", {"b": EQUAL, "c": EQUAL})
    plan = stage.world.plan(KIND, KEY, stage.now)
    assert plan.status is not None
    held["status"]["verdicts"] = plan.status["verdicts"]
    stage.world.facts.clear()
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"anchor": "Serve"}}})
    stage.passes()
    assert stage.status.step is not None
    assert stage.status.step.kind == "analyze"
    (verdict,) = stage.status.verdicts
    assert verdict.verdict is Verdict.NOT_ENOUGH_SAMPLES


def test_going_back_to_it_or_to_the_version_before_needs_no_third() -> None:
    stage = serving("c")
    promoted(stage, "c", a=EQUAL, b=EQUAL, c=EQUAL)
    stage.wants("b")
    stage.go(seconds=1)
    assert stable(stage) == "b", "still warm"
    stage.go(minutes=2)
    stage.wants("a")
    stage.go(seconds=1)
    assert stage.weights == {"b": 9000, "a": 1000}
    assert stage.status.served_anchor is None


def test_it_answers_where_stable_is_lost_and_nobody_else_does() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.ready("c", 0)
    stage.world.remove("RLPolicy", "b")
    stage.passes()
    assert stage.weights == {"a": 10000}
    assert "a answers instead" in stage.message


def test_promote_takes_it_off_with_stable() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    stage.command("promote@1")
    stage.passes()
    assert stage.weights == {"c": 10000}


def test_pods_that_come_and_go_do_not_make_the_trial_forget_its_weights() -> None:
    stage = serving("c")
    analyzed(stage, "c")
    first = stage.status.weight_changes[0]
    for _ in range(60):
        stage.ready("a", 0)
        stage.go(seconds=2)
        stage.ready("a", 1)
        stage.go(seconds=2)
    assert stage.status.weight_changes[0] == first
    assert stage.weights == {"b": 5000, "c": 5000}
    stage.episodes("return", {"b": EQUAL, "c": EQUAL})
    stage.go(seconds=2).go(seconds=2)
    assert stable(stage) == "c", "it is left out then, as any that cannot be served"


@pytest.mark.parametrize("spoilt", [{"metrics": ANALYSIS["metrics"][1:]}, {"steps": [{"setWeight": 50}]}])
def test_a_spec_that_compares_nothing_with_it_is_told(spoilt: dict[str, Any]) -> None:
    stage = serving("c")
    steps = spoilt.pop("steps", None)
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": spoilt}})
    if steps is not None:
        stage.edits_steps(*steps)
    stage.wants("c")
    stage.go(seconds=1)
    assert stage.reason == "InvalidSpec"
    assert "spec.analysis.anchor: Serve needs an analyze step" in stage.message


def withdrawn_anchor() -> Stage:
    """`a`, which was served beside the trial of c, was put on trial itself, and a person has aborted that."""
    stage = serving("c", "d")
    stage.wants("c")
    stage.go(seconds=1).go(seconds=31)
    assert served(stage).on_route
    stage.wants("a")
    stage.go(seconds=1).later(seconds=2)
    stage.scrape("c", rate=0.0)
    stage.go(seconds=1)
    assert stage.status.candidate is not None
    assert (stage.status.candidate.policy, served(stage).policy) == ("a", "a")
    stage.command("abort@1")
    return stage


def test_episodes_leave_an_anchor_that_is_withdrawn_as_a_candidate() -> None:
    """Its own would keep it busy until the deadline, and then end at closed endpoints."""
    stage = withdrawn_anchor()
    stage.passes()
    assert stage.weights == {"b": 10_000}
    assert (stage.pinned or {})["a"] == "b"


def test_a_version_that_was_rolled_back_is_not_served_as_the_anchor() -> None:
    stage = withdrawn_anchor()
    stage.go(seconds=1).later(seconds=2)
    stage.scrape("a", rate=0.0)
    stage.go(seconds=1)
    assert stage.status.rejected_digests == [digest("a")]
    assert stage.status.served_anchor is None, "nor does its rule come back for the episodes that it had"
    stage.wants("d")
    stage.go(seconds=1).go(seconds=31)
    assert stage.weights == {"b": 5_000, "d": 5_000}
    assert "a" not in (stage.pinned or {}).values()
