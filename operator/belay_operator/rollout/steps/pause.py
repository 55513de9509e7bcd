"""`pause`: stay at this weight for a time. The guard rails and Fail hold meanwhile."""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_api.rollout.steps import Step
from belay_api.units import format_instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.steps.step import StepKind
from belay_operator.rollout.wait import Wait


class Pause(StepKind):
    """The StepKind."""

    name = "pause"
    announced = False

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for the duration, counted from the recorded start of the step."""
        started = observed.status.step
        if step.pause is None or started is None:
            return None
        until = started.started_at + step.pause.duration
        if now >= until:
            return None
        return Wait(RolloutReason.PAUSED, f"pausing until {format_instant(until)}", until - now)


KIND = Pause()
