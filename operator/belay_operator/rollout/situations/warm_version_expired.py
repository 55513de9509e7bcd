"""The version before stable was kept warm for long enough, or is gone: it is let go."""

from datetime import datetime, timedelta

from belay_operator.rollout.move import Move, changed
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.route import WARM_LEAD


def act(observed: Observed, now: datetime) -> Move | None:
    """Let it go, unless it is being gone back to."""
    previous, candidate = observed.status.previous, observed.status.candidate
    if previous is None or (candidate and candidate.policy == previous.policy):
        return None
    # A rule that leads to a Service which is gone makes the Gateway refuse the whole route, for all of keepWarm.
    if now < previous.until and previous.policy in observed.policies:
        return None
    return Move(changed(observed.status, previous=None))


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when its rule goes, and when it is let go."""
    previous = observed.status.previous
    return [] if previous is None else [previous.until - WARM_LEAD - now, previous.until - now]
