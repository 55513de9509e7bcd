"""`promote`: all traffic at once, without watching, then promotion. No spec lists it.

It is the way for the command, and for going back to a version that is still warm.
"""

from datetime import datetime

from belay_api.rollout.steps import Step
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.steps.set_weight import record_weight, weight_trouble
from belay_operator.rollout.steps.step import StepKind
from belay_operator.rollout.wait import Wait

ALL_TRAFFIC = 100.0


class Promote(StepKind):
    """All traffic at once, and nothing to wait for but that it is accepted."""

    name = "promote"
    judged = False
    announced = False  # told once, by its end
    ends_in_promotion = True
    needs_fit_spec = False  # it follows neither the steps nor the analysis

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record all traffic."""
        return record_weight(observed, ALL_TRAFFIC)

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for capacity and for the route to be accepted."""
        return weight_trouble(observed, ALL_TRAFFIC, now)


KIND = Promote()
