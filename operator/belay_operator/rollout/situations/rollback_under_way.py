"""The candidate is being withdrawn: the intent is recorded, and what is newly seen to be done is recorded after it.

A rollback spans many passes and the operator may die between any two of them, so no pass relies on an earlier one. The
order is fixed: the intent, and with it the route; whoever carries traffic accepts that route; the candidate's pods are
seen without a request for one whole scrape that began after that; only then is the candidate let go. Past the deadline
its endpoints are closed as well (by the policy kind, which reads `endpointsClosedAt`). Nobody's capacity is ever asked.

It stands still while stable is lost and only the candidate answers: then the route leads to the candidate, and its
endpoints are open.
"""

from datetime import datetime, timedelta

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.status import HistoryEntry, RollbackStatus, WarmStatus, WeightStatus
from belay_api.units import format_duration, format_instant
from belay_operator.rollout import route, segment
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.no_evidence import NO_EVIDENCE
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.promotion import KEEP_HISTORY
from belay_operator.rollout.wait import Wait
from belay_operator.rollout.withdrawal import rejected
from belay_operator.rollout.words import meanwhile

AFTER_DEADLINE = timedelta(seconds=5)  # a rollback past its deadline is looked at this often, should an event be lost
# Pods that other rollouts use as well have requests of their own, so silence cannot be waited for; a route takes a
# quarter of a second from accepted to in force (measured on Envoy Gateway), this is several times that.
SETTLE = timedelta(seconds=2)


def act(observed: Observed, now: datetime) -> Move | None:
    """Record what is newly seen."""
    rollback = observed.status.rollback
    if rollback is None:
        return None
    if observed.stable_lost and observed.candidate_answers:
        return _stand_still(observed, rollback)
    if rollback.drained_at is not None:
        return _accepted_late(observed, rollback, now)
    if rollback.weight_zero_at is None and route.in_force(observed, now):
        weight = observed.status.weight and WeightStatus(desired=0, applied=0)
        accepted = rollback.model_copy(update={"weight_zero_at": instant(now)})
        return Move(changed(observed.status, rollback=accepted, weight=weight))
    if _drained(observed, rollback, now):
        return _finish(observed, rollback, now)
    return _overdue(observed, rollback, now)


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell why the candidate is withdrawn, and what keeps the route without it from being accepted."""
    rollback = observed.status.rollback
    if rollback is None or not observed.rolling_back:
        return None
    message = f"{rollback.policy} is withdrawn: {rollback.message}"
    trouble = observed.router.trouble(
        observed.traffic, in_place=route.in_place(observed, now), waited=now - rollback.decided_at
    )
    if rollback.weight_zero_at is None and trouble is not None and trouble.reason is RolloutReason.ROUTE_NOT_ACCEPTED:
        message = f"{message}. The route without it is not in force: {trouble.message}"
    times = [rollback.decided_at + observed.spec.rollback.deadline - now]
    if rollback.weight_zero_at is not None:
        times.append(rollback.weight_zero_at + SETTLE - now)
    due = [time for time in times if time > timedelta()]
    return Wait(RolloutReason.ROLLING_BACK, message, min(due) if due else AFTER_DEADLINE)


def _stand_still(observed: Observed, rollback: RollbackStatus) -> Move | None:
    """Open the endpoints that are closed: requests go to the candidate, and to nobody else."""
    if rollback.endpoints_closed_at is None:
        return None
    return Move(changed(observed.status, rollback=rollback.model_copy(update={"endpoints_closed_at": None})))


def _accepted_late(observed: Observed, rollback: RollbackStatus, now: datetime) -> Move | None:
    """Record that the route was accepted after all: with that the closed endpoints open again."""
    waiting = rollback.endpoints_closed_at is not None and rollback.weight_zero_at is None
    if not waiting or not route.in_force(observed, now):
        return None
    accepted = rollback.model_copy(update={"weight_zero_at": instant(now)})
    return Move(changed(observed.status, rollback=accepted))


def _overdue(observed: Observed, rollback: RollbackStatus, now: datetime) -> Move | None:
    """Record past the deadline that the endpoints are to be closed: a poller that cannot answer is no excuse."""
    late = now - rollback.decided_at >= observed.spec.rollback.deadline
    # Endpoints that others use too are not ours to close.
    if not late or rollback.endpoints_closed_at is not None or _shared(observed, rollback):
        return None
    closed = rollback.model_copy(update={"endpoints_closed_at": instant(now)})
    return Move(changed(observed.status, rollback=closed))


def _drained(observed: Observed, rollback: RollbackStatus, now: datetime) -> bool:
    """Whether no request can reach the candidate through us, by what was seen and not by what was asked for."""
    mirrored = observed.status.step is not None and observed.status.step.mirror is not None
    if observed.status.weight is None and (not mirrored or rollback.weight_zero_at is not None):
        return True  # it never answered anybody, and nothing is mirrored to it any more
    if observed.candidate_pods == 0 and (rollback.weight_zero_at or rollback.endpoints_closed_at):
        return True  # and none comes back: the route leads elsewhere, or the Service stays closed until it does
    if rollback.weight_zero_at is None:
        return False
    if _shared(observed, rollback):
        # A clock behind the one that wrote this is another operator's, and taking over lasts longer than this.
        return not timedelta() <= now - rollback.weight_zero_at < SETTLE
    fact = observed.serving.get(rollback.policy)
    # No answer is not zero traffic, and neither is a quiet second that began before the route had changed.
    return (
        fact is not None
        and fact.request_rate == 0
        and fact.off_route.get(observed.owner.name) == rollback.weight_zero_at
    )


def _shared(observed: Observed, rollback: RollbackStatus) -> bool:
    policy = observed.policies.get(rollback.policy)
    return policy is not None and policy.shared


def _finish(observed: Observed, rollback: RollbackStatus, now: datetime) -> Move:
    """The candidate is gone from the traffic: let it go, and remember it where that says something about it."""
    status, at, previous = observed.status, instant(now), observed.status.previous
    candidate = status.candidate
    if candidate is None:  # somebody has edited the status: there is nothing left to let go
        return Move(changed(status, rollback=rollback.model_copy(update={"drained_at": at})))
    digests = [digest for digest in status.rejected_digests if digest != candidate.digest]
    served = status.served_anchor
    if rollback.reason not in NO_EVIDENCE:
        digests = rejected(digests, candidate.digest)
        # What is rejected does not stay as another side either: its rule would lead to it again.
        previous = None if previous is not None and previous.policy == candidate.policy else previous
        served = None if served is not None and served.policy == candidate.policy else served
    entry = HistoryEntry(
        policy=candidate.policy,
        digest=candidate.digest,
        outcome="Withdrawn" if rollback.reason in NO_EVIDENCE else "RolledBack",
        started_at=candidate.since,
        ended_at=at,
        reason=rollback.reason,
        message=rollback.message,
    )
    after = changed(
        status,
        rollback=rollback.model_copy(update={"drained_at": at}),
        candidate=None,
        previous=previous,
        served_anchor=served,
        kept=_kept(observed, rollback, at),
        step=None,
        paused=None,
        skipped=[],
        weight=None,
        watch=segment.watched_from(status.watch, at) if segment.was_aside(status) else status.watch,
        analysis_started_at=None,
        weight_changes=[],
        weight_history=[],
        rejected_digests=digests,
        history=[*status.history, entry][-KEEP_HISTORY:],
    )
    words = _summary(rollback, meanwhile(observed), at)
    if after.kept is not None and after.kept.policy == candidate.policy:
        words = f"{words}. Its pods are kept until {format_instant(after.kept.until)} for people to look at"
    return Move(after, (note(EventReason.ROLLED_BACK, words, warning=True),))


def _kept(observed: Observed, rollback: RollbackStatus, at: datetime) -> WarmStatus | None:
    """The candidate, where people may want to look at it; else whom they look at already."""
    candidate, time = observed.status.candidate, observed.spec.rollback.keep_candidate
    if candidate is None or time is None or rollback.reason in NO_EVIDENCE:
        return observed.status.kept
    return WarmStatus(policy=candidate.policy, digest=candidate.digest, until=at + time)


def _summary(rollback: RollbackStatus, target: str, at: datetime) -> str:
    """What the rollback did and how long each part took, from the recorded intent on."""
    if rollback.weight_zero_at is None and rollback.endpoints_closed_at is None:
        return f"{rollback.policy}: it never had traffic; {target}"
    parts = []
    if rollback.weight_zero_at is not None:
        parts.append(f"off the route after {format_duration(rollback.weight_zero_at - rollback.decided_at)}")
    if rollback.endpoints_closed_at is not None:
        parts.append(f"endpoints closed after {format_duration(rollback.endpoints_closed_at - rollback.decided_at)}")
    parts.append(f"without requests after {format_duration(at - rollback.decided_at)}")
    return f"{rollback.policy}: {', '.join(parts)}; {target}"
