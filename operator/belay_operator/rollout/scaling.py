"""How many pods each version gets, and whose load an autoscaler of the rollout goes by.

A HorizontalPodAutoscaler counts the pods that a selector finds, and asks for as many as their load takes. With the pods
of both versions it would count those that a canary has beside its share, and with stable's alone it would scale both
down as the candidate takes stable's traffic. So it is shown the version with the larger share, and is followed upwards
at once and downwards only when the shares have been left alone for as long as it looks back itself.
"""

from datetime import datetime, timedelta

from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import RLRolloutStatus
from belay_operator.policy.build import selector

SETTLES = timedelta(minutes=5)  # what an autoscaler looks back before it scales down, unless it is told otherwise


def asked(spec: RLRolloutSpec, status: RLRolloutStatus) -> int:
    """Return how many pods each version is to have: no fewer than status says, which `wanted` lowers in its time."""
    return max(spec.replicas, status.replicas or 0)


def wanted(spec: RLRolloutSpec, status: RLRolloutStatus, now: datetime) -> int | None:
    """Return the same as status is to say it; None: no version has pods."""
    if status.stable is None and status.candidate is None:
        return None
    lowered = status.replicas is None or now >= _free(status, now)
    return spec.replicas if lowered else asked(spec, status)


def shown(status: RLRolloutStatus) -> str | None:
    """Return the selector of the pods that an autoscaler counts; None: no version has traffic.

    By the share that the Gateway has accepted. Of two halves it is stable's.
    """
    applied = (status.weight.applied or 0) if status.weight is not None else 0
    stable, candidate = status.stable, status.candidate
    leads = candidate if candidate is not None and (stable is None or applied > 50) else stable
    return (
        None
        if leads is None
        else ",".join(f"{label}={value}" for label, value in sorted(selector(leads.policy).items()))
    )


def settles_in(spec: RLRolloutSpec, status: RLRolloutStatus, now: datetime) -> timedelta | None:
    """Return when status may follow a lower number; None: there is none, or a trial is under way."""
    if status.replicas is None or spec.replicas >= status.replicas or _moving(status):
        return None
    return _free(status, now) - now


def _free(status: RLRolloutStatus, now: datetime) -> datetime:
    """From when on fewer pods are enough, as far as is known now."""
    if _moving(status):
        return now + SETTLES
    promoted = None if status.stable is None else status.stable.since
    withdrawn = None if status.rollback is None else status.rollback.drained_at
    return max((end for end in (promoted, withdrawn) if end is not None), default=now - SETTLES) + SETTLES


def _moving(status: RLRolloutStatus) -> bool:
    """Whether the shares of versions may change: a candidate or arms are there, or go."""
    return status.candidate is not None or bool(status.arms) or status.rolling_back
