"""How many pods each version is to have, and whose load says it: recorded, for the policies and for autoscalers."""

from datetime import datetime, timedelta

from belay_operator.rollout import scaling
from belay_operator.rollout.move import Move, changed
from belay_operator.rollout.observed import Observed


def act(observed: Observed, now: datetime) -> Move | None:
    """Record both; the last of all that is done, for it follows from the rest."""
    status = observed.status
    after = changed(status, replicas=scaling.wanted(observed.spec, status, now), selector=scaling.shown(status))
    return None if (after.replicas, after.selector) == (status.replicas, status.selector) else Move(after)


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when a lower number is followed."""
    left = scaling.settles_in(observed.spec, observed.status, now)
    return [] if left is None else [left]
