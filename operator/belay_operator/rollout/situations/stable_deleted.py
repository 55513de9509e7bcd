"""The RLPolicy of the stable version was deleted, and its pods serve on.

The rollout owns them as well for as long as it needs them. While a candidate is on trial, as after a commit that names
a new policy and removes the old one, this is no fault; at rest somebody must decide. Beside an experiment, which lasts
for days and may leave stable where it is, the experiment tells it.
"""

from datetime import datetime

from belay_api.reasons import RolloutReason
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait
from belay_operator.rollout.words import UNATTENDED


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell that nobody looks after what serves."""
    stable, policy = observed.status.stable, observed.policy(observed.status.stable)
    if stable is None or policy is None or not policy.deleted or observed.status.candidate is not None:
        return None
    message = f"RLPolicy {stable.policy} was deleted while it serves all traffic; {UNATTENDED}, or name another policy"
    return Wait(RolloutReason.POLICY_NOT_FOUND, message, stalled=True)
