"""Which policy is on trial: a changed spec takes up a candidate, and withdraws one that is no longer wanted.

The spec says what shall serve, status says what does. A candidate exists only between the two, and only one at a time:
another wish waits until the one before is seen gone.
"""

from datetime import datetime

from belay_api.reasons import EventReason
from belay_api.rollout import VersionStatus
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.rollback import SUPERSEDED, begin


def withdraw(observed: Observed, now: datetime) -> Move | None:
    """Return the withdrawal of a candidate that the spec no longer names."""
    candidate, wanted = observed.status.candidate, observed.spec.policy.name
    if candidate is None or observed.rolling_back or candidate.policy == wanted:
        return None
    return begin(observed, now, reason=SUPERSEDED, message=f"spec.policy.name is {wanted} now")


def take_up(observed: Observed, now: datetime) -> Move | None:
    """Return the new candidate that a fit spec asks for, unless its digest was rejected before."""
    status, wanted = observed.status, observed.spec.policy.name
    if status.candidate is not None or (status.stable is not None and status.stable.policy == wanted):
        return None
    policy = observed.policies.get(wanted)
    if policy is None or policy.digest in status.rejected_digests or observed.unfit is not None:
        return None
    candidate = VersionStatus(policy=wanted, digest=policy.digest, since=instant(now))
    after = changed(
        status, candidate=candidate, step=None, weight=None, analysis_started_at=None, verdicts=[], rollback=None
    )
    instead = f"instead of {status.stable.policy}" if status.stable else "as the first version"
    return Move(after, (note(EventReason.ROLLOUT_STARTED, f"{wanted} is the candidate, {instead}"),))
