"""The stable version does worse than when it was promoted, or is beyond a limit: it is told, once, until it is over.

It is watched at every time, on trial of a candidate too, and beside whatever else is the matter; but not while a step
`match` leaves the episodes of some users aside. A world that changes
looks the same as a version that does, so nobody is taken back for it, unless the spec says so and the version before is
still warm.
"""

from collections.abc import Sequence
from datetime import datetime

from belay_api.conditions import clear_condition, get_condition
from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.watch import OnDegraded, WatchStatus
from belay_operator.rollout import segment, standing, watch
from belay_operator.rollout.analysis.queries import definition_of
from belay_operator.rollout.commands.undo import back
from belay_operator.rollout.move import Move, changed, note, raised
from belay_operator.rollout.observed import Observed

DEGRADED = "Degraded"  # reason of the rollback


def act(observed: Observed, now: datetime) -> Move | None:
    """Record what the watch has to say."""
    status, stable = observed.status, observed.status.stable
    if stable is None or observed.rolling_back:
        return None
    records, recovered = _records(observed, now)
    if records == status.watch:
        return None
    worse = [record for record in records if record.degraded_since is not None]
    stood = get_condition(status.conditions, watch.DEGRADED) is not None
    if not worse:
        conditions = clear_condition(list(status.conditions), watch.DEGRADED)
        over = stood and recovered  # or nobody asks for it any more, which is no news of the version
        events = (note(EventReason.STABLE_RECOVERED, f"{stable.policy} does as well again"),) if over else ()
        return Move(changed(status, watch=records, conditions=conditions), events)
    message = "; ".join(record.message for record in worse)
    conditions = raised(observed, watch.DEGRADED, RolloutReason.STABLE_WORSE, message, now)
    after = changed(status, watch=records, conditions=conditions)
    return Move(after) if stood else _told(observed.after(after), message, now)


def _told(observed: Observed, message: str, now: datetime) -> Move:
    """The alert; and the way back, where the spec asks for it and there is one."""
    words = f"{message}. The world may have changed as well: nothing follows by itself"
    if observed.spec.watch.on_degraded is OnDegraded.ROLLBACK:
        move = back(observed, now, reason=DEGRADED, message=message)
        if isinstance(move, Move):
            return Move(move.status, (note(EventReason.STABLE_WORSE, message, warning=True), *move.events))
        words = f"{message}. It is not taken back: {move}"
    return Move(observed.status, (note(EventReason.STABLE_WORSE, words, warning=True),))


def _records(observed: Observed, now: datetime) -> tuple[list[WatchStatus], bool]:
    """The records after this look, and whether it has shown that anything is over."""
    status, stable, analysis = observed.status, observed.status.stable, observed.spec.analysis
    if stable is None:
        return [], False
    if segment.is_aside(status):  # the logbook and the pods tell of some users only
        return status.watch, False
    limits = standing.limits(analysis, observed.spec.watch)
    told = observed.standing.get(stable.policy, {})  # in this very pass another version may have been stable
    compared = _taken_up(observed, stable.policy, now)
    before = [*compared, *filter(standing.is_alarm, status.watch)]
    after = [
        *_looked(compared, observed, now),
        *standing.records(status.watch, told, limits, policy=stable.policy, now=now),
    ]
    asked = {(limit.metric, limit.definition) for limit in limits}
    asked |= {(metric.name, definition_of(metric, analysis)) for metric in watch.watched(analysis)}
    if observed.unfit is not None:  # what a part that cannot be carried out is about stays as it is until it is mended
        after += [one for one in status.watch if _key(one) not in asked and one not in after]
    worse = {_key(one) for one in after if one.degraded_since is not None}
    over = {_key(one) for one in before if one.degraded_since is not None} - worse
    return after, bool(over & asked)


def _key(record: WatchStatus) -> tuple[str, str]:
    return record.metric, record.definition


def _taken_up(observed: Observed, stable: str, now: datetime) -> list[WatchStatus]:
    """The records of metrics that are compared, as the spec asks for them now; on trial as they are."""
    records = [record for record in observed.status.watch if not standing.is_alarm(record)]
    if observed.status.candidate is not None:
        return records
    return watch.anew(stable, observed.spec.analysis, records, now)


def _looked(records: Sequence[WatchStatus], observed: Observed, now: datetime) -> list[WatchStatus]:
    analysis = observed.spec.analysis
    metrics = {metric.name: metric for metric in watch.watched(analysis)}
    return [
        watch.looked(record, metrics[record.metric], reading, analysis=analysis, spec=observed.spec.watch, now=now)
        if record.metric in metrics and (reading := observed.watched.get(record.metric)) is not None
        else record
        for record in records
    ]
