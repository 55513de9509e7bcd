"""`bake`: the candidate has all traffic and is watched by its limits before it becomes stable. No spec lists it.

Stable gets no new episodes meanwhile, so a comparison has no new windows; only those that had both sides still ripen. A
promotion is not undone by itself. So what is promoted has its pods at that moment, every metric was looked at (the
operator may have been away for the whole bake), and no limit may be in a breach.
"""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_api.rollout.status import RolloutPhase
from belay_api.rollout.steps import Step
from belay_api.units import format_instant
from belay_operator.rollout.capacity import has_capacity, short_of_pods
from belay_operator.rollout.followed import left_out
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.rails import unsettled
from belay_operator.rollout.steps.step import StepKind
from belay_operator.rollout.wait import Wait


class Bake(StepKind):
    """Stay at all traffic for `bake.duration`."""

    name = "bake"
    phase = RolloutPhase.BAKING
    announced = False
    ends_in_promotion = True

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for the duration, counted from when all traffic was accepted; then for pods and looks."""
        started = observed.status.step
        if started is None:
            return None
        until = started.started_at + observed.spec.bake.duration
        if now < until:
            return Wait(RolloutReason.BAKING, f"all traffic, watched until {format_instant(until)}", until - now)
        if not has_capacity(observed):
            return short_of_pods(observed, "watched long enough, but not promoted")
        unsettled = _unsettled(observed)
        if not unsettled:
            return None
        return Wait(RolloutReason.BAKING, f"watched long enough; waiting for another look at {', '.join(unsettled)}")


def _unsettled(observed: Observed) -> list[str]:
    """Return the metrics that nobody has looked at yet, and the limits that may be in a breach."""
    verdicts, without = {verdict.metric: verdict for verdict in observed.verdicts or ()}, left_out(observed)
    return [
        metric.name
        for metric in observed.spec.analysis.deciding
        if metric.name not in without
        and (metric.name not in observed.readings or unsettled(metric, verdicts.get(metric.name)))
    ]


KIND = Bake()
