"""The candidate has no traffic yet: its first step begins once it has its pods.

The first version of a rollout takes only the steps that look at it alone: there is nothing to compare it with. Going
back to the version before, while it is still warm, skips them all: it has proven itself, and whoever goes back is in a
hurry.
"""

from datetime import datetime, timedelta

from belay_api.reasons import RolloutReason
from belay_operator.rollout.move import Move
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stepping import enter, enter_from
from belay_operator.rollout.steps import KINDS
from belay_operator.rollout.steps.promote import Promote
from belay_operator.rollout.wait import Wait
from belay_operator.rollout.words import meanwhile


def act(observed: Observed, now: datetime) -> Move | None:
    """Begin with the first step."""
    status, policy = observed.status, observed.policy(observed.status.candidate)
    if status.candidate is None or status.step is not None or observed.rolling_back or observed.unfit is not None:
        return None
    if policy is None or policy.deleted or not policy.has_capacity:
        return None
    if observed.returning:
        return enter(observed, now, len(observed.spec.steps), KINDS[Promote.name])
    return enter_from(observed, now, 0)


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell what it waits for, in the policy's own words where it is in trouble."""
    candidate = observed.status.candidate
    if candidate is None or observed.status.step is not None:
        return None
    # Said now and not at the first step: without it, pods are loaded for nothing.
    if not observed.traffic.installed:
        return observed.router.trouble(observed.traffic, in_place=False, waited=timedelta())
    policy = observed.policies.get(candidate.policy)
    if policy is None or policy.deleted:
        message = f"RLPolicy {candidate.policy} was deleted; {meanwhile(observed)}"
        return Wait(RolloutReason.POLICY_NOT_FOUND, message)
    words = f" ({policy.message.rstrip('.')})" if policy.message else ""
    return Wait(
        RolloutReason.PREPARING,
        f"waiting for {policy.needed_replicas} ready replicas of {candidate.policy}{words}; {meanwhile(observed)}",
    )
