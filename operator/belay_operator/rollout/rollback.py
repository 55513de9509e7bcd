"""Decide the next move of a rollback from what is true now.

A rollback spans many passes and the operator may die between any two of them. So no pass relies on an earlier one: each
records whatever is newly *seen* to be done. The order is fixed: the intent is recorded, and with it the route follows
(`build.intent` sends a withdrawn candidate nothing); the Gateway accepts that route; the candidate's pods are seen
without a request for one whole scrape that began after that; only then is the candidate let go. Past the deadline its
endpoints are closed as well (by the policy kind, which reads `endpointsClosedAt`). Nobody's capacity is ever asked.
"""

from datetime import datetime, timedelta

from belay_api.reasons import EventReason
from belay_api.rollout import HistoryEntry, RLRolloutStatus, RollbackStatus, WeightStatus
from belay_api.units import format_duration
from belay_operator.rollout import build
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed

KEEP_REJECTED = 20
KEEP_HISTORY = 10
# Pods that other rollouts use as well have requests of their own, so silence cannot be waited for; a route takes a
# quarter of a second from accepted to in force (measured on Envoy Gateway), this is several times that.
SETTLE = timedelta(seconds=2)
SUPERSEDED = "Superseded"  # the one reason that says nothing against the candidate


def begin(observed: Observed, now: datetime, *, reason: str, message: str, metric: str | None = None) -> Move:
    """Return the recorded intent to withdraw the candidate; the route that follows goes into the same plan."""
    status, candidate = observed.status, observed.status.candidate
    assert candidate is not None, "only a candidate can be withdrawn"
    weight = status.weight and WeightStatus(desired=0, applied=status.weight.applied)
    rollback = RollbackStatus(
        reason=reason, message=message, metric=metric, policy=candidate.policy, decided_at=instant(now)
    )
    event = note(EventReason.ROLLBACK_STARTED, f"{candidate.policy} is withdrawn: {message}", warning=True)
    return Move(changed(status, rollback=rollback, weight=weight), (event,))


def decide_rollback(observed: Observed, now: datetime) -> Move | None:
    """Return what is newly seen of a rollback under way, or None."""
    status, rollback = observed.status, observed.status.rollback
    if rollback is None:
        return None
    if rollback.drained_at is not None:
        return _accepted_late(observed, rollback, now)

    if rollback.weight_zero_at is None and build.in_force(observed, now):
        weight = status.weight and WeightStatus(desired=0, applied=0)
        seen = rollback.model_copy(update={"weight_zero_at": instant(now)})
        return Move(changed(status, rollback=seen, weight=weight))

    if _drained(observed, rollback, now):
        return _finish(observed, rollback, now)

    # A poller that cannot answer must not stretch the promise. Endpoints that others use too are not ours to close.
    late = now - rollback.decided_at >= observed.spec.rollback.deadline
    if late and rollback.endpoints_closed_at is None and not _shared(observed, rollback):
        closed = rollback.model_copy(update={"endpoints_closed_at": instant(now)})
        return Move(changed(status, rollback=closed))
    return None


def _accepted_late(observed: Observed, rollback: RollbackStatus, now: datetime) -> Move | None:
    """Record that the Gateway has accepted the route after all: with that the closed endpoints open again."""
    waiting = rollback.endpoints_closed_at is not None and rollback.weight_zero_at is None
    if not waiting or not build.in_force(observed, now):
        return None
    seen = rollback.model_copy(update={"weight_zero_at": instant(now)})
    return Move(changed(observed.status, rollback=seen))


def _drained(observed: Observed, rollback: RollbackStatus, now: datetime) -> bool:
    """Whether no request can reach the candidate through us, by what was seen and not by what was asked for."""
    if observed.status.weight is None:
        return True  # it never was on the route
    if observed.candidate_pods == 0 and (rollback.weight_zero_at or rollback.endpoints_closed_at):
        return True  # and none comes back: the route leads elsewhere, or the Service stays closed until it does
    if rollback.weight_zero_at is None:
        return False
    if _shared(observed, rollback):
        return now - rollback.weight_zero_at >= SETTLE
    fact = observed.serving.get(rollback.policy)
    # No answer is not zero traffic, and neither is a quiet second that began before the route had changed.
    return (
        fact is not None
        and fact.request_rate == 0
        and fact.rate_since is not None
        and fact.rate_since >= rollback.weight_zero_at
    )


def _shared(observed: Observed, rollback: RollbackStatus) -> bool:
    policy = observed.policies.get(rollback.policy)
    return policy is not None and policy.shared


def _finish(observed: Observed, rollback: RollbackStatus, now: datetime) -> Move:
    """The candidate is gone from the traffic: let it go, and remember it."""
    status, candidate = observed.status, observed.status.candidate
    assert candidate is not None, "a rollback under way has its candidate until it is drained"
    at = instant(now)
    rejected = [digest for digest in status.rejected_digests if digest != candidate.digest]
    previous = status.previous
    if rollback.reason != SUPERSEDED:
        rejected.append(candidate.digest)
        # Whoever is rejected is not kept warm either: its rule would lead to it again.
        previous = None if previous is not None and previous.policy == candidate.policy else previous
    entry = HistoryEntry(
        policy=candidate.policy,
        digest=candidate.digest,
        outcome="RolledBack",
        started_at=candidate.since,
        ended_at=at,
        message=rollback.message,
    )
    after = changed(
        status,
        rollback=rollback.model_copy(update={"drained_at": at}),
        candidate=None,
        previous=previous,
        step=None,
        weight=None,
        analysis_started_at=None,
        rejected_digests=rejected[-KEEP_REJECTED:],
        history=[*status.history, entry][-KEEP_HISTORY:],
    )
    return Move(after, (note(EventReason.ROLLED_BACK, _summary(after, rollback, at), warning=True),))


def _summary(status: RLRolloutStatus, rollback: RollbackStatus, at: datetime) -> str:
    """What the rollback did and how long each part took, from the recorded intent on."""
    target = f"{status.stable.policy} serves all traffic" if status.stable else "no version was promoted before"
    if rollback.weight_zero_at is None and rollback.endpoints_closed_at is None:
        return f"{rollback.policy}: it never had traffic; {target}"
    parts = []
    if rollback.weight_zero_at is not None:
        parts.append(f"off the route after {format_duration(rollback.weight_zero_at - rollback.decided_at)}")
    if rollback.endpoints_closed_at is not None:
        parts.append(f"endpoints closed after {format_duration(rollback.endpoints_closed_at - rollback.decided_at)}")
    parts.append(f"without requests after {format_duration(at - rollback.decided_at)}")
    return f"{rollback.policy}: {', '.join(parts)}; {target}"
