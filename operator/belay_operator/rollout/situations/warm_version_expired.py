"""The version before stable was kept warm for long enough, or is gone: it is let go.

It is kept for longer while it is all that answers, in place of a stable version that is lost.
"""

from datetime import datetime, timedelta

from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.route import WARM_LEAD

LONGER = timedelta(hours=1)  # by which it is kept at a time while nobody else answers


def act(observed: Observed, now: datetime) -> Move | None:
    """Let it go, unless it is being gone back to; keep it where nobody else answers."""
    previous, candidate = observed.status.previous, observed.status.candidate
    if previous is None or (candidate and candidate.policy == previous.policy):
        return None
    answers_alone = observed.stable_lost and not observed.candidate_answers and previous.policy in observed.policies
    if answers_alone and now >= previous.until - WARM_LEAD:  # before its rule goes
        return Move(changed(observed.status, previous=previous.model_copy(update={"until": instant(now) + LONGER})))
    # A rule that leads to a Service which is gone makes the Gateway refuse the whole route, for all of keepWarm.
    if now < previous.until and previous.policy in observed.policies:
        return None
    return Move(changed(observed.status, previous=None))


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when its rule goes, and when it is let go."""
    previous = observed.status.previous
    return [] if previous is None else [previous.until - WARM_LEAD - now, previous.until - now]
