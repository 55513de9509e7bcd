"""The candidate that was taken back was kept for long enough to be looked at, or somebody has ended that: it is let go.

Nothing of the route leads to it, so nothing has to come before its pods go; a preview address leads elsewhere before
that (see `preview`).
"""

from datetime import datetime, timedelta

from belay_operator.rollout.move import Move, changed
from belay_operator.rollout.observed import Observed


def act(observed: Observed, now: datetime) -> Move | None:
    """Let it go when its time is over, its RLPolicy is gone, it is on trial again, or the spec keeps nobody."""
    status, kept = observed.status, observed.status.kept
    if kept is None:
        return None
    policy = observed.policies.get(kept.policy)
    is_there = policy is not None and not policy.deleted and policy.digest == kept.digest
    on_trial = status.candidate is not None and status.candidate.policy == kept.policy
    if is_there and not on_trial and now < kept.until and observed.spec.rollback.keep_candidate is not None:
        return None
    return Move(changed(status, kept=None))


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when its time is over."""
    kept = observed.status.kept
    return [] if kept is None else [kept.until - now]
