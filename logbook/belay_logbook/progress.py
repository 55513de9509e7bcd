"""What training pods tell: the newest heartbeat of every run, with a cursor over what changed; curves are in curves.py.

The cursor is `<database id>:<number>`: after a volume was lost, an old cursor is recognised and all is told again.
"""

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime

from belay_api.wire import ProgressPage, RunProgress, RunProgressRecord, SeedProgress
from belay_logbook.batch import parse_batch
from belay_logbook.curves import record_points
from belay_logbook.errors import BadRequest, LogbookError
from belay_logbook.lives import life_of
from belay_logbook.respond import NUMBER

MAX_PAGE = 10_000  # runs in one answer, about 10 MB; whoever asks on with its cursor gets the next ones

# A seed that was killed goes back to its checkpoint: its steps are news though they are lower than those before.
_UPSERT = """
INSERT INTO progress (namespace, uid, idx, attempt, life, step, seq, body)
VALUES (?, ?, ?, ?, ?, ?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM progress), ?)
ON CONFLICT (namespace, uid, idx) DO UPDATE SET
    attempt = excluded.attempt, life = excluded.life, step = excluded.step, seq = excluded.seq, body = excluded.body
WHERE (excluded.attempt, excluded.life, excluded.step) > (progress.attempt, progress.life, progress.step)
    OR (excluded.attempt, excluded.life) = (progress.attempt, progress.life)
    AND (json_extract(excluded.body, '$.resumedFrom') IS NOT json_extract(progress.body, '$.resumedFrom')
        OR excluded.step = progress.step
        AND json_extract(excluded.body, '$.obstacle') IS NOT json_extract(progress.body, '$.obstacle'))"""
# Of a pod that waits to begin: as a life that began at 0 it would take its curve from every one before it.
_WAITS_TO_BEGIN = """
UPDATE progress SET seq = (SELECT MAX(seq) + 1 FROM progress),
    body = json_set(body, '$.obstacle', json_extract(:body, '$.obstacle'), '$.at', json_extract(:body, '$.at'))
WHERE (namespace, uid, idx, attempt) = (:namespace, :uid, :index, :attempt)
    AND (json_type(body, '$.search') IS NULL) = (json_type(:body, '$.search') IS NULL)"""


def parse_progress(body: bytes) -> tuple[list[RunProgress], list[tuple[int, LogbookError]]]:
    """Return the heartbeats in a Batch[RunProgress] and the refused items. Raises: BadRequest when it is no batch."""
    taken: list[RunProgress] = []
    refused: list[tuple[int, LogbookError]] = []
    for index, item in parse_batch(body, RunProgress, strict=False):
        found = item if isinstance(item, BadRequest) else _unstorable(item, f"items[{index}]")
        if found is not None:
            refused.append((index, found))
        else:
            taken.append(item)
    return taken, refused


def _unstorable(beat: RunProgress, prefix: str) -> BadRequest | None:
    """Return why the heartbeat could be read and yet neither kept nor told: it would stop every reader of the page."""
    for name, value in beat:
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            return BadRequest(f"{prefix}.{name} is {value}: whole numbers have 64 bits", field=f"{prefix}.{name}")
        try:
            "".join(value if isinstance(value, str | dict) else "").encode()
        except UnicodeEncodeError:
            return BadRequest(f"{prefix}.{name} is no text: it holds half a surrogate pair", field=f"{prefix}.{name}")
    return None


def record_progress(
    connection: sqlite3.Connection, namespace: str, heartbeats: Iterable[RunProgress], arrived_ms: int
) -> None:
    """Write the heartbeats that are newer than what is known of their run, and add all of them to the curves."""
    at = datetime.fromtimestamp(arrived_ms / 1000, UTC)
    for beat in heartbeats:
        progress = beat.model_dump(include=set(SeedProgress.model_fields))
        record = RunProgressRecord(namespace=namespace, at=at, **progress)
        body = record.model_dump_json(by_alias=True, exclude_none=True)
        if beat.obstacle is not None and beat.step == 0:
            run = {"namespace": namespace, "uid": beat.uid, "index": beat.index, "attempt": beat.attempt}
            if connection.execute(_WAITS_TO_BEGIN, {**run, "body": body}).rowcount:
                continue
        life = life_of(connection, namespace, beat)
        connection.execute(_UPSERT, (namespace, beat.uid, beat.index, beat.attempt, life.id, beat.step, body))
        record_points(connection, life, beat, arrived_ms)


def drop_progress(connection: sqlite3.Connection, namespace: str, uid: str) -> None:
    """Forget the newest heartbeats of a training; its curves stay."""
    connection.execute("DELETE FROM progress WHERE (namespace, uid) = (?, ?)", (namespace, uid))


def read_progress(connection: sqlite3.Connection, database_id: str, since: str) -> ProgressPage:
    """Return the runs that changed after the cursor `since`, in the order of their change, at most MAX_PAGE.

    An empty or foreign cursor means from the beginning.
    """
    known, _, number = since.rpartition(":")
    after = int(number) if known == database_id and NUMBER.fullmatch(number) else 0
    query = "SELECT seq, body FROM progress WHERE seq > ? ORDER BY seq LIMIT ?"
    rows = connection.execute(query, (after, MAX_PAGE)).fetchall()
    newest = rows[-1][0] if rows else after
    items = [RunProgressRecord.model_validate_json(body) for _, body in rows]
    return ProgressPage(items=items, cursor=f"{database_id}:{newest}")
