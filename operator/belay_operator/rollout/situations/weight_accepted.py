"""Whoever carries traffic has accepted the recorded weight: it is in force.

With the first one above 0 the trial begins, and with each new one the evidence that counts for Pass begins anew. Where
only the anchor's share is another, stable's is as well, so windows are cut there; the candidate's evidence goes on.
"""

from datetime import datetime

from belay_api.rollout.status import MAX_WEIGHT_CHANGES, AcceptedWeight, RLRolloutStatus, WeightStatus
from belay_operator.rollout import anchor, route, segment
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
    goes_on = weight.applied == weight.desired and weight.since is not None and not begins
    part = anchor.part(status) or None
    if goes_on and weight.anchor == part:
        return None
    at = instant(now)
    asked = status.step.started_at if status.step else at
    if goes_on:  # it was decided between two steps; a version that is lost left the route by itself
        asked = status.served_anchor.changed_at if status.served_anchor is not None else at
    accepted = AcceptedWeight(
        percent=weight.desired,
        anchor=part,
        segment=segment.is_aside(status) or None,
        asked_at=min(asked, at),  # it may be of an earlier operator, and its clock
        at=at,
    )
    return Move(
        changed(
            status,
            weight=WeightStatus(
                desired=weight.desired,
                applied=weight.desired,
                since=weight.since if goes_on else at,
                anchor=part,
                segment=weight.segment,
            ),
            analysis_started_at=at if begins else status.analysis_started_at,
            trials=begun(status, observed.spec.analysis) if begins else status.trials,
            weight_changes=[*status.weight_changes, at][-MAX_WEIGHT_CHANGES:],
            watch=segment.watched_from(status.watch, at) if _all_are_told_again(status) else status.watch,
            weight_history=[*status.weight_history, accepted][-MAX_WEIGHT_CHANGES:],
        )
    )


def _all_are_told_again(status: RLRolloutStatus) -> bool:
    """Whether the weight before left some users aside, and this one does not."""
    return bool(status.weight_history and status.weight_history[-1].segment) and not segment.is_aside(status)
