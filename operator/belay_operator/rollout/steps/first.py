"""`first`: the first version of a rollout gets all traffic, and is held to its limits. No spec lists it.

There is nothing to compare it with and nobody else who answers, so it takes no steps. It becomes stable once every
limit was looked at and none may be in a breach. It is no breach that there are no requests yet.
"""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_api.rollout.status import RolloutPhase
from belay_api.rollout.steps import Step
from belay_operator.rollout.followed import left_out
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.rails import unsettled
from belay_operator.rollout.steps.promote import ALL_TRAFFIC
from belay_operator.rollout.steps.set_weight import record_weight, weight_trouble
from belay_operator.rollout.steps.step import StepKind
from belay_operator.rollout.wait import Wait


class First(StepKind):
    """All traffic at once, then a look at every limit."""

    name = "first"
    phase = RolloutPhase.PREPARING
    announced = False
    ends_in_promotion = True

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record all traffic."""
        return record_weight(observed, ALL_TRAFFIC)

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for capacity, for the route to be accepted, and for the limits."""
        trouble = weight_trouble(observed, ALL_TRAFFIC, now)
        if trouble is not None:
            return trouble
        verdicts, without = {verdict.metric: verdict for verdict in observed.verdicts or ()}, left_out(observed)
        open_limits = [
            metric.name
            for metric in observed.spec.analysis.deciding
            if metric.limit is not None
            and not metric.needs_stable
            and metric.name not in without
            and unsettled(metric, verdicts.get(metric.name))
        ]
        if not open_limits:
            return None
        return Wait(RolloutReason.ANALYZING, f"it has all traffic; waiting for a look at {', '.join(open_limits)}")


KIND = First()
