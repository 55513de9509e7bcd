"""`analyze`: stay at this weight until every metric has passed.

Pass is asked of all metrics at one look, and one that was recorded before the step began counts only beside a fact at
hand: an operator that was away for hours goes by what is true now. A Fail never gets here: it ends the rollout at any
step (`judging`). Verdicts that stay away are told apart, and each has its own patience (`patience`).
"""

from datetime import datetime

from belay_api.reasons import RolloutReason, Verdict
from belay_api.rollout import Step
from belay_operator.rollout.judging import seen
from belay_operator.rollout.move import Move, Wait
from belay_operator.rollout.observed import Observed


class Analyze:
    """The StepKind."""

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Nothing: looks are taken at every step."""
        return None

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for Pass of every metric; a metric nobody has looked at has not passed."""
        looks, started = {look.metric: look for look in observed.looks or ()}, observed.status.step
        missing = []
        for metric in observed.spec.analysis.metrics:
            look = looks.get(metric.name)
            if look is None or (started and look.at < started.started_at and not seen(observed, metric)):
                missing.append(f"{metric.name} (no look yet)")
            elif look.verdict is not Verdict.PASS:
                missing.append(f"{metric.name} ({look.verdict})")
        if not missing:
            return None
        return Wait(RolloutReason.ANALYZING, f"waiting for Pass of {', '.join(missing)}")
