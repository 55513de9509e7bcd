"""Decide what a rollout does next: a chain of small questions, asked again until none has an answer.

Each link looks at what is recorded and observed and either returns the next recorded status or passes. Nothing is
remembered between passes, so it does not matter where the one before died. The links run to the end within one pass
because everything that needs the world (an accepted route, ready pods, a measurement, time) is only ever read from
`observed`: a chain of changes that need nothing from outside is one write.

What is done to the world follows from the final status alone (`build`), and the executor writes that status first.
"""

from datetime import datetime, timedelta

from belay_operator.engine.plan import EMPTY, Manifest, Note, Plan, Ref
from belay_operator.rollout import build
from belay_operator.rollout.commands import decide_command
from belay_operator.rollout.judging import fail, flush_after, look, record_applied, record_looks
from belay_operator.rollout.move import Decider, instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.patience import next_due, run_out
from belay_operator.rollout.prepare import broken, prepare, silence_left
from belay_operator.rollout.progress import progress
from belay_operator.rollout.promote import expire
from belay_operator.rollout.rollback import SETTLE, decide_rollback
from belay_operator.rollout.status import describe, situation
from belay_operator.rollout.takeup import take_up, withdraw

CHAIN: tuple[Decider, ...] = (
    decide_command,  # what a person asked for comes first
    decide_rollback,  # then what must be finished
    withdraw,  # a candidate nobody wants any more is not judged either
    record_applied,
    record_looks,
    broken,
    fail,
    run_out,
    take_up,
    prepare,
    progress,
    expire,
)
MAX_MOVES = 100  # far above what a spec of 32 steps can chain; a guard against two links undoing each other


def decide(observed: Observed, now: datetime) -> Plan:
    """Return the next move; an empty plan when the rollout is as the spec wants it."""
    if observed.owner.deleting:
        return EMPTY  # everything we made is owned and goes with the rollout
    now = instant(now)
    recorded = observed.status
    observed, events = _settle(look(observed, now), now)
    observed = observed.after(describe(observed, now))
    dumped = observed.status.dump()
    apply, delete = _route(observed, now)
    return Plan(
        status=dumped if dumped != recorded.dump() else None,
        apply=apply,
        delete=delete,
        events=events,
        requeue_after=_requeue_after(observed, now),
    )


def _settle(observed: Observed, now: datetime) -> tuple[Observed, tuple[Note, ...]]:
    """Follow the chain until it has nothing more to say."""
    events: list[Note] = []
    for _ in range(MAX_MOVES):
        move = next((move for link in CHAIN if (move := link(observed, now)) is not None), None)
        if move is None:
            return observed, tuple(events)
        events.extend(move.events)
        observed = observed.after(move.status)
    raise AssertionError("the links of the rollout's chain undo each other")


def _route(observed: Observed, now: datetime) -> tuple[tuple[Manifest, ...], tuple[Ref, ...]]:
    """Return what brings the route to what status asks for: nothing, one write, or one deletion."""
    taken = observed.route is not None and not observed.route.ours
    if not observed.gateway_api or taken or build.in_place(observed, now):
        return (), ()
    wanted = build.route(observed, now)
    if wanted is not None:
        return (wanted,), ()
    assert observed.route is not None, "no route wanted and none there is in place"
    return (), (build.ROUTER.ref(observed.route, owner=observed.owner),)


def _requeue_after(observed: Observed, now: datetime) -> timedelta | None:
    """Return when time alone will have changed something; the world wakes us for everything else."""
    status, wait = observed.status, situation(observed, now)
    times = [wait.requeue_after if wait else None]
    if not observed.rolling_back:
        times += [flush_after(observed), next_due(observed, now), silence_left(observed, now)]
    if status.rollback and observed.rolling_back and status.rollback.weight_zero_at is not None:
        settled = status.rollback.weight_zero_at + SETTLE - now
        times.append(settled if settled > timedelta() else None)
    if status.previous is not None:
        times += [status.previous.until - now, status.previous.until - build.WARM_LEAD - now]
    due = [time for time in times if time is not None and time > timedelta()]
    return min(due) if due else None
