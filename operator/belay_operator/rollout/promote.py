"""The good end: stable := candidate, and the version before stays warm for a while.

Promotion swaps two names in status. The route says the same before and after (all new episodes to the candidate, both
versions pinned), and no pod restarts.
"""

from datetime import datetime

from belay_api.reasons import EventReason
from belay_api.rollout import HistoryEntry, VersionStatus, WarmStatus
from belay_operator.rollout.build import WARM_LEAD
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.rollback import KEEP_HISTORY


def promote(observed: Observed, now: datetime) -> Move:
    """Return the promotion of the candidate."""
    status, candidate = observed.status, observed.status.candidate
    assert candidate is not None, "only a candidate can be promoted"
    at, old = instant(now), status.stable
    # Shorter than the lead, the warm version's rule would outlive its pods.
    until = at + max(observed.spec.bake.keep_warm, WARM_LEAD)
    entry = HistoryEntry(
        policy=candidate.policy,
        digest=candidate.digest,
        outcome="Promoted",
        started_at=candidate.since,
        ended_at=at,
        message=f"instead of {old.policy}" if old else "the first version",
    )
    after = changed(
        status,
        stable=VersionStatus(policy=candidate.policy, digest=candidate.digest, since=at),
        previous=WarmStatus(policy=old.policy, digest=old.digest, until=until) if old else None,
        candidate=None,
        step=None,
        weight=None,
        analysis_started_at=None,
        history=[*status.history, entry][-KEEP_HISTORY:],
    )
    return Move(after, (note(EventReason.PROMOTED, f"{candidate.policy} is stable, {entry.message}"),))


def expire(observed: Observed, now: datetime) -> Move | None:
    """Let the warm version go when its time is over or its RLPolicy was deleted, unless it is being gone back to."""
    previous, candidate = observed.status.previous, observed.status.candidate
    if previous is None or (candidate and candidate.policy == previous.policy):
        return None
    # A rule that leads to a Service which is gone makes the Gateway refuse the whole route, for all of keepWarm.
    if now < previous.until and previous.policy in observed.policies:
        return None
    return Move(changed(observed.status, previous=None))
