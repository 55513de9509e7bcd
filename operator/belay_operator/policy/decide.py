"""Decide how many pods a policy needs and whether they may be reached, and say what is known of its bytes.

Nobody but this kind writes a policy's Deployment and Service: rollouts say in their status what they serve, and the
number of pods follows from that. A policy that nobody asks for has none, and that is well.

What a deleted policy of our name left to a rollout is taken back where it serves our very bytes, and is otherwise not
touched before no rollout needs it: nothing unjudged replaces what was promoted.

What the spec asks of the policy is answered beside that (`judgements.py`).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from belay_api.conditions import get_condition
from belay_api.policy import RLPolicyStatus
from belay_api.reasons import EventReason, PolicyReason
from belay_operator.engine.plan import EMPTY, Note, Plan, Ref
from belay_operator.policy import build, judgements
from belay_operator.policy.judgements import Judging
from belay_operator.policy.needs import Demand
from belay_operator.policy.observed import Observed, Whose
from belay_operator.policy.status import status_of


def decide(observed: Observed, now: datetime) -> Plan:
    """Return what is still missing; every pass asks for all children, and those that are as wanted cost nothing."""
    if observed.owner.deleting:
        return EMPTY
    asking, judging = observed.asking(now), judgements.judge(observed, now)
    wanted = replicas(observed, asking) if observed.in_the_way(now) is None else 0
    waits_for = judgements.withheld(observed, asking, judging) if wanted > 0 else None
    wanted = 0 if waits_for is not None else wanted
    told = 0 if _ending(observed) else wanted
    used_by = [demand.rollout for demand in asking]
    status = status_of(observed, wanted=wanted, used_by=used_by, waits_for=waits_for, now=now)
    status = judgements.with_judgements(status, judging, generation=observed.owner.generation, now=now)
    # Endpoints that a rollback wants closed wait for nothing else.
    mounted, jobs = judgements.jobs(observed, judging) if observed.closed_by is None else ((), ())
    return Plan(
        status=None if status == observed.status else status.dump(),
        create=mounted,
        apply=(*_children(observed, asking, told), *jobs),
        delete=(*_outlived(observed, now), *observed.outdated_jobs, *judgements.finished_jobs(judging, now)),
        events=(*_events(observed.status, status), *judgements.notes(observed, judging)),
        debounce=_only_tells(observed.status, status),
        requeue_after=_next_look(observed, judging, now),
    )


def replicas(observed: Observed, asking: Sequence[Demand]) -> int:
    """Return how many pods the policy needs now.

    Those set by hand, else the sum over the rollouts that use it; an autoscaler raises that, and starts nothing.
    """
    serving = observed.spec.serving
    if observed.closed_by is not None or serving.scale == 0:
        return 0
    base = sum(demand.replicas for demand in asking) if serving.replicas is None else serving.replicas
    return max(base, serving.scale) if base > 0 else 0


def _children(observed: Observed, asking: Sequence[Demand], wanted: int) -> Iterator[dict[str, Any]]:
    child = observed.child
    if child is not None and (child.whose is not Whose.OURS or child.deleting):
        return  # its end, or its controller letting go of it, wakes us
    if child is None and not observed.service and wanted == 0:
        return  # never served, so there is nothing to scale down
    # The key comes before the pods that mount it; endpoints close before the pods behind them go.
    key = build.receipt_key(observed) if wanted > 0 else None
    if key is not None:
        yield key
    if child is not None or observed.service:  # else the next pass makes it: the Deployment is one of its owners
        yield build.service(observed, closed=observed.closed_by is not None, deployment=child)
    if child is not None and observed.accepted is not None and _resized(observed, asking, wanted):
        # The template may be refused, for ever even. The number of pods and who needs them do not wait for it.
        yield build.deployment(observed, replicas=wanted, needed_by=asking, template=observed.accepted)
    yield build.deployment(observed, replicas=wanted, needed_by=asking, template=observed.template)


def _ending(observed: Observed) -> bool:
    """Whether the Deployment was told to have no pods, and one of them has not been told yet.

    Asked for pods again in that moment it would count that one as ready, and end it all the same: a rollout deleted and
    made anew would send its traffic to nobody. So the pods are first seen to go, and then others are asked for.
    """
    child = observed.child
    return child is not None and child.asked == 0 and bool(observed.pods)


def _resized(observed: Observed, asking: Sequence[Demand], wanted: int) -> bool:
    child = observed.child
    return child is not None and (child.asked != wanted or child.keepers != {demand.uid for demand in asking})


def _outlived(observed: Observed, now: datetime) -> tuple[Ref, ...]:
    """Return what a deleted policy of our name left behind with other bytes, once no rollout needs it."""
    child = observed.child
    if child is None or child.whose is not Whose.LEFTOVER or child.deleting or observed.in_the_way(now) is not None:
        return ()
    return (child.ref,)  # its Service goes with it, and then ours are made


def _only_tells(before: RLPolicyStatus, after: RLPolicyStatus) -> bool:
    """Whether the change is only news of pods on their way, or of counts: no rollout acts on it."""
    ready = get_condition(after.conditions, "Ready")
    if not before.conditions or ready is None or before.ready_replicas != after.ready_replicas:
        return False
    on_their_way = ready.reason in (PolicyReason.VERIFYING, PolicyReason.LOADING, PolicyReason.UNLOADING)
    return on_their_way or _said(before) == _said(after)


def _said(status: RLPolicyStatus) -> tuple[object, ...]:
    conditions = [(c.type, c.status, c.reason) for c in status.conditions if c.type != "Reconciling"]
    return conditions, status.used_by


def _events(before: RLPolicyStatus, after: RLPolicyStatus) -> tuple[Note, ...]:
    was, now = get_condition(before.conditions, "Verified"), get_condition(after.conditions, "Verified")
    if now is None or now.reason != PolicyReason.DIGEST_MISMATCH or (was is not None and was.reason == now.reason):
        return ()
    return (Note(EventReason.DIGEST_MISMATCH, now.message, warning=True),)


def _next_look(observed: Observed, judging: Judging, now: datetime) -> timedelta | None:
    """Return when the next version that is only kept warm is let go, or a question is to be looked at again."""
    ends = (demand.until for demand in observed.demands if demand.holds(now))
    expiries = [until - now for until in ends if until is not None]
    return min([*expiries, *judgements.recheck(judging, now)], default=None)
