"""Sufficient statistics of a version's episodes, by the window they started in.

    counted   started before at - grace, first report within grace of its start, carries the outcome
    missing   started before at - grace and not counted
    late      the missing ones that carry the outcome all the same: reported, but after grace
    moved     taken over by another version: counts for neither side

A look at `at` sees every arrival up to `at` (see Database.horizon_ms), so an episode that was looked at keeps its
place, which is what makes a verdict valid at every look. A window whose last episode is past grace changes only by late
arrivals, so it is computed once and remembered until one comes (window_cache.py).
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_logbook.schema import STANDARD_OUTCOMES
from belay_logbook.window_cache import Window, WindowCache, WindowKey

_NEVER_MS = 1 << 62

_FIRST = """
SELECT COUNT(*) FILTER (WHERE {counted}), COUNT(*) FILTER (WHERE NOT moved), TOTAL(moved),
       AVG({x}) FILTER (WHERE {counted}), MIN({x}) FILTER (WHERE {counted}), MAX({x}) FILTER (WHERE {counted}),
       COUNT(*) FILTER (WHERE NOT moved AND reported_ms > started_ms + :grace AND {x} IS NOT NULL)
FROM episode WHERE version = :version AND started_ms >= :start AND started_ms < :end"""
# A second pass over the same rows: one pass (sum of squares minus square of sum) cancels when the mean is large.
_SECOND = """
SELECT TOTAL(({x} - :mean) * ({x} - :mean))
FROM episode WHERE version = :version AND started_ms >= :start AND started_ms < :end AND {counted}"""
_COUNTED = "NOT moved AND reported_ms <= started_ms + :grace AND {x} IS NOT NULL"
_NEXT = "SELECT MIN(started_ms) FROM episode WHERE version = ? AND started_ms >= ?"
_LONGEST = "SELECT MAX(reported_ms - started_ms) FROM episode WHERE version = ? AND started_ms >= ? AND started_ms < ?"


@dataclass(frozen=True, slots=True)
class Look:
    """What the caller asks."""

    namespace: str
    versions: tuple[str, ...]
    outcome: str
    """A standard outcome or a custom one's name."""
    window: timedelta
    """Length of the windows, aligned to the epoch."""
    grace: timedelta
    """An episode reported later than this after its start is missing."""
    since: datetime
    """Episodes that started earlier are left out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a look found."""

    statistics: Statistics
    due_ms: int | None
    """When the next known episode passes grace, so that the numbers change by themselves; None: none is under way."""


def compute(connection: sqlite3.Connection, look: Look, at_ms: int, cache: WindowCache) -> Answer:
    """Return the statistics at `at_ms`.

    Args:
        at_ms: The database's horizon, taken before the connection's snapshot.
    """
    grace_ms = round(look.grace.total_seconds() * 1000)
    since_ms = round(look.since.timestamp() * 1000)
    due: int | None = None
    versions = []
    for name in look.versions:
        found = connection.execute(
            "SELECT id FROM version WHERE namespace = ? AND name = ?", (look.namespace, name)
        ).fetchone()
        if found is None:
            versions.append(VersionStatistics(version=name, windows=[]))
            continue
        windows = list(_windows(connection, look, found[0], at_ms, cache))
        young = max(at_ms - grace_ms, since_ms)
        young_longest = connection.execute(_LONGEST, (found[0], young, _NEVER_MS)).fetchone()[0]
        longest = max(
            (ms for ms in [young_longest, *(window.longest_ms for _, window in windows)] if ms is not None),
            default=None,
        )
        versions.append(
            VersionStatistics(
                version=name,
                windows=[_wire(start, window) for start, window in windows if window.count or window.missing],
                moved=sum(window.moved for _, window in windows),
                longest=None if longest is None else max(0, longest) / 1000,
            )
        )
        next_start = connection.execute(_NEXT, (found[0], young)).fetchone()[0]
        if next_start is not None:
            # Counted once start < at - grace, and the horizon trails the clock by a millisecond: hence two.
            due = min(due or _NEVER_MS, next_start + grace_ms + 2)
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return Answer(Statistics(outcome=look.outcome, at=at, etag=_etag(look, versions), versions=versions), due)


def _windows(
    connection: sqlite3.Connection, look: Look, version: int, at_ms: int, cache: WindowCache
) -> Iterator[tuple[int, Window]]:
    """Yield start (ms) and numbers of every window with episodes, oldest first."""
    window_ms = round(look.window.total_seconds() * 1000)
    grace_ms = round(look.grace.total_seconds() * 1000)
    since_ms = round(look.since.timestamp() * 1000)
    until_ms = at_ms - grace_ms
    key = WindowKey(version, look.outcome, window_ms, grace_ms)
    known, mark = cache.known(key)
    computed: dict[int, Window] = {}
    position = since_ms
    while (first := connection.execute(_NEXT, (version, position)).fetchone()[0]) is not None and first < until_ms:
        start = first // window_ms * window_ms
        end = start + window_ms
        position = end
        window = known.get(start) if start >= since_ms else None
        if window is None:
            window = _compute_window(connection, key, max(start, since_ms), min(end, until_ms))
            if start >= since_ms and end <= until_ms:
                computed[start] = window
        yield start, window
    cache.remember(key, computed, mark)


def _compute_window(connection: sqlite3.Connection, key: WindowKey, start: int, end: int) -> Window:
    standard = key.outcome in STANDARD_OUTCOMES
    x = f'"{key.outcome}"' if standard else "json_extract(custom, :path)"
    terms = {"x": x, "counted": _COUNTED.format(x=x)}
    values: dict[str, int | str] = {"version": key.version, "start": start, "end": end, "grace": key.grace_ms}
    if not standard:
        values |= {"path": f'$."{key.outcome}"'}
    count, told, moved, mean, low, high, late = connection.execute(_FIRST.format(**terms), values).fetchone()
    m2 = 0.0
    if count > 1:
        (m2,) = connection.execute(_SECOND.format(**terms), values | {"mean": mean}).fetchone()
    (longest,) = connection.execute(_LONGEST, (key.version, start, end)).fetchone()
    return Window(count, told - count, late, int(moved), mean, m2, low, high, longest)


def _wire(start_ms: int, window: Window) -> WindowStatistics:
    return WindowStatistics(
        start=datetime.fromtimestamp(start_ms / 1000, UTC),
        count=window.count,
        missing=window.missing,
        late=window.late,
        mean=window.mean,
        m2=window.m2,
        min=window.min,
        max=window.max,
    )


def _etag(look: Look, versions: list[VersionStatistics]) -> str:
    numbers = [[look.outcome, look.namespace], *(version.dump() for version in versions)]
    return hashlib.blake2b(orjson.dumps(numbers), digest_size=12).hexdigest()
