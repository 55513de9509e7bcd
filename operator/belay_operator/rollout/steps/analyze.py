"""`analyze`: stay at this weight until every metric that decides has passed on what was measured at this weight.

Pass is asked of all at one look, but of those that their own rules go on without. Evidence from an earlier weight does
not count, and neither does a verdict recorded before the step began, until its metric is measured again. A Fail never
gets here: it ends the rollout at any step, or holds it there (`situations/metric_failed`). Verdicts that stay away are
told apart, and each has its own patience (`patience`).
"""

from datetime import datetime, timedelta

from belay_api.reasons import RolloutReason, Verdict
from belay_api.rollout.metric import Metric
from belay_api.rollout.steps import Step
from belay_operator.rollout.followed import left_out
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.steps.step import StepKind
from belay_operator.rollout.wait import Wait


class Analyze(StepKind):
    """The StepKind."""

    name = "analyze"
    asks_for_pass = True
    announced = False

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for Pass of every metric; a metric nobody has looked at has not passed."""
        without = left_out(observed)
        missing = [
            f"{metric.name} ({words})"
            for metric in observed.spec.analysis.deciding
            if metric.name not in without and (words := _missing(metric, observed)) is not None
        ]
        if not missing:
            return None
        return Wait(RolloutReason.ANALYZING, f"waiting for Pass of {', '.join(missing)}")

    def timeout(self, step: Step) -> timedelta | None:
        """Return the step's own limit."""
        return step.analyze.timeout if step.analyze else None


def _missing(metric: Metric, observed: Observed) -> str | None:
    """What a metric lacks; None: it has passed at this weight."""
    verdict = next((v for v in observed.verdicts or () if v.metric == metric.name), None)
    weight, started = observed.status.weight, observed.status.step
    measured_again = metric.name in observed.readings
    if verdict is None or (started is not None and verdict.at < started.started_at and not measured_again):
        return "no look yet"
    if verdict.verdict is not Verdict.PASS:
        withheld = verdict.anchor is not None and verdict.anchor.withholds
        return verdict.message if withheld else str(verdict.verdict)
    if weight is None or weight.since is None or verdict.evidence_since != weight.since:
        return "no look at this weight yet"
    return None


KIND = Analyze()
