"""Whoever carries traffic has accepted the recorded weight: it is in force.

With the first one above 0 the trial begins, and with each new one the evidence that counts for Pass begins anew.
"""

from datetime import datetime

from belay_api.rollout import MAX_WEIGHT_CHANGES, AcceptedWeight, WeightStatus
from belay_operator.rollout import route
from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.trials import begun


def act(observed: Observed, now: datetime) -> Move | None:
    """Record the weight as applied, and since when."""
    status, weight = observed.status, observed.status.weight
    if weight is None or observed.rolling_back or not route.in_force(observed, now):
        return None
    begins = weight.desired > 0 and status.analysis_started_at is None
    # An operator of the version before recorded no `since`: what is measured from now on counts.
    if weight.applied == weight.desired and weight.since is not None and not begins:
        return None
    at = instant(now)
    asked_at = min(status.step.started_at if status.step else at, at)  # it may be of an earlier operator, and its clock
    accepted = AcceptedWeight(percent=weight.desired, asked_at=asked_at, at=at)
    return Move(
        changed(
            status,
            weight=WeightStatus(desired=weight.desired, applied=weight.desired, since=at),
            analysis_started_at=at if begins else status.analysis_started_at,
            trials=begun(status, observed.spec.analysis) if begins else status.trials,
            weight_changes=[*status.weight_changes, at][-MAX_WEIGHT_CHANGES:],
            weight_history=[*status.weight_history, accepted][-MAX_WEIGHT_CHANGES:],
        )
    )
