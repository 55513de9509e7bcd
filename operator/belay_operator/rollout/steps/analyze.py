"""`analyze`: stay at this weight until every metric has passed.

Pass is asked of all metrics at one look. A Fail never gets here: it ends the rollout at any step (`judging`). Verdicts
that stay away are told apart, and each has its own patience (`patience`).
"""

from datetime import datetime

from belay_api.reasons import RolloutReason, Verdict
from belay_api.rollout import Step
from belay_operator.rollout.move import Move, Wait
from belay_operator.rollout.observed import Observed


class Analyze:
    """The StepKind."""

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Nothing: looks are taken at every step."""
        return None

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for Pass of every metric; a metric nobody has looked at has not passed."""
        verdicts = {look.metric: look.verdict for look in observed.looks or ()}
        missing = [
            f"{metric.name} ({verdicts.get(metric.name, 'no look yet')})"
            for metric in observed.spec.analysis.metrics
            if verdicts.get(metric.name) is not Verdict.PASS
        ]
        if not missing:
            return None
        return Wait(RolloutReason.ANALYZING, f"waiting for Pass of {', '.join(missing)}")
