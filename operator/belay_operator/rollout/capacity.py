"""Whether the candidate has the pods that traffic needs, and the words where it has not."""

from belay_api.reasons import RolloutReason
from belay_operator.rollout import scaling
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait


def has_capacity(observed: Observed) -> bool:
    """Whether the candidate has the pods it needs."""
    policy = observed.policy(observed.status.candidate)
    return policy is not None and policy.has_capacity


def short_of_pods(observed: Observed, consequence: str) -> Wait:
    """Return the wait for ready pods; `consequence`: what does not happen for the lack of them."""
    candidate = observed.status.candidate
    policy = observed.policy(candidate)
    name = candidate.policy if candidate else "the candidate"
    needed = policy.needed_replicas if policy else scaling.asked(observed.spec, observed.status)
    words = f" ({policy.message.rstrip('.')})" if policy is not None and policy.message else ""
    return Wait(
        RolloutReason.WAITING_FOR_CAPACITY,
        f"{consequence}: {name} has fewer than {needed} ready replicas{words}",
    )
