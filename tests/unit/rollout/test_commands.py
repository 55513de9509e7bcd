"""What a person may say to a rollout while a candidate is on trial, and after its promotion."""

from typing import Any

from tests.unit.rollout.stage import ANALYSIS, Stage, digest
from tests.unit.rollout.test_approvals import says, stable

from belay_api.rollout.status import RolloutPhase

UNJUDGED = ANALYSIS | {"metrics": []}
STEPS = [{"setWeight": 10}, {"pause": {"duration": "30s"}}, {"setWeight": 50}, {"pause": {}}]


def on_trial(*steps: dict[str, Any], **spec: Any) -> Stage:
    """`b` is at its second step, with a tenth of the traffic."""
    rest = {"analysis": UNJUDGED, "bake": {"duration": "1m", "keepWarm": "1h"}} | spec
    stage = Stage("a", "b", "c", steps=list(steps or STEPS), **rest).go()
    stage.wants("b")
    return stage.go(seconds=1)


def promoted(**spec: Any) -> Stage:
    """`b` is stable and `a` warm."""
    stage = on_trial({"setWeight": 50}, **spec)
    stage.go(seconds=1).go(minutes=2)
    assert stable(stage) == "b"
    return stage


def drained(stage: Stage, policy: str) -> None:
    """The Gateway has accepted the route without it, and its pods are seen without requests."""
    stage.accept()
    stage.passes()
    stage.later(seconds=2)
    stage.scrape(policy, rate=0.0)
    stage.go(seconds=1)


# --- pause and resume -------------------------------------------------------------------------------------------------
def test_a_pause_without_a_duration_waits_for_resume() -> None:
    stage = on_trial({"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}})
    stage.go(days=3)
    assert stage.weights == {"a": 9000, "b": 1000}
    assert (stage.reason, stage.message) == ("Paused", "pausing until somebody sends the command resume")
    assert says(stage, "resume@1") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}
    stage.go(days=3)
    assert stage.weights == {"a": 5000, "b": 5000}, "the next one waits for a command of its own"


def test_a_person_holds_a_candidate_at_its_step() -> None:
    stage = on_trial()
    assert says(stage, "pause@1") is None
    stage.go(days=3)
    assert stage.weights == {"a": 9000, "b": 1000}
    assert stage.reason == "Paused"
    assert "pause@1" in stage.message
    assert says(stage, "pause@2") == "b is held already, by pause@1"
    assert says(stage, "resume@1") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}


def test_who_is_held_before_his_first_step_gets_no_traffic() -> None:
    stage = Stage("a", "b", steps=STEPS, analysis=UNJUDGED).go()
    stage.ready("b", 0)
    stage.wants("b")
    stage.go(seconds=1)
    assert says(stage, "pause@1") is None
    stage.ready("b", 1)
    stage.go(seconds=1).go(hours=1)
    assert stage.weights == {"a": 10000}
    assert stage.reason == "Paused"
    assert says(stage, "resume@1") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 9000, "b": 1000}


def test_a_hold_outlives_steps_that_begin_again() -> None:
    stage = on_trial()
    says(stage, "pause@1")
    stage.edits_steps({"setWeight": 20}, *STEPS[1:])
    stage.go(seconds=1).go(hours=1)
    assert stage.weights == {"a": 9000, "b": 1000}
    assert stage.status.paused is not None


def test_who_is_held_is_judged_and_may_be_taken_back() -> None:
    limit = ANALYSIS["metrics"][1]
    stage = on_trial(analysis=ANALYSIS | {"metrics": [limit]})
    says(stage, "pause@1")
    stage.scrape("b", rate=50.0, slow=1.0)
    stage.passes()
    assert stage.weights == {"a": 10000}
    drained(stage, "b")
    assert stage.status.paused is None


def test_promote_goes_past_a_hold() -> None:
    stage = on_trial()
    says(stage, "pause@1")
    assert says(stage, "promote@1") is None
    stage.go(seconds=1)
    assert stable(stage) == "b"
    assert stage.status.paused is None


def test_a_bake_is_held_as_well() -> None:
    stage = on_trial({"setWeight": 50})
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.BAKING
    says(stage, "pause@1")
    stage.go(hours=5)
    assert stable(stage) == "a"
    says(stage, "resume@1")
    stage.go(seconds=1)
    assert stable(stage) == "b"


def test_a_hold_is_refused_where_there_is_nothing_to_hold() -> None:
    stage = Stage("a", "b", steps=STEPS, analysis=UNJUDGED).go()
    assert "no candidate to hold" in (says(stage, "pause@1") or "")
    assert "nothing is held" in (says(stage, "resume@1") or "")
    stage.wants("b")
    stage.go(seconds=1)
    assert "ends by itself" in (says(stage, "resume@2") or "")
    says(stage, "abort@1")
    assert "rolled back" in (says(stage, "pause@2") or "")


# --- skip -------------------------------------------------------------------------------------------------------------
def test_skip_ends_this_step_and_no_other() -> None:
    stage = on_trial()
    assert says(stage, "skip@1") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}
    assert [(one.index, one.kind, one.command) for one in stage.status.skipped] == [(1, "pause", "1")]
    assert "StepSkipped" in stage.told
    stage.go(days=1)
    assert stage.weights == {"a": 5000, "b": 5000}
    says(stage, "resume@1")
    stage.go(seconds=1).go(minutes=2)
    assert stable(stage) == "b"
    assert stage.status.history[-1].message == "instead of a; skipped: step 2 (pause) by skip@1"
    assert stage.status.skipped == []


def test_who_is_held_stays_held_behind_a_skipped_step() -> None:
    stage = on_trial()
    says(stage, "pause@1")
    assert says(stage, "skip@1") is None
    stage.go(seconds=1).go(hours=1)
    assert stage.weights == {"a": 9000, "b": 1000}


def test_a_verdict_that_is_missing_may_be_skipped_and_one_that_failed_may_not() -> None:
    steps = ({"setWeight": 10}, {"analyze": {}}, {"setWeight": 50}, {"pause": {}})
    stage = on_trial(*steps, analysis=ANALYSIS)
    assert stage.reason == "Analyzing"
    assert says(stage, "skip@1") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}
    stage = on_trial(*steps, analysis=ANALYSIS)
    stage.scrape("b", rate=50.0, slow=1.0)
    assert says(stage, "skip@1") == "latency has failed, which is not skipped; send promote or abort"
    assert stage.weights == {"a": 10000}


def test_a_metric_on_which_nothing_rests_bars_no_skip() -> None:
    returned, latency = ANALYSIS["metrics"]
    dry = ANALYSIS | {"metrics": [returned, latency | {"dryRun": True}]}
    stage = on_trial({"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}, analysis=dry)
    stage.scrape("b", rate=50.0, slow=1.0)
    assert says(stage, "skip@1") is None
    stage.go(seconds=1)
    assert stage.weights == {"a": 5000, "b": 5000}


def test_past_the_steps_there_is_nothing_to_skip() -> None:
    stage = on_trial({"setWeight": 50})
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.BAKING
    assert "send promote" in (says(stage, "skip@1") or "")
    stage.go(minutes=2)
    assert says(stage, "skip@2") == "no step is under way"


# --- undo -------------------------------------------------------------------------------------------------------------
def test_undo_goes_back_in_one_step_and_rejects_what_it_leaves() -> None:
    stage = promoted()
    stage.command("undo@1")
    stage.passes()
    assert stage.weights == {"a": 10000}, "in the pass that sees the command"
    assert stage.pinned == {"a": "a", "b": "a"}, "episodes under way leave it too"
    assert stable(stage) == "a"
    assert stage.status.phase is RolloutPhase.ROLLING_BACK
    drained(stage, "b")
    status = stage.status
    assert status.candidate is None
    assert status.previous is None
    assert status.rejected_digests == [digest("b")]
    assert status.rollback is not None
    assert status.rollback.drained_at is not None
    assert (status.phase, stage.reason) == (RolloutPhase.ROLLED_BACK, "RolledBack")
    assert "a person sent undo@1" in stage.message
    assert "Change spec.policy, or send the command retry" in stage.message
    stage.go(hours=2)
    assert stage.weights == {"a": 10000}, "the spec still names b, and it is not taken up again"
    stage.wants("a")
    stage.go(seconds=1)
    assert stage.status.phase is RolloutPhase.HEALTHY, "Git was reverted"


def test_after_undo_a_retry_takes_every_step_again() -> None:
    stage = promoted()
    says(stage, "undo@1")
    drained(stage, "b")
    assert says(stage, "retry@1") is None
    stage.go(seconds=1)
    assert stage.status.step is not None
    assert stage.status.step.kind == "setWeight"
    assert stable(stage) == "a", "a version that is warm would be stable at once"


def test_undo_is_refused_where_nothing_is_warm() -> None:
    stage = promoted()
    stage.ready("a", 0)
    assert "a has no ready pod" in (says(stage, "undo@1") or "")
    stage.go(hours=2)
    assert says(stage, "undo@2") == "no version before is kept warm any more; name the one to go back to in spec.policy"
    assert stage.weights == {"b": 10000}


def test_undo_is_for_what_was_promoted() -> None:
    stage = promoted()
    stage.wants("c")
    stage.go(seconds=1)
    assert "c is on trial: send abort" in (says(stage, "undo@1") or "")
    says(stage, "abort@1")
    assert "a rollback is under way" in (says(stage, "undo@2") or "")
    drained(stage, "c")
    assert says(stage, "undo@3") is None
    assert stage.weights == {"a": 10000}
    assert stable(stage) == "a"


def test_undo_takes_its_promotion_off_the_count() -> None:
    stage = promoted()
    anchor = stage.status.anchor
    assert anchor is not None
    assert (anchor.policy, anchor.promotions) == ("a", 1)
    says(stage, "undo@1")
    anchor = stage.status.anchor
    assert anchor is not None
    assert (anchor.policy, anchor.promotions) == ("a", 0)


def test_what_is_rejected_is_nobodys_measure() -> None:
    stage = on_trial()
    says(stage, "promote@1")
    stage.go(seconds=1)
    assert stage.status.anchor is not None
    assert stage.status.anchor.policy == "b"
    says(stage, "undo@1")
    assert stage.status.anchor.policy == "a"
