"""The built-in store: who may read which bytes, and which checkpoints a seed has.

A namespace may read a blob when it uploaded those bytes itself: knowing a digest opens nothing. Two namespaces that
uploaded the same bytes share one file. A checkpoint's blob goes when the last checkpoint that names it goes, unless an
uploaded artifact manifest names it too; artifacts are kept. What only checkpoints name belongs to their jobs.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from belay_api.artifact import Manifest
from belay_api.wire import CheckpointList, CheckpointRef
from belay_logbook.blobs import BlobFiles
from belay_logbook.db import Database
from belay_logbook.errors import Conflict, NotFound, Unprocessable

MAX_MANIFEST = 1 << 20  # bytes; larger blobs are never read as manifests


@dataclass(frozen=True, slots=True)
class BlobState:
    """How far a blob is, for one namespace."""

    offset: int
    """Bytes that are here."""
    size: int
    """Bytes it has when complete."""
    complete: bool


class Store:
    """Blobs and checkpoints."""

    def __init__(self, database: Database, files: BlobFiles) -> None:
        self._database = database
        self._files = files
        # Publishing (file, then grant) and removing (grant, then file) must not interleave on one digest.
        self._moving = asyncio.Lock()

    async def sweep(self) -> None:
        """Delete files that no namespace owns: their upload or their removal was cut off half-way."""
        async with self._moving:
            owned = await self._database.read(lambda c: {row[0] for row in c.execute("SELECT sha256 FROM blob")})
            for sha256 in self._files.complete() - owned:
                await self._files.remove(sha256)
            await asyncio.to_thread(self._files.drop_abandoned)

    async def state(self, namespace: str, sha256: str) -> BlobState:
        """Return how far the blob is. Raises: NotFound."""
        size = await self._size(namespace, sha256)
        if size is not None:
            return BlobState(size, size, complete=True)
        if found := self._files.offset(namespace, sha256):
            return BlobState(*found, complete=False)
        raise NotFound(f"namespace {namespace} has no blob {sha256}")

    async def file(self, namespace: str, sha256: str) -> Path:
        """Return the complete blob's file. Raises: NotFound."""
        if await self._size(namespace, sha256) is None:
            raise NotFound(f"namespace {namespace} has no complete blob {sha256}")
        return self._files.path(sha256)

    async def jobs_of(self, namespace: str, sha256: str) -> frozenset[str]:
        """Return the uids of the jobs whose checkpoint the blob is; none: it is of an artifact, or of nothing yet."""
        query = "SELECT DISTINCT uid FROM checkpoint WHERE (namespace, sha256) = (?, ?)"

        def uids(connection: sqlite3.Connection) -> frozenset[str]:
            if _in_artifact(connection, namespace, sha256):
                return frozenset()
            return frozenset(uid for (uid,) in connection.execute(query, (namespace, sha256)))

        return await self._database.read(uids)

    async def append(
        self, namespace: str, sha256: str, *, offset: int, size: int | None, chunks: AsyncIterator[bytes]
    ) -> BlobState:
        """Take a PATCH. Raises: as BlobFiles.append."""
        known = await self._size(namespace, sha256)
        if known is not None:
            if offset != known:
                raise Conflict(f"the blob is complete with {known} bytes", headers={"Upload-Offset": str(known)})
            return BlobState(known, known, complete=True)
        verified, reached = await self._files.append(namespace, sha256, offset=offset, size=size, chunks=chunks)
        if verified is None:
            return BlobState(reached, size or reached, complete=False)
        async with self._moving:
            if (
                await self._size(namespace, sha256) is not None
            ):  # sent twice at the very end; the other one published it
                return BlobState(reached, reached, complete=True)
            # Each step may be taken again: the disk may refuse any of them, and then the caller comes back.
            await self._files.publish(namespace, sha256, verified)
            named = await asyncio.to_thread(_named_files, self._files.path(sha256))
            await self._database.write(lambda c, _: _grant(c, namespace, sha256, reached, named))
            self._files.forget(namespace, sha256)
        return BlobState(reached, reached, complete=True)

    async def checkpoints(self, namespace: str, uid: str, index: int) -> CheckpointList:
        """Return a seed's checkpoints, newest step first."""
        query = "SELECT step, sha256, size FROM checkpoint WHERE (namespace, uid, idx) = (?, ?, ?) ORDER BY step DESC"
        rows = await self._database.read(lambda c: c.execute(query, (namespace, uid, index)).fetchall())
        return CheckpointList(items=[CheckpointRef(step=step, sha256=sha256, size=size) for step, sha256, size in rows])

    async def put_checkpoint(self, namespace: str, uid: str, index: int, ref: CheckpointRef) -> None:
        """Record a checkpoint, in place of an earlier one of that step.

        Raises: Unprocessable when its blob is not complete here, or has another size.
        """
        async with self._moving:
            gone = await self._database.write(lambda c, _: _put(c, namespace, uid, index, ref))
            if gone:
                await self._files.remove(gone)

    async def delete_checkpoint(self, namespace: str, uid: str, index: int, step: int) -> None:
        """Forget a checkpoint, and its blob when nothing else names it. Forgetting twice is fine."""
        async with self._moving:
            gone = await self._database.write(lambda c, _: _delete(c, namespace, uid, index, step))
            if gone:
                await self._files.remove(gone)

    async def forget(self, namespace: str, uid: str, *, beside: Callable[[sqlite3.Connection], None]) -> None:
        """Forget all checkpoints of a job, and their blobs as `delete_checkpoint` does.

        Args:
            beside: What is forgotten in the same transaction.
        """

        def work(connection: sqlite3.Connection, _: int) -> list[str]:
            beside(connection)
            return _delete_all(connection, namespace, uid)

        async with self._moving:
            for gone in await self._database.write(work):
                await self._files.remove(gone)

    async def _size(self, namespace: str, sha256: str) -> int | None:
        query = "SELECT size FROM blob WHERE (namespace, sha256) = (?, ?)"
        row = await self._database.read(lambda c: c.execute(query, (namespace, sha256)).fetchone())
        return int(row[0]) if row else None


def _named_files(path: Path) -> list[str]:
    """Return the digests that the blob names if it is an artifact's manifest, else none."""
    if path.stat().st_size > MAX_MANIFEST:
        return []
    try:
        return [entry.sha256 for entry in Manifest.model_validate_json(path.read_bytes()).files]
    except ValueError:
        return []


def _grant(connection: sqlite3.Connection, namespace: str, sha256: str, size: int, named: list[str]) -> None:
    connection.execute("INSERT INTO blob VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (namespace, sha256, size))
    rows = [(namespace, name, sha256) for name in named]
    connection.executemany("INSERT INTO artifact_file VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)


def _put(connection: sqlite3.Connection, namespace: str, uid: str, index: int, ref: CheckpointRef) -> str | None:
    blob = connection.execute(
        "SELECT size FROM blob WHERE (namespace, sha256) = (?, ?)", (namespace, ref.sha256)
    ).fetchone()
    if blob is None:
        raise Unprocessable(f"sha256: blob {ref.sha256} is not complete here: upload it first", field="sha256")
    if blob[0] != ref.size:
        raise Unprocessable(f"size is {ref.size}, blob {ref.sha256} has {blob[0]} bytes", field="size")
    before = _checkpoint(connection, namespace, uid, index, ref.step)
    connection.execute(
        "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?, ?)",
        (namespace, uid, index, ref.step, ref.sha256, ref.size),
    )
    return _collect(connection, namespace, before)


def _delete(connection: sqlite3.Connection, namespace: str, uid: str, index: int, step: int) -> str | None:
    before = _checkpoint(connection, namespace, uid, index, step)
    connection.execute(
        "DELETE FROM checkpoint WHERE (namespace, uid, idx, step) = (?, ?, ?, ?)", (namespace, uid, index, step)
    )
    return _collect(connection, namespace, before)


def _delete_all(connection: sqlite3.Connection, namespace: str, uid: str) -> list[str]:
    query = "SELECT DISTINCT sha256 FROM checkpoint WHERE (namespace, uid) = (?, ?)"
    named = [sha256 for (sha256,) in connection.execute(query, (namespace, uid))]
    connection.execute("DELETE FROM checkpoint WHERE (namespace, uid) = (?, ?)", (namespace, uid))
    return [gone for sha256 in named if (gone := _collect(connection, namespace, sha256)) is not None]


def _checkpoint(connection: sqlite3.Connection, namespace: str, uid: str, index: int, step: int) -> str | None:
    query = "SELECT sha256 FROM checkpoint WHERE (namespace, uid, idx, step) = (?, ?, ?, ?)"
    row = connection.execute(query, (namespace, uid, index, step)).fetchone()
    return str(row[0]) if row else None


def _collect(connection: sqlite3.Connection, namespace: str, sha256: str | None) -> str | None:
    """Take the blob from the namespace when nothing there names it; return it when no namespace has it any more."""
    if sha256 is None:
        return None
    query = "SELECT 1 FROM checkpoint WHERE (namespace, sha256) = (?, ?) LIMIT 1"
    if connection.execute(query, (namespace, sha256)).fetchone() or _in_artifact(connection, namespace, sha256):
        return None
    connection.execute("DELETE FROM blob WHERE (namespace, sha256) = (?, ?)", (namespace, sha256))
    others = connection.execute("SELECT 1 FROM blob WHERE sha256 = ? LIMIT 1", [sha256]).fetchone()
    return None if others else sha256


def _in_artifact(connection: sqlite3.Connection, namespace: str, sha256: str) -> bool:
    """Whether the blob is an artifact's manifest, or a file that one names."""
    for column in ("sha256", "manifest"):
        query = f"SELECT 1 FROM artifact_file WHERE (namespace, {column}) = (?, ?) LIMIT 1"
        if connection.execute(query, (namespace, sha256)).fetchone():
            return True
    return False
