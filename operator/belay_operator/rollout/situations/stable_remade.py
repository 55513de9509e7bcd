"""A policy with other bytes was made under the name of the stable version: what is there is not what was judged."""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell which digest was promoted, and what to do."""
    stable, policy = observed.status.stable, observed.policy(observed.status.stable)
    if stable is None or policy is None or policy.digest == stable.digest:
        return None
    kept = policy.serves == stable.digest
    message = (
        f"RLPolicy {stable.policy} was deleted and made again with another digest than the one promoted "
        f"({stable.digest[:19]}): "
        + ("its old pods serve on, and the new bytes wait" if kept else "stable is not what was judged")
        + ". Make it again as it was, or name another policy"
    )
    return Wait(RolloutReason.POLICY_NOT_READY, message, stalled=True)
