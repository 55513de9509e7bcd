"""Before the first step: the candidate must be able to serve, and one that never will is taken back.

The first version of a rollout is prepared like any other; it is only spared the comparison. So is one that comes after
a stable version whose RLPolicy was deleted: there is nothing to compare it with, and nothing else that answers. Going
back to the version before, while it is still warm, skips the steps: it has proven itself, and whoever goes back is in a
hurry.
"""

from datetime import datetime

from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.progress import enter
from belay_operator.rollout.rollback import begin


def broken(observed: Observed, now: datetime) -> Move | None:
    """Take a candidate back that cannot serve as it is, at any time before its promotion."""
    candidate = observed.status.candidate
    if candidate is None or observed.rolling_back:
        return None
    policy = observed.policy(candidate)
    if policy is None:
        if observed.status.weight is None:
            return None  # no traffic has moved; the situation says what is missing
        return begin(observed, now, reason="PolicyNotReady", message=f"RLPolicy {candidate.policy} was deleted")
    if policy.digest != candidate.digest:
        message = f"RLPolicy {candidate.policy} was deleted and made again with another digest"
        return begin(observed, now, reason="PolicyNotReady", message=message)
    if policy.broken is None:
        return None
    reason, message = policy.broken
    return begin(observed, now, reason="PolicyNotReady", message=f"{reason}: {message}")


def prepare(observed: Observed, now: datetime) -> Move | None:
    """Begin with the first step once the candidate has its pods."""
    status, policy = observed.status, observed.policy(observed.status.candidate)
    if status.candidate is None or status.step is not None or observed.rolling_back or observed.unfit is not None:
        return None
    if policy is None or not policy.has_capacity:
        return None
    returning = status.previous is not None and (
        (status.previous.policy, status.previous.digest) == (status.candidate.policy, status.candidate.digest)
    )
    at_once = observed.policy(status.stable) is None or returning
    return enter(observed, now, len(observed.spec.steps) if at_once else 0, kind="promote" if at_once else None)
