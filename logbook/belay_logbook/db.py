"""One SQLite file: one thread writes, many read, and what was answered is on disk.

Requests hand the writer a function; it runs as many as are waiting in one transaction (group commit), and each is
answered only after the fsync. A function that fails takes none of its neighbours with it. Readers have connections of
their own and see committed rows only.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from belay_logbook import metrics
from belay_logbook.errors import LogbookError, Unavailable
from belay_logbook.schema import migrate

T = TypeVar("T")
Work = Callable[[sqlite3.Connection, int], T]
"""Runs inside the transaction; given the connection and when the request arrived (ms since the epoch). It may run twice
(its group was rolled back), so it has no effect but on the connection."""

GROUP = 256  # requests in one transaction: enough to hide the fsync, few enough that the first need not wait long
READERS = 6
MMAP_BYTES = 1 << 30


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    after: Callable[[Any], None] | None
    done: "Future[Any]"
    arrived_ms: int
    result: Any = None


class Database:
    """The logbook's only file of records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pending: deque[_Job] = deque()  # submitted and not yet committed, oldest first
        self._lock = threading.Lock()
        self._closed = False
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        connection = self._connect()
        migrate(connection)
        (self.id,) = connection.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
        self._writer = threading.Thread(target=self._write_forever, args=[connection], name="writer", daemon=True)
        self._writer.start()

    @property
    def alive(self) -> bool:
        """False: the writer has died, nothing can be recorded any more."""
        return self._writer.is_alive()

    async def write(self, work: Work[T], *, after: Callable[[T], None] | None = None) -> T:
        """Run `work` in a transaction and return its result once it is on disk.

        Args:
            after: Called in the writer's thread with the result, after the commit and before anybody is answered,
                also when the caller has gone away meanwhile.
        Raises: Unavailable when the disk refuses; nothing was recorded.
        """
        done: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise Unavailable("the logbook is shutting down: send the same again")
            # Stamped under the lock, so that the oldest pending job has the smallest time: see `horizon_ms`.
            job = _Job(work, after, done, time.time_ns() // 1_000_000)
            self._pending.append(job)
            self._jobs.put(job)
        result: T = await asyncio.wrap_future(done)
        return result

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` on a snapshot of what is committed."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._snapshot, query)

    def horizon_ms(self) -> int:
        """Return the newest time whose arrivals are all committed.

        A look at this time never changes afterwards: nothing that arrived before it is still under way.
        """
        with self._lock:
            now = time.time_ns() // 1_000_000
            return min(now, self._pending[0].arrived_ms) - 1 if self._pending else now - 1

    def close(self) -> None:
        """Commit what was submitted, fold the log into the file and close it."""
        with self._lock:
            self._closed = True
            self._jobs.put(None)
        self._writer.join()
        self._readers.shutdown(cancel_futures=True)  # those who wait for a look that never began have been sent away
        for connection in self._connections:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # the commit's fsync: an answer survives power loss, not only a crash
            "foreign_keys = ON",
            f"mmap_size = {MMAP_BYTES}",
            "wal_autocheckpoint = 4000",
        ):
            connection.execute(f"PRAGMA {pragma}")
        self._connections.append(connection)
        return connection

    def _snapshot(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        try:
            return query(connection)
        finally:
            connection.execute("ROLLBACK")

    def _write_forever(self, connection: sqlite3.Connection) -> None:
        while (job := self._jobs.get()) is not None:
            group, last = self._gather(job)
            with metrics.COMMIT_SECONDS.time():
                try:
                    self._commit(connection, group)
                except Exception:  # whoever is at fault: alone, only that one fails
                    for single in group:
                        self._commit_alone(connection, single)
            metrics.COMMIT_JOBS.observe(len(group))
            self._answer(group)
            if last:
                break
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        group = [first]
        while len(group) < GROUP:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
        return group, False

    def _commit(self, connection: sqlite3.Connection, group: list[_Job]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for job in group:
                job.result = job.work(connection, job.arrived_ms)
            connection.execute("COMMIT")
        except BaseException:
            # The disk being full may have rolled it back already; then there is nothing to roll back.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("ROLLBACK")
            raise

    def _commit_alone(self, connection: sqlite3.Connection, job: _Job) -> None:
        try:
            self._commit(connection, [job])
        except LogbookError as error:
            job.result = error
        except sqlite3.Error as error:
            metrics.WRITE_FAILURES.inc()
            job.result = Unavailable(
                f"the logbook could not record this ({error}): nothing of it was taken, send it again"
            )
        except Exception as error:  # a defect of ours: that request's 500, not the writer's death
            job.result = error

    def _answer(self, group: list[_Job]) -> None:
        for job in group:
            if job.after is not None and not isinstance(job.result, Exception):
                job.after(job.result)
        with self._lock:
            for _ in group:
                self._pending.popleft()
        for job in group:
            if job.done.cancelled():
                continue
            with contextlib.suppress(Exception):  # cancelled just now: its caller has gone, the rows stay
                if isinstance(job.result, Exception):
                    job.done.set_exception(job.result)
                else:
                    job.done.set_result(job.result)
