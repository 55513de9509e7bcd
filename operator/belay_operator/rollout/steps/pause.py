"""`pause`: stay at this weight for a time, or until somebody sends `resume`. Guard rails and Fail hold meanwhile."""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_api.rollout.steps import Step
from belay_api.units import format_instant
from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.steps.step import StepKind, over_at
from belay_operator.rollout.wait import Wait


class Pause(StepKind):
    """The StepKind."""

    name = "pause"
    announced = False

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for the duration, counted from the recorded start of the step; without one, for a person."""
        started, until = observed.status.step, _until(step, observed)
        if step.pause is None or started is None or started.resumed_at is not None:
            return None
        if until is None:
            return Wait(RolloutReason.PAUSED, "pausing until somebody sends the command resume")
        if now >= until:
            return None
        return Wait(RolloutReason.PAUSED, f"pausing until {format_instant(until)}", until - now)

    def on_command(self, command: Command, step: Step, observed: Observed, now: datetime) -> Move | str | None:
        """End a pause without a duration by `resume`, and with it the command `pause` that was given meanwhile."""
        started, until = observed.status.step, _until(step, observed)
        if command.action != "resume" or step.pause is None or started is None or started.resumed_at is not None:
            return None
        if until is None:
            resumed = started.model_copy(update={"resumed_at": instant(now)})
            return Move(changed(observed.status, step=resumed, paused=None))
        if observed.status.paused is not None or now >= until:
            return None
        return f"this pause ends by itself at {format_instant(until)}; send skip to end it now"


def _until(step: Step, observed: Observed) -> datetime | None:
    """When it ends by itself; None: it does not."""
    return None if step.pause is None else over_at(observed, step.pause.duration)


KIND = Pause()
