"""The journals of searches: lines that pods append and read in one order, which is the same for all of them.

Whoever wins a race is decided by what stands first. What the lines say is the trainer's; here they are text.
"""

import sqlite3

from belay_api.wire import JournalLines, JournalPage
from belay_logbook.errors import TooLarge

PAGE = 1000  # lines in one answer: a study of a thousand trials has about twenty times as many
MOST_LINES = 200_000  # of one journal: a thousand trials of 32 settings, with room to spare


def append_lines(connection: sqlite3.Connection, namespace: str, uid: str, said: JournalLines) -> JournalPage:
    """Append lines that were not appended before, and return where the journal ends now.

    Raises: TooLarge when the journal would have more than `MOST_LINES`.
    """
    journal, end = (namespace, uid), _end(connection, namespace, uid)
    query = "SELECT 1 FROM journal WHERE (namespace, uid, append) = (?, ?, ?) LIMIT 1"
    if connection.execute(query, (*journal, said.id)).fetchone() is None:
        if end + len(said.lines) > MOST_LINES:
            raise TooLarge(f"lines: the journal has {end}, at most {MOST_LINES} are kept", field="lines")
        rows = [(*journal, number, said.id, line) for number, line in enumerate(said.lines, start=end)]
        connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", rows)
        end += len(rows)
    return JournalPage(lines=[], next=end, end=end)


def read_lines(connection: sqlite3.Connection, namespace: str, uid: str, first: int) -> JournalPage:
    """Return the lines from number `first` on, at most `PAGE`. A journal nobody has appended to has none."""
    query = "SELECT line FROM journal WHERE (namespace, uid) = (?, ?) AND number >= ? ORDER BY number LIMIT ?"
    lines = [line for (line,) in connection.execute(query, (namespace, uid, first, PAGE))]
    return JournalPage(lines=lines, next=first + len(lines), end=_end(connection, namespace, uid))


def drop_journal(connection: sqlite3.Connection, namespace: str, uid: str) -> None:
    """Forget all lines of a journal; one that nobody has appended to is no error."""
    connection.execute("DELETE FROM journal WHERE (namespace, uid) = (?, ?)", (namespace, uid))


def _end(connection: sqlite3.Connection, namespace: str, uid: str) -> int:
    query = "SELECT COALESCE(MAX(number) + 1, 0) FROM journal WHERE (namespace, uid) = (?, ?)"
    (end,) = connection.execute(query, (namespace, uid)).fetchone()
    return int(end)
