"""At rest, and the stable version has no pod that answers."""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell it in the policy's words, where it has some."""
    policy = observed.policy(observed.status.stable)
    if observed.status.candidate is not None or policy is None or policy.ready_replicas > 0:
        return None
    words = f": {policy.message}" if policy.message else ""
    return Wait(RolloutReason.POLICY_NOT_READY, f"{policy.name} has no ready replica{words}")
