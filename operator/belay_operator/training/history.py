"""The attempts of a job, from what its pods tell and what status remembers of those that are gone.

A pod that is asked to go is often gone in the same moment as its trainer, with its last word unread. So what is known
of an attempt is written down while it runs, and why it is asked to go as soon as it is. An attempt that was seen to end
never changes afterwards.
"""

from datetime import datetime

from belay_api.attempts import MOST_ATTEMPTS, AttemptRecord
from belay_api.reasons import AttemptEnd
from belay_operator.training.observed import Life, Observed


def history(observed: Observed, now: datetime) -> list[AttemptRecord] | None:
    """Return the attempts that ended last and, while there is room, those that began last; None: there was none."""
    records = {record.pod: record for record in observed.status.history or ()}
    pods = set()
    for index, view in observed.workload.seeds.items():
        for life in view.lives:
            pods.add(life.pod)
            records[life.pod] = _record(observed, index, life, records.get(life.pod), now)
    for name, record in records.items():
        if record.ended_at is None and name not in pods:
            reason = record.reason or _why_asked_to_go(observed)
            records[name] = record.model_copy(update={"reason": reason, "ended_at": now})
    kept = sorted(records.values(), key=_weight)[-MOST_ATTEMPTS:]
    return sorted(kept, key=lambda record: (record.started_at, record.pod)) or None


def closed(records: list[AttemptRecord] | None, at: datetime) -> list[AttemptRecord] | None:
    """Return the attempts of a job that is over: its pods were stopped with it, and nobody looks at them again."""
    return records and [
        one.model_copy(update={"reason": one.reason or AttemptEnd.STOPPED, "ended_at": one.ended_at or at})
        for one in records
    ]


def _record(observed: Observed, index: int, life: Life, before: AttemptRecord | None, now: datetime) -> AttemptRecord:
    if before is not None and before.ended_at is not None:
        return before
    reason = before.reason if before is not None else None
    if life.end is not None:
        reason = life.end
    elif reason is None and life.leaving:
        reason = _why_asked_to_go(observed)
    return AttemptRecord(
        pod=life.pod,
        seed=None if observed.searching else observed.spec.seeds.first + index,
        node=life.node,
        started_at=life.began_at,
        ended_at=(life.ended_at or now) if life.over else None,
        reason=reason,
        message=life.message,
    )


def _why_asked_to_go(observed: Observed) -> AttemptEnd:
    if observed.workload.ending or observed.workload.end is not None:
        return AttemptEnd.STOPPED
    return AttemptEnd.SUSPENDED if observed.suspended else AttemptEnd.REMOVED


def _weight(record: AttemptRecord) -> tuple[bool, datetime, str]:
    """What is kept sorts last: of a thousand seeds at work, each says in status.seeds how it is."""
    return record.ended_at is not None, record.ended_at or record.started_at, record.pod
