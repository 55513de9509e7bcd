"""The candidate must be able to serve: before the first step, and for as long as requests are sent to it.

One that never will is taken back, and so is one whose pods are all gone for a minute while it has traffic: what the
Gateway answers in their place is in no metric, and a stable version with pods is at hand.

The first version of a rollout is prepared like any other; it is only spared the comparison. So is one that comes after
a stable version whose RLPolicy was deleted: there is nothing to compare it with, and nothing else that answers. Going
back to the version before, while it is still warm, skips the steps: it has proven itself, and whoever goes back is in a
hurry.
"""

from datetime import datetime, timedelta

from belay_api.rollout import VersionStatus
from belay_api.units import format_duration
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.progress import enter
from belay_operator.rollout.rollback import begin

SILENCE = timedelta(minutes=1)  # to place a pod anew; TorchServe itself starts in 3 s once the image is there


def broken(observed: Observed, now: datetime) -> Move | None:
    """Take a candidate back that cannot serve as it is, at any time before its promotion."""
    candidate = observed.status.candidate
    message = _trouble(observed, candidate, now) if candidate is not None and not observed.rolling_back else None
    return begin(observed, now, reason="PolicyNotReady", message=message) if message is not None else None


def silence_left(observed: Observed, now: datetime) -> timedelta | None:
    """Return how long a candidate with traffic may still be without pods; None: it has some, or nobody could take over.

    Zero or less: it is to be taken back.
    """
    weight, policy = observed.status.weight, observed.policy(observed.status.candidate)
    stable = observed.policy(observed.status.stable)
    if observed.rolling_back or weight is None or weight.desired == 0 or stable is None or stable.ready_replicas == 0:
        return None
    if policy is None or policy.ready_replicas > 0 or policy.silent_since is None:
        return None
    return policy.silent_since + SILENCE - now


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


def _trouble(observed: Observed, candidate: VersionStatus, now: datetime) -> str | None:
    """Why the candidate cannot serve, in words; None: it can, or it is too early to say."""
    policy = observed.policy(candidate)
    if policy is None:  # before traffic has moved, the situation says what is missing
        return None if observed.status.weight is None else f"RLPolicy {candidate.policy} was deleted"
    if policy.digest != candidate.digest:
        return f"RLPolicy {candidate.policy} was deleted and made again with another digest"
    if policy.broken is not None:
        return ": ".join(policy.broken)
    left = silence_left(observed, now)
    if left is None or left > timedelta():
        return None
    return f"no pod of {candidate.policy} was ready for {format_duration(SILENCE)} while it had traffic"
