"""One look: the numbers of versions by the window in which their episodes started (tally.py says what is counted).

An episode that started before `at - grace` is past grace and looked at. A look at `at` sees every arrival up to `at`
(see Database.horizon_ms), so an episode that was looked at keeps its place, which is what makes a verdict valid at
every look. Windows past grace come from where they are kept (sealed.py), as the bytes of the answer; only the rows of
the newest piece, and of the one that `since` lies in, are counted anew.

Each rollout's episodes of a version are counted and kept by themselves. A look at all rollouts puts them together.
"""

import hashlib
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from belay_api.units import format_instant
from belay_api.wire import CovariateStatistics, EarlierStatistics, LevelStatistics, WindowStatistics
from belay_logbook.errors import BadRequest
from belay_logbook.schema import STANDARD_OUTCOMES
from belay_logbook.sealed import (
    ASKED,
    EVERY,
    LEAST,
    KeptWindow,
    Question,
    Seal,
    find,
    kept_chapters,
    kept_pieces,
    kept_windows,
    whose,
)
from belay_logbook.tally import Row, Tally, tally, together
from belay_logbook.told import execute
from belay_logbook.windows import Windows

MAX_WINDOWS = 100_000  # of one version in one answer, about 15 MB
EARLIER = 100  # episodes before `since` that a look tells of: enough to know where outcomes lie
ROWS_AT_ONCE = 10_000  # in memory, about 3 MB: a window may be a year
_NEVER_MS = 1 << 62

Span = tuple[int, int]
"""From the first to before the second, in ms since the epoch."""

_ROWS = f"""
SELECT started_ms, {{told_at}} - started_ms, moved, foreseen, {{told}} FROM episode
WHERE version = :version AND started_ms >= :start AND started_ms < :end AND {ASKED} ORDER BY started_ms"""
_EARLIER = """
SELECT started_ms, {told_at} - started_ms, moved, foreseen, {told} FROM episode
WHERE version = :version AND started_ms < :end ORDER BY started_ms DESC LIMIT :most"""
_NEXT = f"""
SELECT MIN(started_ms) FROM episode
WHERE version = :version AND started_ms >= :start AND started_ms < :end AND {ASKED}"""
_VERSIONS = "SELECT id FROM version WHERE namespace = :namespace AND name = :name"
_BASELINE = "SELECT digest FROM baseline WHERE id = ?"
_LONGEST = f"""
SELECT MAX({{told_at}} - started_ms) FROM episode
WHERE version = :version AND started_ms >= :start AND {ASKED}"""


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
    rollout: str | None = None
    """Whose episodes are counted; None: all, those of no rollout included."""
    cuts: tuple[datetime, ...] = ()
    """No window spans one of these instants: one ends there, and another begins."""
    by_user: bool = False
    """Only the first episode of each user since `since` counts, whatever version served it."""


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
    span = (round(look.since.timestamp() * 1000), at_ms - _ms(look.grace))
    due: list[int] = []
    numbers: list[bytes] = []
    seals: list[tuple[Question, Seal]] = []
    for name in look.versions:
        windows: list[KeptWindow] = []
        longest: list[int] = []
        earlier: list[Tally] = []
        asked = _questions(connection, look, name)
        for question in asked:
            found = []
            # What is read in chapters cannot be put together with another rollout's windows.
            for window, found_seals in _windows(connection, question, look, span, chapters=len(asked) == 1):
                found.append(window)
                seals += [(question, seal) for seal in found_seals]
                if len(found) > MAX_WINDOWS:
                    raise _too_many(look, name)
            windows = _merge(connection, windows, found) if windows else found
            if len(windows) > MAX_WINDOWS:
                raise _too_many(look, name)
            young_ms = max(span)
            longest += _longest(connection, question, young_ms)
            earlier.append(_earlier(connection, question, min(span)))
            next_ms = _next(connection, question, young_ms, _NEVER_MS)
            # Counted once start < at - grace, and the horizon trails the clock by a millisecond: hence two.
            due += [] if next_ms is None else [next_ms + question.grace_ms + 2]
        numbers += [b",", *_version(connection, name, windows, longest, together(earlier))]
    # Of many windows the bytes are many: they are copied once.
    digest = hashlib.blake2b(orjson.dumps([look.outcome, look.namespace]), digest_size=12)
    for part in numbers:
        digest.update(part)
    etag = digest.hexdigest()
    head = orjson.dumps({"outcome": look.outcome, "at": _instant(at_ms), "etag": etag})
    body = b"".join([head[:-1], b',"versions":[', *numbers[1:], b"]}"])
    return Answer(body, etag, min(due, default=None), tuple(seals))


def _questions(connection: sqlite3.Connection, look: Look, name: str) -> list[Question]:
    """Return a question for each rollout whose episodes of the version are asked for."""
    query, values = _VERSIONS, {"namespace": look.namespace, "name": name}
    if look.rollout is not None:
        query, values = query + " AND rollout = :rollout", values | {"rollout": look.rollout}
    found = connection.execute(query, values).fetchall()
    users_since = round(look.since.timestamp() * 1000) if look.by_user else EVERY
    return [Question(version, look.outcome, _ms(look.window), _ms(look.grace), users_since) for (version,) in found]


def _too_many(look: Look, name: str) -> BadRequest:
    return BadRequest(
        f"window is {look.window.total_seconds():g} s: version {name} has more than {MAX_WINDOWS} of them, "
        "ask for longer windows or a later since",
        field="window",
    )


def _windows(
    connection: sqlite3.Connection, question: Question, look: Look, span: Span, *, chapters: bool
) -> Iterator[tuple[KeptWindow, list[Seal]]]:
    """Yield every window with episodes in the span, oldest first, and what of it can be kept from now on.

    Args:
        chapters: Yield those that are kept in chapters where there are such.
    """
    since_ms, until_ms = span
    windows = Windows(question, [round(cut.timestamp() * 1000) for cut in look.cuts])
    identity = find(connection, question)
    kept = [] if identity is None else _kept(connection, identity, question, windows, span, chapters=chapters)
    position = since_ms
    for window in [*kept, None]:
        until = window.start_ms if window else until_ms
        while position < until and (first := _next(connection, question, position, until)) is not None:
            whole = windows.around(first)
            counted = (max(whole[0], since_ms), min(whole[1], until_ms))
            yield _count(connection, question, identity, whole=whole, span=counted)
            position = whole[1]
        if window:
            yield window, []
            position = window.end_ms


def _kept(
    connection: sqlite3.Connection,
    identity: int,
    question: Question,
    windows: Windows,
    span: Span,
    *,
    chapters: bool,
) -> list[KeptWindow]:
    """Return what is kept of the windows in the span, oldest first."""
    whole = windows.uncut(kept_chapters(connection, identity, question, *span)) if chapters else []
    found, position = [], span[0]
    for chapter in [*whole, None]:
        until = chapter.start_ms if chapter else span[1]
        if position < until:
            found += windows.among(kept_windows(connection, identity, question, position, until))
        if chapter:
            found.append(chapter)
            position = chapter.end_ms
    return found


def _count(
    connection: sqlite3.Connection, question: Question, identity: int | None, *, whole: Span, span: Span
) -> tuple[KeptWindow, list[Seal]]:
    """Return the numbers of the span, which is a window or lies in it, and what of it can be kept."""
    first_ms, end_ms = span
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
    window = _window(connection, *whole, total)
    if span != whole:
        return window, [
            Seal(start, end, part, _all(connection, question, start, end, part), ((start, part),), None)
            for start, end, part in fresh
        ]
    pieces = tuple((start, part) for start, _, part in fresh)
    return window, [Seal(*span, total, _all(connection, question, *span, total), pieces, window)]


def _all(connection: sqlite3.Connection, question: Question, start_ms: int, end_ms: int, found: Tally) -> int:
    """Return how many episodes of the version began in the span, whatever is asked of them."""
    if question.users_since_ms == EVERY:
        return found.episodes
    query = "SELECT COUNT(*) FROM episode WHERE version = ? AND started_ms >= ? AND started_ms < ?"
    return int(connection.execute(query, (question.version, start_ms, end_ms)).fetchone()[0])


def _merge(connection: sqlite3.Connection, ours: list[KeptWindow], theirs: list[KeptWindow]) -> list[KeptWindow]:
    """Return the windows of two rollouts' episodes as those of both; oldest first, as they came."""
    by_start = {window.start_ms: window for window in ours}
    for window in theirs:
        if (other := by_start.get(window.start_ms)) is None:
            by_start[window.start_ms] = window
            continue
        total = together([Tally.from_text(other.tally), Tally.from_text(window.tally)])
        by_start[window.start_ms] = _window(connection, window.start_ms, window.end_ms, total)
    return [by_start[start] for start in sorted(by_start)]


def _rows(
    connection: sqlite3.Connection, question: Question, start_ms: int, end_ms: int
) -> Iterator[tuple[int, int, Tally]]:
    """Yield start, end and numbers of every piece with episodes in the span."""
    if start_ms >= end_ms:
        return
    start = end = start_ms
    parts: list[Tally] = []  # of the piece [start, end)
    for rows in _read(connection, _ROWS, question, {"start": start_ms, "end": end_ms}):
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


def _earlier(connection: sqlite3.Connection, question: Question, end_ms: int) -> Tally:
    """Return the numbers of the last episodes that started before then."""
    return together(
        tally(rows, question.grace_ms)
        for rows in _read(connection, _EARLIER, question, {"end": end_ms, "most": EARLIER})
    )


def _read(
    connection: sqlite3.Connection, query: str, question: Question, values: dict[str, int]
) -> Iterator[list[Row]]:
    """Yield the episodes that a query finds, with the question's outcome."""
    cursor = execute(connection, query, question.outcome, whose(question) | values)
    custom = question.outcome not in STANDARD_OUTCOMES
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        if custom or any(type(value) is str for *_, value in rows):
            rows = [(*row, None if value is None else float(value)) for *row, value in rows]
        yield rows


def _longest(connection: sqlite3.Connection, question: Question, start_ms: int) -> list[int]:
    """Return the longest time that an episode took which began then or later; nothing where none is reported."""
    values = whose(question) | {"start": start_ms}
    took_ms = execute(connection, _LONGEST, question.outcome, values).fetchone()[0]
    return [] if took_ms is None else [took_ms]


def _next(connection: sqlite3.Connection, question: Question, start_ms: int, end_ms: int) -> int | None:
    """Return the first start in the span."""
    values = whose(question) | {"start": start_ms, "end": end_ms}
    found: int | None = connection.execute(_NEXT, values).fetchone()[0]
    return found


def _window(connection: sqlite3.Connection, start_ms: int, end_ms: int, total: Tally) -> KeptWindow:
    wire = _wire(connection, start_ms, total) if total.count or total.missing else b""
    return KeptWindow(start_ms, end_ms, wire, total.moved, total.longest_ms, total.to_text())


def _wire(connection: sqlite3.Connection, start_ms: int, total: Tally) -> bytes:
    window = WindowStatistics(
        start=datetime.fromtimestamp(start_ms / 1000, UTC),
        count=total.count,
        missing=total.missing,
        late=total.late,
        mean=total.sums.mean(total.count) if total.count else None,
        m2=total.sums.m2(total.count) if total.count else 0.0,
        min=total.low,
        max=total.high,
        covariate=_covariate(connection, total),
    )
    return orjson.dumps(window.dump())


def _covariate(connection: sqlite3.Connection, total: Tally) -> CovariateStatistics | None:
    if total.baseline is None:
        return None
    (digest,) = connection.execute(_BASELINE, (total.baseline,)).fetchone()
    levels = [
        LevelStatistics(
            level=level,
            count=it.count,
            mean=it.sums.mean(it.count),
            m2=it.sums.m2(it.count),
            min=it.low or 0.0,
            max=it.high or 0.0,
        )
        for level, it in total.levels
    ]
    return CovariateStatistics(baseline=digest, levels=levels)


def _version(
    connection: sqlite3.Connection,
    name: str,
    windows: list[KeptWindow],
    young_longest_ms: list[int],
    earlier: Tally,
) -> list[bytes]:
    """Return `wire.VersionStatistics` as JSON, in parts."""
    took = young_longest_ms + [window.longest_ms for window in windows if window.longest_ms is not None]
    rest: dict[str, object] = {"moved": sum(window.moved for window in windows)}
    if took:
        rest["longest"] = max(0, *took) / 1000
    if earlier.count and earlier.low is not None and earlier.high is not None:
        rest["earlier"] = EarlierStatistics(
            count=earlier.count,
            mean=earlier.sums.mean(earlier.count),
            m2=earlier.sums.m2(earlier.count),
            min=earlier.low,
            max=earlier.high,
            covariate=_covariate(connection, earlier),
        ).dump()
    return [
        orjson.dumps({"version": name})[:-1],
        b',"windows":[',
        b",".join(window.wire for window in windows if window.wire),
        b"],",
        orjson.dumps(rest)[1:],
    ]


def _instant(at_ms: int) -> str:
    return format_instant(datetime.fromtimestamp(at_ms / 1000, UTC))


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
