"""What a step kind is: what it does to the recorded status, and what it then waits for.

`act` is asked on every pass, so it must find nothing to do once it is done. A step is over when `wait` finds nothing.
"""

from datetime import datetime
from typing import Protocol

from belay_api.rollout import Step
from belay_operator.rollout.move import Move, Wait
from belay_operator.rollout.observed import Observed


class StepKind(Protocol):
    """One kind of step."""

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Return the change of status that the step asks for, or None when it is recorded or not possible yet."""

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Return what the step waits for, or None when it is over."""
