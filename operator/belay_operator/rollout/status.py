"""The rollout in conditions and one word, as they follow from the situation it is in.

Ready is there from the first pass; Reconciling and Stalled only while true. Messages hold no running numbers.
"""

from datetime import datetime

from belay_api.conditions import clear_condition, set_condition
from belay_api.reasons import RolloutReason
from belay_api.rollout.status import RLRolloutStatus, RolloutPhase
from belay_operator.rollout.arms import running
from belay_operator.rollout.move import changed
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stepping import kind_under_way
from belay_operator.rollout.wait import Wait


def describe(observed: Observed, wait: Wait | None, now: datetime) -> RLRolloutStatus:
    """Return the recorded status with phase and conditions; `wait`: what it waits for, None: nothing."""
    holds = {
        "Ready": wait is None,
        "Reconciling": wait is not None and not wait.stalled,
        "Stalled": wait is not None and wait.stalled,
    }
    reason = RolloutReason.HEALTHY if wait is None else wait.reason
    message = f"{observed.wanted} serves all traffic" if wait is None else wait.message
    conditions = list(observed.status.conditions)
    for kind, true in holds.items():
        if true or kind == "Ready":
            conditions = set_condition(
                conditions,
                kind,
                true,
                reason=reason,
                message=message,
                generation=observed.owner.generation,
                now=now,
            )
        else:
            conditions = clear_condition(conditions, kind)
    return changed(
        observed.status,
        phase=_phase(observed, wait),
        conditions=conditions,
        observed_generation=observed.owner.generation,
    )


def _phase(observed: Observed, wait: Wait | None) -> RolloutPhase:
    """The rollout in one word."""
    status, kind = observed.status, kind_under_way(observed)
    if observed.rolling_back:
        return RolloutPhase.ROLLING_BACK
    if wait is not None and wait.reason is RolloutReason.APPROVAL_NEEDED:
        return RolloutPhase.WAITING_FOR_APPROVAL
    if status.candidate is not None:
        return RolloutPhase.PREPARING if kind is None else kind.phase
    if _rejected(observed):
        return RolloutPhase.ROLLED_BACK
    return _at_rest(observed, wait)


def _at_rest(observed: Observed, wait: Wait | None) -> RolloutPhase:
    """The same where there is no candidate, and nothing was rejected."""
    stable = observed.status.stable
    if stable is None:
        return RolloutPhase.PENDING
    if stable.policy != observed.wanted:
        return RolloutPhase.PREPARING
    if wait is not None and running(observed.status) is not None:
        return RolloutPhase.PROGRESSING
    return RolloutPhase.HEALTHY if wait is None else RolloutPhase.DEGRADED


def _rejected(observed: Observed) -> bool:
    """Whether the policy of the spec is kept out because it was rolled back."""
    stable, wanted = observed.status.stable, observed.policies.get(observed.wanted)
    is_stable = stable is not None and stable.policy == observed.wanted
    return not is_stable and wanted is not None and wanted.digest in observed.status.rejected_digests
