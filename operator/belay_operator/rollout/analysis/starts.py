"""Where episodes began, at which weight: from the logbook's answer and what status says of the weights.

A weight is put on the route, accepted and recorded at three different times, on clocks of different machines; an
operator that died in between may record it minutes later. So a window counts only if it lies between two changes with
room on both sides: no change is asked for before it ends, and the last one was recorded before it began.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

from belay_api.rollout.status import AcceptedWeight, RLRolloutStatus
from belay_api.wire import Statistics
from belay_operator.rollout.analysis.sample_ratio import Cell, Ratio, ratio
from belay_operator.rollout.facts import Reading

# A new weight is in force everywhere a quarter of a second after it was accepted (measured on Envoy Gateway); clocks of
# a cluster's nodes differ by less than the rest.
ROOM = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class WeightChange:
    """A change of the candidate's weight."""

    at: datetime  # when it was recorded as accepted
    asked_at: datetime  # from when on it may have been in force
    weight: float | None  # the candidate's share from then on, 0 to 1; None: not known


def changes_of(status: RLRolloutStatus) -> tuple[WeightChange, ...]:
    """Return the changes of weight that status records, oldest first: the share of what begins at either side."""
    return _changes(status, lambda one: one.percent / (100 - (one.anchor or 0)))


def anchor_changes_of(status: RLRolloutStatus) -> tuple[WeightChange, ...]:
    """Return the same for the anchor's share, of all that begins."""
    return _changes(status, lambda one: (one.anchor or 0) / 100)


def _changes(status: RLRolloutStatus, share: Callable[[AcceptedWeight], float]) -> tuple[WeightChange, ...]:
    known = {one.at: one for one in status.weight_history}
    return tuple(
        WeightChange(at, known[at].asked_at, share(known[at])) if at in known else WeightChange(at, at, None)
        for at in sorted(status.weight_changes)
    )


@dataclass(frozen=True, slots=True)
class StartSides:
    """Whose starts are asked for."""

    candidate: str  # the side whose share it is
    stable: str
    changes: tuple[WeightChange, ...]
    with_stable: str | None = None  # a further version whose starts are counted with stable's


# As with verdicts: a reading is looked at in every pass, and a long rollout has many windows.
_FOUND: WeakKeyDictionary[Reading, dict[StartSides, Ratio | None]] = WeakKeyDictionary()


def found(sides: StartSides, reading: Reading) -> Ratio | None:
    """Return what a reading says of the sample ratio; None: it tells of no starts at a known weight."""
    known = _FOUND.setdefault(reading, {})
    if sides not in known:
        known[sides] = _found(sides, reading)
    return known[sides]


def _found(sides: StartSides, reading: Reading) -> Ratio | None:
    if reading.windows is None or reading.outcome_query is None:
        return None
    window = timedelta(seconds=reading.outcome_query.window_s)
    return ratio(cells(sides, reading.windows, window))


def cells(sides: StartSides, statistics: Statistics, window: timedelta) -> list[Cell]:
    """Return the starts of both sides per window, oldest first, where the weight is known and gives both sides some."""
    starts = {
        side.version: {one.start: one.count + one.missing for one in side.windows} for side in statistics.versions
    }
    ours, others = (
        starts.get(sides.candidate, {}),
        [starts.get(name or "", {}) for name in (sides.stable, sides.with_stable)],
    )
    return [
        Cell(ours.get(start, 0), sum(theirs.get(start, 0) for theirs in others), weight)
        for start, weight in _weighted(sorted({*ours, *others[0], *others[1]}), sides.changes, window)
    ]


def _weighted(
    starts: list[datetime], changes: tuple[WeightChange, ...], window: timedelta
) -> Iterator[tuple[datetime, float]]:
    """Yield the windows that lie within one known weight, with that weight."""
    instants = [change.at for change in changes]
    for start in starts:
        place = bisect_right(instants, start)
        if place == 0:
            continue
        weight, since = changes[place - 1].weight, changes[place - 1].at
        if weight is None or not 0 < weight < 1 or start < since + ROOM:
            continue
        if place < len(changes) and _end(start, window) + ROOM > min(changes[place].asked_at, changes[place].at):
            continue
        yield start, weight


def _end(start: datetime, window: timedelta) -> datetime:
    """Return the end of a window by the clock; windows are aligned to the epoch."""
    return start + window - (start - _EPOCH) % window


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
