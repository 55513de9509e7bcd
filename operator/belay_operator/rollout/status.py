"""The rollout in conditions and one word, derived anew from what is recorded and observed.

Ready is there from the first pass; Reconciling and Stalled only while true. Messages hold no running numbers.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from belay_api.conditions import clear_condition, set_condition
from belay_api.reasons import RolloutReason
from belay_api.rollout import RLRolloutStatus, RolloutPhase
from belay_operator.rollout import build
from belay_operator.rollout.move import Wait, changed
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.progress import waiting
from belay_operator.rollout.steps.set_weight import NO_GATEWAY_API
from belay_operator.rollout.traffic.router import Answer

AFTER_DEADLINE = timedelta(seconds=5)  # a rollback past its deadline is looked at this often, should an event be lost


def describe(observed: Observed, now: datetime) -> RLRolloutStatus:
    """Return the recorded status with phase and conditions that fit it."""
    wait = situation(observed, now)
    holds = {
        "Ready": wait is None,
        "Reconciling": wait is not None and not wait.stalled,
        "Stalled": wait is not None and wait.stalled,
    }
    reason = RolloutReason.HEALTHY if wait is None else wait.reason
    message = f"{observed.spec.policy.name} serves all traffic" if wait is None else wait.message
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
        phase=phase(observed),
        conditions=conditions,
        observed_generation=observed.owner.generation,
    )


def phase(observed: Observed) -> RolloutPhase:
    """Return the rollout in one word."""
    status = observed.status
    if observed.rolling_back:
        return RolloutPhase.ROLLING_BACK
    if status.candidate is not None:
        if status.step is None or (status.stable is None and status.step.kind == "promote"):
            return RolloutPhase.PREPARING
        return RolloutPhase.BAKING if status.step.kind == "bake" else RolloutPhase.PROGRESSING
    if _rejected(observed):
        return RolloutPhase.ROLLED_BACK
    if status.stable is None:
        return RolloutPhase.PENDING
    return RolloutPhase.HEALTHY if status.stable.policy == observed.spec.policy.name else RolloutPhase.PREPARING


def situation(observed: Observed, now: datetime) -> Wait | None:
    """Return what the rollout waits for; None: it is healthy."""
    status = observed.status
    if observed.rolling_back:
        return _rolling_back(observed, now)
    if observed.unfit is not None:
        return _standing_still(observed, observed.unfit)
    if status.candidate is None:
        return _resting(observed, now)
    if status.step is not None:
        wait = waiting(observed, now) or Wait(RolloutReason.PROGRESSING, "the step is over")
        wait = _undecidable(observed, wait)
    else:
        wait = _preparing(observed, status.candidate.policy)
    told = _lost(observed) or _remade(observed)
    return wait if told is None else replace(wait, message=f"{wait.message}. {told}")


def _rolling_back(observed: Observed, now: datetime) -> Wait:
    rollback = observed.status.rollback
    assert rollback is not None
    left = rollback.decided_at + observed.spec.rollback.deadline - now
    message = f"{rollback.policy} is withdrawn: {rollback.message}"
    if not observed.gateway_api:
        message = f"{message}. {NO_GATEWAY_API}"
    elif rollback.weight_zero_at is None and observed.route is not None and observed.route.answer is Answer.REFUSED:
        message = f"{message}. The route without it is not accepted: {observed.route.message}"
    return Wait(RolloutReason.ROLLING_BACK, message, left if left > timedelta() else AFTER_DEADLINE)


def _standing_still(observed: Observed, unfit: str) -> Wait:
    """The spec cannot be carried out: what goes on all the same, and what ends it."""
    candidate = observed.status.candidate
    if candidate is None:
        return Wait(RolloutReason.INVALID_SPEC, f"{unfit}; {_meanwhile(observed)}", stalled=True)
    judged = "is judged as before" if observed.judgeable else "is judged by nobody"
    message = f"{unfit}. Until then {candidate.policy} keeps its weight and {judged}; the command abort takes it back"
    return Wait(RolloutReason.INVALID_SPEC, message, stalled=True)


def _resting(observed: Observed, now: datetime) -> Wait | None:
    """No candidate: what the spec wants is stable, rejected, or not there."""
    status, wanted = observed.status, observed.spec.policy.name
    if status.stable is None or status.stable.policy != wanted:
        if wanted not in observed.policies:
            message = f"spec.policy.name: there is no RLPolicy {wanted} in this namespace; {_meanwhile(observed)}"
            return Wait(RolloutReason.POLICY_NOT_FOUND, message)
        return _refused(observed, wanted)
    if observed.stable_lost:
        # Said before what the Gateway says of the route, which is only that a Service is missing.
        message = f"RLPolicy {wanted} was deleted while it served all traffic; create it again or name another"
        return Wait(RolloutReason.POLICY_NOT_FOUND, message, stalled=True)
    return _routed(observed, now) or _unserved(observed, wanted)


def _routed(observed: Observed, now: datetime) -> Wait | None:
    """What keeps the route of the stable version from being in force; None: nothing that lasts."""
    if not observed.gateway_api:
        return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, NO_GATEWAY_API, stalled=True)
    route = observed.route
    # An answer that is merely on its way is no change: the route before it was accepted and is the same but for rules.
    if route is not None and build.in_place(observed, now) and route.answer in (Answer.SILENT, Answer.REFUSED):
        return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, route.message)
    return None


def _unserved(observed: Observed, stable: str) -> Wait | None:
    """What keeps the stable version from answering; None: it does."""
    remade = _remade(observed)
    if remade is not None:
        return Wait(RolloutReason.POLICY_NOT_READY, remade, stalled=True)
    if observed.policies[stable].ready_replicas == 0:
        return Wait(RolloutReason.POLICY_NOT_READY, f"{stable} has no ready replica")
    return None


def _lost(observed: Observed) -> str | None:
    """That the RLPolicy of the stable version was deleted during a trial; None: it was not."""
    stable = observed.status.stable
    if stable is None or not observed.stable_lost:
        return None
    return f"RLPolicy {stable.policy}, which is stable, was deleted: create it again as it was, or send promote"


def _remade(observed: Observed) -> str | None:
    """What serves as stable under its name and is not what was promoted; None: it is, or there is no such policy."""
    stable, policy = observed.status.stable, observed.policy(observed.status.stable)
    if stable is None or policy is None or policy.digest == stable.digest:
        return None
    return (
        f"RLPolicy {stable.policy} was deleted and made again with another digest than the one promoted "
        f"({stable.digest[:19]}): stable is not what was judged. Make it again as it was, or name another policy"
    )


def _undecidable(observed: Observed, wait: Wait) -> Wait:
    """The same wait, told as what keeps every comparison from deciding, where something does."""
    if wait.reason not in (RolloutReason.ANALYZING, RolloutReason.PAUSED):
        return wait
    for look in observed.looks or ():
        if look.grace_too_short:
            return replace(wait, reason=RolloutReason.GRACE_TOO_SHORT, message=f"{look.metric}: {look.message}")
    return wait


def _refused(observed: Observed, wanted: str) -> Wait:
    """The policy of the spec exists and is not taken up: it was rolled back."""
    rollback = observed.status.rollback
    advice = f"{_meanwhile(observed)}. Change spec.policy, or send the command retry"
    if rollback is not None and rollback.policy == wanted:
        return Wait(RolloutReason.ROLLED_BACK, f"{wanted}: {rollback.message}; {advice}", stalled=True)
    return Wait(RolloutReason.REJECTED, f"the digest of {wanted} was rolled back before; {advice}", stalled=True)


def _preparing(observed: Observed, candidate: str) -> Wait:
    if not observed.gateway_api:
        return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, NO_GATEWAY_API, stalled=True)
    policy = observed.policies.get(candidate)
    if policy is None:
        return Wait(RolloutReason.POLICY_NOT_FOUND, f"RLPolicy {candidate} was deleted; {_meanwhile(observed)}")
    words = f" ({policy.message.rstrip('.')})" if policy.message else ""
    return Wait(
        RolloutReason.PREPARING,
        f"waiting for {policy.needed_replicas} ready replicas of {candidate}{words}; {_meanwhile(observed)}",
    )


def _rejected(observed: Observed) -> bool:
    """Whether the policy of the spec is kept out because it was rolled back."""
    status, wanted = observed.status, observed.policies.get(observed.spec.policy.name)
    is_stable = status.stable is not None and status.stable.policy == observed.spec.policy.name
    return not is_stable and wanted is not None and wanted.digest in status.rejected_digests


def _meanwhile(observed: Observed) -> str:
    stable = observed.status.stable
    return f"{stable.policy} serves all traffic" if stable else "nothing is served yet"
