"""Which policy becomes the candidate, as far as some gates let it."""

from datetime import datetime

from belay_operator.rollout.gates import Gate, first_closed
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.policy_view import PolicyView


def to_take_up(observed: Observed, now: datetime, gates: tuple[Gate, ...]) -> PolicyView | None:
    """Return the policy that becomes the candidate where these gates are the last ones; None: there is none."""
    if not is_another_wanted(observed) or observed.unfit is not None or first_closed(gates, observed, now) is not None:
        return None
    policy = observed.policies.get(observed.wanted)
    if policy is None or policy.deleted or policy.digest in observed.status.rejected_digests:
        return None
    return policy


def is_another_wanted(observed: Observed) -> bool:
    """Whether there is no candidate, and the spec wants another policy than the stable one."""
    stable = observed.status.stable
    return observed.status.candidate is None and (stable is None or stable.policy != observed.wanted)
