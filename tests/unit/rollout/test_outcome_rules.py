"""What follows a metric's verdicts over many looks: told once, recorded, and forgotten with the step."""

from typing import Any

import pytest
from tests.unit.rollout.stage import ANALYSIS, SPEC, Stage
from tests.unit.rollout.test_stories import healthy

from belay_api.rollout.analysis import AnalysisSpec
from belay_operator.rollout import specification
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.queries import budget
from belay_operator.rollout.trials import trial_of

RETURN, LATENCY = ANALYSIS["metrics"]
GOOD, BAD = {"b": (300, 480.0, 40.0), "a": (300, 480.0, 40.0)}, {"b": (300, 200.0, 40.0), "a": (300, 480.0, 40.0)}


def on_trial(*metrics: dict[str, Any], steps: list[Any] | None = None) -> Stage:
    """A candidate at half of the traffic, before an analyze step's first look."""
    analysis = {"window": "10s", "grace": "2s", "metrics": list(metrics)}
    stage = healthy("b", steps=steps or [{"setWeight": 50}, {"analyze": {}}], analysis=analysis)
    stage.wants("b")
    return stage.go(seconds=1)


def test_going_on_without_a_metric_is_told_once_and_stays_in_status() -> None:
    cost = {**RETURN, "name": "cost", "source": {"logbook": {"outcome": "cost"}}}
    stage = on_trial(RETURN, {**cost, "onNoData": {"after": "10s", "action": "Continue"}})
    stage.episodes("return", GOOD)
    stage.go(seconds=1)
    assert stage.reason == "Analyzing"
    stage.no_episodes("cost")
    stage.go(seconds=1)
    assert "WentOnWithout" not in stage.told
    stage.go(seconds=10)
    assert stage.told.count("WentOnWithout") == 1
    assert stage.status.step is not None
    assert stage.status.step.index == 2
    stage.go(seconds=1).go(seconds=100)
    stage.scrape("b", rate=10.0)
    stage.go(seconds=1)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"
    assert stage.told.count("WentOnWithout") == 1, "with all traffic a comparison is not waited for"
    assert stage.status.history[-1].message == "instead of a, without a Pass of cost"


def test_more_time_is_given_as_often_as_the_metric_says() -> None:
    rule = {"after": "10s", "action": "Extend", "by": "20s", "times": 2, "then": "Rollback"}
    stage = on_trial({**RETURN, "onNotEnoughSamples": rule})
    stage.episodes("return", {"b": (5, 480.0, 40.0), "a": (5, 480.0, 40.0)})
    for waited, given in ((1, 0), (10, 1), (10, 1), (10, 2), (15, 2)):
        stage.go(seconds=waited)
        assert stage.told.count("VerdictExtended") == given
        assert stage.status.rollback is None
    stage.go(seconds=5)
    assert stage.status.rollback is not None
    assert stage.status.rollback.reason == "NotEnoughSamples"


def test_more_time_at_once_is_given_in_one_pass() -> None:
    """Two rules that are due at the instant the step begins must not chase each other."""
    rule = {"after": "0s", "action": "Extend", "by": "1ms", "times": 3, "then": "Hold"}
    stage = on_trial({**RETURN, "onNotEnoughSamples": rule})
    stage.episodes("return", {"b": (5, 480.0, 40.0), "a": (5, 480.0, 40.0)})
    stage.go(seconds=10)
    assert stage.told.count("VerdictExtended") == 3
    assert stage.reason == "Holding"


def test_a_fail_that_is_held_ends_by_its_time_or_by_a_person() -> None:
    def failed() -> Stage:
        stage = on_trial({**RETURN, "onFail": {"after": "1m", "action": "Rollback"}})
        stage.episodes("return", BAD)
        return stage.go(seconds=1)

    stage = failed()
    assert (stage.reason, stage.weights) == ("VerdictFailed", {"a": 5000, "b": 5000})
    stage.episodes("return", GOOD)  # as the numbers of a look may
    stage.go(seconds=30)
    assert stage.told.count("VerdictFailed") == 1
    assert stage.reason == "VerdictFailed"
    stage.go(seconds=30)
    assert stage.weights == {"a": 10000}

    stage = failed()
    stage.command("promote@1")
    stage.go(seconds=1).go(seconds=1)
    assert stage.status.stable is not None
    assert stage.status.stable.policy == "b"

    stage = failed()
    stage.command("abort@1")
    stage.go(seconds=1)
    assert stage.weights == {"a": 10000}


def test_a_dry_run_is_told_once_and_the_rollout_ends_as_without_it() -> None:
    cost = {**RETURN, "name": "cost", "source": {"logbook": {"outcome": "cost"}}, "dryRun": True}
    stage = on_trial(cost, RETURN)
    stage.episodes("cost", BAD)
    stage.go(seconds=1)
    assert stage.told.count("DryRunFailed") == 1
    stage.episodes("cost", GOOD)
    stage.go(seconds=10)
    dry = next(verdict for verdict in stage.status.verdicts if verdict.metric == "cost")
    assert (dry.verdict, dry.dry_run) == ("Fail", True), "as the rollback would stand"
    stage.episodes("return", GOOD)
    stage.go(seconds=10)
    assert stage.status.step is not None
    assert stage.status.step.index == 2
    assert stage.told.count("DryRunFailed") == 1


@pytest.mark.parametrize("dry", [0, 3])
def test_a_dry_run_has_no_part_of_the_error(dry: int) -> None:
    cost = {**RETURN, "name": "cost", "dryRun": True}
    analysis = AnalysisSpec.model_validate({"metrics": [RETURN, *({**cost, "name": f"c{i}"} for i in range(dry))]})
    own, *tried = (budget(analysis, metric, trial=1) for metric in analysis.metrics)
    assert (own.outcome, own.missing) == (split(0.01, 1).outcome, split(0.01, 1).missing)
    wanted = split(0.01, 2)
    assert {(one.outcome, one.missing) for one in tried} <= {(wanted.outcome, wanted.missing)}, "as if it decided too"


def test_what_follows_a_verdict_may_be_edited_without_another_test_of_the_candidate() -> None:
    stage = on_trial(RETURN)
    before = trial_of(stage.status)
    rule = {"after": "1h", "action": "Hold"}
    stage.edits_metrics({**RETURN, "onNotEnoughSamples": rule, "onFail": rule, "dryRun": False})
    stage.go(seconds=1)
    assert trial_of(stage.status) == before
    stage.edits_metrics({**RETURN, "dryRun": True}, LATENCY)
    stage.go(seconds=1)
    assert trial_of(stage.status) == before + 1


def test_metrics_of_one_outcome_have_one_grace() -> None:
    """They share one question to the logbook."""
    metrics = [RETURN, {**RETURN, "name": "late", "grace": "14d"}]
    read = specification.read({**SPEC, "analysis": {"metrics": metrics}}, serving=None)
    assert read.unfit is not None
    assert "another metric of the outcome return has another grace; give all of them the same" in read.unfit
