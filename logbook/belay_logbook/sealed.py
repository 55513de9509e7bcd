"""What is past grace, kept beside the episodes so that no look counts them again, not even after a restart.

A window is cut into pieces. Pieces are kept as tallies, so that the window that is still growing, and one that a late
arrival opened again, are put together from pieces and a few rows; whole windows are kept as they stand in an answer,
and so are chapters of them.

    a reader finds    spans that are past grace and not kept; the numbers belong to its snapshot
    `keep` checks     in the writer's transaction, that nothing was written to the span since: rows are only ever
                      added, reported once, and told an outcome once, so three counts tell. Of a user's first episodes
                      one may come and another cease to be one: then all rows of the span are one more
    a trigger drops   in the very transaction that writes to an episode, what holds it (schema.py)

So what is kept always equals what its rows say, in every snapshot, whatever the clock does.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from belay_logbook.tally import Tally
from belay_logbook.told import execute

PIECES = 32  # of a window: a look reads the rows of one at each end
CHAPTER = 64  # windows that are read at once where all of them are kept: a week of minutes would be ten thousand rows
LEAST = 16  # episodes that make a piece worth a row of its own
EVERY = -1
ASKED = "(:users_since < 0 OR user IS NOT NULL AND (before_ms IS NULL OR before_ms < :users_since))"
"""Whether a question counts an episode."""
QUESTIONS = 32  # kept for one version, the newest; each is a fraction of a percent of its episodes
PARTS = 256  # of cut windows, kept for one question, the newest: two for each cut of a look, and of some looks before


class Question(NamedTuple):
    """What the numbers of a span depend on, beside its place."""

    version: int
    outcome: str
    window_ms: int
    grace_ms: int
    users_since_ms: int = EVERY
    """Only the first episode of each user since then counts; EVERY: each episode does."""

    @property
    def chapter_ms(self) -> int:
        """Length of the chapters, which are aligned to the epoch."""
        return CHAPTER * self.window_ms

    @property
    def piece_ms(self) -> int:
        """Length of the pieces; a window's last one may be shorter."""
        return -(-self.window_ms // PIECES)

    def window(self, at_ms: int) -> tuple[int, int]:
        """Return start and end of the window around an instant."""
        start = at_ms - at_ms % self.window_ms
        return start, start + self.window_ms

    def piece(self, at_ms: int) -> tuple[int, int]:
        """Return start and end of the piece around an instant."""
        start = at_ms - at_ms % self.window_ms % self.piece_ms
        return start, min(start + self.piece_ms, self.window(at_ms)[1])


class KeptWindow(NamedTuple):  # a tuple, because a look makes hundreds
    """One window's part of an answer, or that of all windows of a chapter together."""

    start_ms: int
    """By the clock or by a cut, as is `end_ms`."""
    end_ms: int
    wire: bytes
    """`wire.WindowStatistics` as JSON, of several with commas between; empty: nothing in it counts or is missing."""
    moved: int
    longest_ms: int | None
    tally: str
    """As text, because only a look at all rollouts reads it; empty for a chapter."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A span that a reader found to be past grace."""

    start_ms: int
    end_ms: int
    tally: Tally
    rows: int
    """Episodes of the version that began in the span, those that the question does not ask for among them."""
    pieces: tuple[tuple[int, Tally], ...]
    """By start; those in the span that are not kept yet."""
    window: KeptWindow | None
    """None: the span is not all of a window."""


_UNCHANGED = f"""
SELECT (
    COUNT(*),
    COUNT(CASE WHEN {ASKED} THEN 1 END),
    COUNT(CASE WHEN {ASKED} THEN reported_ms END),
    COUNT(CASE WHEN {ASKED} AND NOT moved THEN {{told}} END)
) = (:rows, :episodes, :reported, :told)
FROM episode WHERE version = :version AND started_ms >= :start AND started_ms < :end"""

_FORGET_PARTS = """
DELETE FROM sealed_window WHERE question = ?1 AND part = 1 AND first_ms <= (
    SELECT first_ms FROM sealed_window WHERE question = ?1 AND part = 1 ORDER BY first_ms DESC LIMIT 1 OFFSET ?2)"""

# In order of start, as the table is: the order within an aggregate cannot be asked for before SQLite 3.44.
_KEEP_CHAPTER = """
INSERT OR REPLACE INTO sealed_chapter
SELECT ?1, ?2, CAST(COALESCE(GROUP_CONCAT(NULLIF(CAST(wire AS TEXT), '')), '') AS BLOB), SUM(moved), MAX(longest_ms)
FROM (SELECT wire, moved, longest_ms FROM sealed_window
    WHERE question = ?1 AND start_ms >= ?2 AND start_ms < ?3 AND part = 0 ORDER BY start_ms)
HAVING COUNT(*) = ?4"""


def whose(question: Question) -> dict[str, int]:
    """Return which episodes a question asks for, as values of a query with ASKED in it."""
    return {"version": question.version, "users_since": question.users_since_ms}


def find(connection: sqlite3.Connection, question: Question) -> int | None:
    """Return the question's id, None when nothing is kept for it."""
    query = "SELECT id FROM question WHERE (version, outcome, window_ms, grace_ms, users_since_ms) = (?, ?, ?, ?, ?)"
    row = connection.execute(query, question).fetchone()
    return int(row[0]) if row else None


def kept_chapters(
    connection: sqlite3.Connection, identity: int, question: Question, first_ms: int, end_ms: int
) -> list[KeptWindow]:
    """Return the chapters that lie in [first_ms, end_ms), oldest first."""
    query = (
        "SELECT start_ms, start_ms + ?, wire, moved, longest_ms, '' FROM sealed_chapter"
        " WHERE question = ? AND start_ms BETWEEN ? AND ? ORDER BY start_ms"
    )
    values = (question.chapter_ms, identity, first_ms, end_ms - question.chapter_ms)
    return list(map(KeptWindow._make, connection.execute(query, values)))


def kept_windows(
    connection: sqlite3.Connection, identity: int, question: Question, first_ms: int, end_ms: int
) -> list[KeptWindow]:
    """Return the windows that lie in [first_ms, end_ms), oldest first; those that other looks cut are among them."""
    query = (
        "SELECT first_ms, end_ms, wire, moved, longest_ms, tally FROM sealed_window"
        " WHERE question = ? AND start_ms BETWEEN ? AND ? AND first_ms >= ? AND end_ms <= ? ORDER BY start_ms, first_ms"
    )
    values = (identity, question.window(first_ms)[0], end_ms, first_ms, end_ms)
    return list(map(KeptWindow._make, connection.execute(query, values)))


def kept_pieces(connection: sqlite3.Connection, identity: int, first_ms: int, end_ms: int) -> dict[int, Tally]:
    """Return the pieces that start in [first_ms, end_ms), in order, by start."""
    query = (
        "SELECT start_ms, tally FROM sealed_piece WHERE question = ? AND start_ms >= ? AND start_ms < ?"
        " ORDER BY start_ms"
    )
    rows = connection.execute(query, (identity, first_ms, end_ms))
    return {start: Tally.from_text(text) for start, text in rows}


def keep(connection: sqlite3.Connection, question: Question, seals: Iterable[Seal]) -> None:
    """Keep what was not written to since it was read."""
    identity = find(connection, question)
    if identity is None:
        connection.execute(
            "INSERT INTO question (version, outcome, window_ms, grace_ms, users_since_ms, piece_ms, chapter_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*question, question.piece_ms, question.chapter_ms),
        )
        connection.execute(
            "DELETE FROM question WHERE version = ?1 AND id NOT IN"
            " (SELECT id FROM question WHERE version = ?1 ORDER BY id DESC LIMIT ?2)",
            (question.version, QUESTIONS),
        )
        identity = find(connection, question)
    chapters = set()
    for seal in seals:
        tally = seal.tally
        seen = {"rows": seal.rows, "episodes": tally.episodes, "reported": tally.reported, "told": tally.told}
        span = {"start": seal.start_ms, "end": seal.end_ms, **whose(question)}
        if not execute(connection, _UNCHANGED, question.outcome, seen | span).fetchone()[0]:
            continue
        connection.executemany(
            "INSERT OR REPLACE INTO sealed_piece VALUES (?, ?, ?)",
            [(identity, start, piece.to_text()) for start, piece in seal.pieces],
        )
        if (window := seal.window) is not None:
            start, end = question.window(window.start_ms)
            part = (window.start_ms, window.end_ms) != (start, end)
            connection.execute(
                "INSERT OR REPLACE INTO sealed_window"
                " (question, start_ms, part, first_ms, end_ms, wire, moved, longest_ms, tally)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (identity, start, part, *window),
            )
            if part:
                connection.execute(_FORGET_PARTS, (identity, PARTS))
            else:
                chapters.add(start - start % question.chapter_ms)
        connection.execute("UPDATE question SET sealed_ms = MAX(sealed_ms, ?) WHERE id = ?", (seal.end_ms, identity))
    for start in chapters:
        connection.execute(_KEEP_CHAPTER, (identity, start, start + question.chapter_ms, CHAPTER))
