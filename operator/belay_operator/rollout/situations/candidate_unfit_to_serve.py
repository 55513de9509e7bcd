"""The candidate cannot serve as it is: it is taken back, at any time before its promotion.

Bytes that are not the promised ones, and a container that ends again and again, are evidence against it. A policy that
somebody deleted or replaced is none, and neither are pods that are gone because a node was drained: such a candidate is
let go like one that was superseded, and is taken up again when it is there.
"""

from datetime import datetime, timedelta

from belay_api.rollout.status import VersionStatus
from belay_api.units import format_duration
from belay_operator.rollout import withdrawal
from belay_operator.rollout.move import Move
from belay_operator.rollout.no_evidence import PODS_GONE, POLICY_DELETED
from belay_operator.rollout.observed import Observed

NOT_READY = "PolicyNotReady"
SILENCE = timedelta(minutes=1)  # to place a pod anew; TorchServe itself starts in 3 s once the image is there


def act(observed: Observed, now: datetime) -> Move | None:
    """Withdraw the candidate, with the reason that says whether this counts against it."""
    candidate = observed.status.candidate
    if candidate is None or observed.rolling_back:
        return None
    trouble = _identity(observed, candidate) or _silence(observed, candidate, now)
    if trouble is None:
        return None
    reason, message = trouble
    return withdrawal.begin(observed, now, reason=reason, message=message)


def _identity(observed: Observed, candidate: VersionStatus) -> tuple[str, str] | None:
    """Why what is there is not what was taken up, or can never serve: reason and message; None: it is and can."""
    policy = observed.policy(candidate)
    if policy is None or policy.deleted:
        # Before traffic has moved it may come back, and the situation says what is missing.
        has_traffic = observed.status.weight is not None
        if not has_traffic or not withdrawal.somebody_else_answers(observed):
            return None
        return POLICY_DELETED, f"RLPolicy {candidate.policy} was deleted"
    if policy.digest != candidate.digest:
        if not withdrawal.somebody_else_answers(observed):
            return None  # its old pods serve on, and are all there is
        message = f"RLPolicy {candidate.policy} was deleted and made again with another digest"
        return POLICY_DELETED, message
    return None if policy.broken is None else (NOT_READY, ": ".join(policy.broken))


def _silence(observed: Observed, candidate: VersionStatus, now: datetime) -> tuple[str, str] | None:
    """That nobody answers in its place for too long: reason and message; None: somebody does, or it is early."""
    left, policy = silence_left(observed, now), observed.policy(candidate)
    if policy is None or left is None or left > timedelta():
        return None
    words = f" ({policy.message.rstrip('.')})" if policy.message else ""
    message = f"no pod of {candidate.policy} was ready for {format_duration(SILENCE)} while it had traffic{words}"
    return NOT_READY if policy.crashing else PODS_GONE, message


def silence_left(observed: Observed, now: datetime) -> timedelta | None:
    """Return how long a candidate with traffic may still be without pods; None: it has some, or nobody could take over.

    Zero or less: it is to be taken back. What the Gateway answers in place of its pods is in no metric.
    """
    weight, policy = observed.status.weight, observed.policy(observed.status.candidate)
    stable = observed.policy(observed.status.stable)
    if observed.rolling_back or weight is None or weight.desired == 0 or stable is None or stable.ready_replicas == 0:
        return None
    if policy is None or policy.ready_replicas > 0 or policy.silent_since is None:
        return None
    return policy.silent_since + SILENCE - now
