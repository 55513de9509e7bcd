"""One look: the numbers of versions by the window in which their episodes started (tally.py says what is counted).

An episode that started before `at - grace` is past grace and looked at. A look at `at` sees every arrival up to `at`
(see Database.horizon_ms), so an episode that was looked at keeps its place, which is what makes a verdict valid at
every look. Whole windows past grace come from where they are kept (sealed.py), as the bytes of the answer; only the
rows of the newest piece, and of the one that `since` cuts, are counted anew.
"""

import hashlib
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from belay_api.units import format_instant
from belay_api.wire import WindowStatistics
from belay_logbook.errors import BadRequest
from belay_logbook.schema import STANDARD_OUTCOMES
from belay_logbook.sealed import LEAST, KeptWindow, Question, Seal, find, kept_pieces, kept_windows
from belay_logbook.tally import Tally, tally, together

MAX_WINDOWS = 100_000  # of one version in one answer, about 15 MB
ROWS_AT_ONCE = 10_000  # in memory, about 3 MB: a window may be a year
_NEVER_MS = 1 << 62

_ROWS = """
SELECT started_ms, reported_ms - started_ms, moved, {x} FROM episode
WHERE version = :version AND started_ms >= :start AND started_ms < :end ORDER BY started_ms"""
_NEXT = "SELECT MIN(started_ms) FROM episode WHERE version = ? AND started_ms >= ? AND started_ms < ?"
_LONGEST = "SELECT MAX(reported_ms - started_ms) FROM episode WHERE version = ? AND started_ms >= ?"


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

    body: bytes
    """`wire.Statistics` as JSON."""
    etag: str
    """Of the numbers alone."""
    due_ms: int | None
    """When the next known episode passes grace, so that the numbers change by themselves; None: none is under way."""
    seals: tuple[tuple[Question, Seal], ...]
    """What was counted here and never need be again."""


def compute(connection: sqlite3.Connection, look: Look, at_ms: int) -> Answer:
    """Return the statistics at `at_ms`.

    Args:
        at_ms: The database's horizon, taken before the connection's snapshot.
    Raises: BadRequest when there are more windows than one answer holds.
    """
    grace_ms = _ms(look.grace)
    since_ms = round(look.since.timestamp() * 1000)
    until_ms = at_ms - grace_ms
    due = _NEVER_MS
    versions = []
    seals: list[tuple[Question, Seal]] = []
    for name in look.versions:
        found = connection.execute(
            "SELECT id FROM version WHERE namespace = ? AND name = ?", (look.namespace, name)
        ).fetchone()
        if found is None:
            versions.append(_version(name, [], None))
            continue
        question = Question(found[0], look.outcome, _ms(look.window), grace_ms)
        windows = []
        for window, found_seals in _windows(connection, question, since_ms, until_ms):
            windows.append(window)
            seals += [(question, seal) for seal in found_seals]
            if len(windows) > MAX_WINDOWS:
                raise BadRequest(
                    f"window is {look.window.total_seconds():g} s: version {name} has more than {MAX_WINDOWS} of them, "
                    "ask for longer windows or a later since",
                    field="window",
                )
        young_ms = max(until_ms, since_ms)
        versions.append(_version(name, windows, connection.execute(_LONGEST, (found[0], young_ms)).fetchone()[0]))
        next_ms = _next(connection, question, young_ms, _NEVER_MS)
        if next_ms is not None:
            # Counted once start < at - grace, and the horizon trails the clock by a millisecond: hence two.
            due = min(due, next_ms + grace_ms + 2)
    numbers = b",".join(versions)
    etag = hashlib.blake2b(
        b"[%b,%b]" % (orjson.dumps([look.outcome, look.namespace]), numbers), digest_size=12
    ).hexdigest()
    head = {"outcome": look.outcome, "at": _instant(at_ms), "etag": etag}
    body = orjson.dumps(head | {"versions": orjson.Fragment(b"[%b]" % numbers)})
    return Answer(body, etag, None if due == _NEVER_MS else due, tuple(seals))


def _windows(
    connection: sqlite3.Connection, question: Question, since_ms: int, until_ms: int
) -> Iterator[tuple[KeptWindow, list[Seal]]]:
    """Yield every window with episodes, oldest first, and what of it can be kept from now on."""
    identity = find(connection, question)
    kept = []
    if identity is not None:
        kept = kept_windows(connection, identity, since_ms, until_ms - question.window_ms)
    position = since_ms
    for window in [*kept, None]:
        until = window.start_ms if window else until_ms
        while position < until and (first := _next(connection, question, position, until)) is not None:
            start, end = question.window(first)
            yield _count(connection, question, identity, max(start, since_ms), min(end, until_ms))
            position = end
        if window:
            yield window, []
            position = window.start_ms + question.window_ms


def _count(
    connection: sqlite3.Connection, question: Question, identity: int | None, first_ms: int, end_ms: int
) -> tuple[KeptWindow, list[Seal]]:
    """Return the numbers of [first_ms, end_ms) of a window, and what of it can be kept."""
    kept = {} if identity is None else kept_pieces(connection, identity, first_ms, end_ms)
    parts: list[Tally] = []
    fresh: list[tuple[int, int, Tally]] = []
    position = first_ms
    for start in [*kept, None]:
        until = end_ms if start is None else start
        for piece_start, piece_end, part in _rows(connection, question, position, until):
            parts.append(part)
            if piece_start >= first_ms and piece_end <= end_ms and part.episodes >= LEAST:
                fresh.append((piece_start, piece_end, part))
        if start is None:
            break
        position = question.piece(start)[1]
        if position > end_ms:  # the clock went back: this piece reaches beyond what is past grace
            position = start
            continue
        parts.append(kept[start])
    total = together(parts)
    window_start, window_end = question.window(first_ms)
    window = KeptWindow(window_start, _wire(window_start, total), total.moved, total.longest_ms)
    if (first_ms, end_ms) != (window_start, window_end):
        return window, [Seal(start, end, part, ((start, part),), None) for start, end, part in fresh]
    pieces = tuple((start, part) for start, _, part in fresh)
    return window, [Seal(window_start, window_end, total, pieces, window)]


def _rows(
    connection: sqlite3.Connection, question: Question, start_ms: int, end_ms: int
) -> Iterator[tuple[int, int, Tally]]:
    """Yield start, end and numbers of every piece with episodes in the span."""
    if start_ms >= end_ms:
        return
    values: dict[str, int | str] = {"version": question.version, "start": start_ms, "end": end_ms}
    x = f'"{question.outcome}"'
    custom = question.outcome not in STANDARD_OUTCOMES
    if custom:
        values |= {"path": f"$.{x}"}
        x = "custom -> :path"  # as text: SQLite 3.46 reads one number of ten thousand with another last bit
    cursor = connection.execute(_ROWS.format(x=x), values)
    start = end = start_ms
    parts: list[Tally] = []  # of the piece [start, end)
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        if custom:
            rows = [(*row, None if text is None else float(text)) for *row, text in rows]
        position = 0
        while position < len(rows):
            if rows[position][0] >= end:
                if parts:
                    yield start, end, together(parts)
                (start, end), parts = question.piece(rows[position][0]), []
            behind = bisect_left(rows, (end,), position)
            parts.append(tally(rows[position:behind], question.grace_ms))
            position = behind
    if parts:
        yield start, end, together(parts)


def _next(connection: sqlite3.Connection, question: Question, start_ms: int, end_ms: int) -> int | None:
    """Return the first start in the span."""
    found: int | None = connection.execute(_NEXT, (question.version, start_ms, end_ms)).fetchone()[0]
    return found


def _wire(start_ms: int, total: Tally) -> bytes:
    if not total.count and not total.missing:
        return b""
    window = WindowStatistics(
        start=datetime.fromtimestamp(start_ms / 1000, UTC),
        count=total.count,
        missing=total.missing,
        late=total.late,
        mean=total.sums.mean(total.count) if total.count else None,
        m2=total.sums.m2(total.count) if total.count else 0.0,
        min=total.low,
        max=total.high,
    )
    return orjson.dumps(window.dump())


def _version(name: str, windows: list[KeptWindow], young_longest_ms: int | None) -> bytes:
    """Return `wire.VersionStatistics` as JSON."""
    took = [window.longest_ms for window in windows if window.longest_ms is not None]
    if young_longest_ms is not None:
        took.append(young_longest_ms)
    numbers = {
        "version": name,
        "windows": orjson.Fragment(b"[%b]" % b",".join(window.wire for window in windows if window.wire)),
        "moved": sum(window.moved for window in windows),
    }
    return orjson.dumps(numbers | ({"longest": max(0, *took) / 1000} if took else {}))


def _instant(at_ms: int) -> str:
    return format_instant(datetime.fromtimestamp(at_ms / 1000, UTC))


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
