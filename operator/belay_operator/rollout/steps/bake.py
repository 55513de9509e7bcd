"""`bake` and `promote`: the two ways a rollout ends well, as step kinds that no spec lists.

Baking: the candidate has all traffic and is watched by its limits. Stable gets no new episodes meanwhile, so a
comparison has no new windows; only those that had both sides still ripen. A promotion is not undone by itself, so what
is promoted has its pods at that moment, and every metric was looked at (the operator may have been away for the whole
bake), and no limit counts a breach. `promote` is the way without watching: for
the first version, for going back to a version still warm, and for the command.
"""

from datetime import datetime

from belay_api.reasons import RolloutReason, Verdict
from belay_api.rollout import Step
from belay_api.units import format_instant
from belay_operator.rollout.judging import seen
from belay_operator.rollout.move import Move, Wait
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.steps.set_weight import SetWeight, has_capacity, short_of_pods

ALL = Step(set_weight=100)


class Bake:
    """Stay at all traffic for `bake.duration`."""

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Nothing: time passes by itself."""
        return None

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for the duration, counted from when the Gateway had accepted all traffic; then for pods and looks."""
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
    """Return the metrics that nobody has looked at yet, and the limits that count a breach."""
    breached = {look.metric for look in observed.looks or () if look.verdict is Verdict.NOT_ENOUGH_SAMPLES}
    return [
        metric.name
        for metric in observed.spec.analysis.metrics
        if not seen(observed, metric) or (metric.limit is not None and metric.name in breached)
    ]


class Promote(SetWeight):
    """All traffic at once, and nothing to wait for but the Gateway."""

    def act(self, step: Step, observed: Observed, now: datetime) -> Move | None:
        """Record all traffic."""
        return super().act(ALL, observed, now)

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for capacity and for the Gateway."""
        return super().wait(ALL, observed, now)
