"""Decide how many pods a policy needs and whether they may be reached, and say what is known of its bytes.

Nobody but this kind writes a policy's Deployment and Service: rollouts say in their status what they serve, and the
number of pods follows from that. A policy that nobody asks for has none, and that is well.
"""

from datetime import datetime, timedelta
from typing import Any

from belay_api.conditions import get_condition
from belay_api.policy import RLPolicyStatus
from belay_api.reasons import EventReason, PolicyReason
from belay_operator.engine.plan import EMPTY, Note, Plan
from belay_operator.policy import build
from belay_operator.policy.observed import Demand, Observed
from belay_operator.policy.status import status_of


def decide(observed: Observed, now: datetime) -> Plan:
    """Return what is still missing; every pass asks for all children, and those that are as wanted cost nothing."""
    if observed.owner.deleting:
        return EMPTY
    demands = [demand for demand in observed.demands if demand.until is None or demand.until > now]
    wanted = replicas(observed, demands)
    status = status_of(observed, wanted=wanted, used_by=[demand.rollout for demand in demands], now=now)
    return Plan(
        status=None if status == observed.status else status.dump(),
        apply=_children(observed, wanted),
        events=_events(observed.status, status),
        debounce=_only_tells(observed.status, status),
        requeue_after=_next_expiry(demands, now),
    )


def replicas(observed: Observed, demands: list[Demand]) -> int:
    """Return how many pods the policy needs now: those set by hand, else the sum over the rollouts that use it."""
    if observed.closed_by is not None:
        return 0
    by_hand = observed.spec.serving.replicas
    return sum(demand.replicas for demand in demands) if by_hand is None else by_hand


def _children(observed: Observed, wanted: int) -> tuple[dict[str, Any], ...]:
    child = observed.child
    if child is not None and (not child.ours or child.deleting):
        return ()  # a namesake's children are still being removed: their end wakes us
    if child is None and not observed.service and wanted == 0:
        return ()  # never served, so there is nothing to scale down
    # The key comes before the pods that mount it; endpoints close before the pods behind them go.
    key = build.receipt_key(observed) if wanted > 0 else None
    service = build.service(observed, closed=observed.closed_by is not None)
    deployment = build.deployment(observed, replicas=wanted)
    return (service, deployment) if key is None else (key, service, deployment)


def _only_tells(before: RLPolicyStatus, after: RLPolicyStatus) -> bool:
    """Whether the change is only news of pods on their way, or of counts: no rollout acts on it."""
    ready = get_condition(after.conditions, "Ready")
    if not before.conditions or ready is None or before.ready_replicas != after.ready_replicas:
        return False
    on_their_way = ready.reason in (PolicyReason.VERIFYING, PolicyReason.LOADING)
    return on_their_way or _said(before) == _said(after)


def _said(status: RLPolicyStatus) -> tuple[object, ...]:
    conditions = [(c.type, c.status, c.reason) for c in status.conditions if c.type != "Reconciling"]
    return conditions, status.used_by


def _events(before: RLPolicyStatus, after: RLPolicyStatus) -> tuple[Note, ...]:
    was, now = get_condition(before.conditions, "Verified"), get_condition(after.conditions, "Verified")
    if now is None or now.reason != PolicyReason.DIGEST_MISMATCH or (was is not None and was.reason == now.reason):
        return ()
    return (Note(EventReason.DIGEST_MISMATCH, now.message, warning=True),)


def _next_expiry(demands: list[Demand], now: datetime) -> timedelta | None:
    """Return when the next version that is only kept warm is let go."""
    return min((demand.until - now for demand in demands if demand.until is not None), default=None)
