"""The journal of a study: every worker appends what it does, reads what all have done, and knows the same.

Optuna replays it into the trials and their values; whoever wins a race is decided by what stands first. The lines lie
in a file (a volume, or this machine's disk) or at the logbook. Optuna's own file storage is not used: a process that is
killed while it holds that lock stops all others for half a minute, and half a line on a full disk stops them for good.

A sampler may keep its state in a journal, and reads it by unpickling. So lines are sealed with the job's key where pods
have one, and what is not sealed is passed over, by every worker alike.
"""

import fcntl
import hmac
import json
import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import httpx
from optuna.storages.journal import BaseJournalBackend

from belay_api.wire import API_PREFIX, JournalLines, JournalPage
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration, StoreUnavailable
from belay_trainer.logbook import ask
from belay_trainer.patience import until_answered
from belay_trainer.stop import Stop

T = TypeVar("T")

PATIENCE_S = 600.0  # for whoever keeps the journal; then another pod may try
_SEPARATOR = " "  # between a seal and its line
_PURPOSE = b"belay journal line\n"
log = logging.getLogger(__name__)


class Lines(Protocol):
    """Text that many append to and read, in one order. Every method raises StoreUnavailable or StoreRefused."""

    def append(self, name: str, lines: list[str]) -> None:
        """Append lines, on disk when it returns. Args: name: Of these very lines; repeating it changes nothing."""

    def read(self) -> list[str]:
        """Return the lines appended since the last read, by whoever."""

    def clear(self) -> None:
        """Forget all lines, once nobody appends any more; none is no error."""


class FileLines:
    """Lines in a file that every worker can write; see `Lines`."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def append(self, name: str, lines: list[str]) -> None:
        """Append under a lock that ends with its process. Nothing is repeated here, so the name says nothing."""
        content = "".join(f"{line}\n" for line in lines).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _drop_torn_line(file.fileno())
                _write_whole(file, content)
        except OSError as error:
            raise StoreUnavailable(f"the journal {self._path}: {error}") from error

    def read(self) -> list[str]:
        """Return whole lines; what a process that died left of one is dropped by the next that appends."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailable(f"the journal {self._path}: {error}") from error
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode().splitlines()

    def clear(self) -> None:
        """Remove the file."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"the journal {self._path}: {error}") from error


class LogbookLines:
    """Lines at the logbook; see `Lines`."""

    def __init__(self, client: httpx.Client, *, namespace: str, uid: str) -> None:
        self._client, self._next = client, 0
        self._path = f"{API_PREFIX}/namespaces/{namespace}/journals/{uid}"

    def append(self, name: str, lines: list[str]) -> None:
        """Append by one request."""
        ask(self._client, "POST", self._path, json=JournalLines(id=name, lines=lines).dump())

    def read(self) -> list[str]:
        """Read page by page."""
        found: list[str] = []
        following = self._next
        while True:
            answer = ask(self._client, "GET", self._path, params={"from": following})
            page = JournalPage.model_validate_json(answer.content)
            found += page.lines
            following = page.next
            if page.next >= page.end:
                self._next = following  # no sooner: who asks again after a failure wants the pages before it as well
                return found

    def clear(self) -> None:
        """Forget them by one request."""
        ask(self._client, "DELETE", self._path)


class Journal(BaseJournalBackend):
    """Optuna's view of the lines: sealed, and waited for."""

    def __init__(self, lines: Lines, *, key: bytes | None, stop: Stop) -> None:
        """Args: key: The job's; None: nothing is sealed, and no seal is demanded."""
        self._lines, self._key, self._stop = lines, key, stop
        self._logs: list[dict[str, Any]] = []

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """See `BaseJournalBackend`."""
        name, lines = uuid.uuid4().hex, [self._sealed(json.dumps(log, separators=(",", ":"))) for log in logs]
        self._answered(lambda: self._lines.append(name, lines))

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """See `BaseJournalBackend`. Lines without our seal have no number."""
        opened = (self._opened(line) for line in self._answered(self._lines.read))
        self._logs += [json.loads(said) for said in opened if said is not None]
        return self._logs[log_number_from:]

    def _sealed(self, said: str) -> str:
        return said if self._key is None else f"{_mac(self._key, said)}{_SEPARATOR}{said}"

    def _opened(self, line: str) -> str | None:
        if self._key is None:
            return line
        seal, _, said = line.partition(_SEPARATOR)
        if hmac.compare_digest(seal.encode(), _mac(self._key, said).encode()):
            return said
        log.warning("a line of the search's journal was not written by a pod of this job, and is passed over")
        return None

    def _answered(self, ask: Callable[[], T]) -> T:
        """Return an answer, waiting for it. Raises: StoreUnavailable, StoreRefused, Interrupted."""
        what = "the search waits for its journal in the store"
        return until_answered(ask, what=what, away=StoreUnavailable, stop=self._stop, patience_s=PATIENCE_S, hangs=True)


def open_lines(run: Run, *, pvc_dir: Path, logbook: httpx.Client | None) -> Lines:
    """Return where the journal of a job's search lies: beside its checkpoints. Raises: BadConfiguration."""
    if pvc := run.spec.storage.pvc:
        if not pvc_dir.is_dir():
            raise BadConfiguration(f"storage.pvc: {pvc_dir} is not mounted; claim {pvc.claim!r} belongs there.")
        return FileLines(pvc_dir / "searches" / f"{run.config.uid}.jsonl")
    if logbook is None:
        raise BadConfiguration("storage is unset, but this pod knows no logbook: install it, or set storage.pvc.")
    return LogbookLines(logbook, namespace=run.config.namespace, uid=run.config.uid)


def _write_whole(file: BinaryIO, content: bytes) -> None:
    """Write all of it, or nothing: what is asked again must not stand there twice. Raises: OSError."""
    before = os.fstat(file.fileno()).st_size
    try:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), before)
        raise


def _drop_torn_line(descriptor: int) -> None:
    """Cut off what a process that died, or a full disk, left of a line."""
    size = os.fstat(descriptor).st_size
    keep = size
    while keep > 0:
        start = max(0, keep - 4096)
        part = os.pread(descriptor, keep - start, start)
        if (end := part.rfind(b"\n")) >= 0:
            keep = start + end + 1
            break
        keep = start
    if keep < size:
        os.ftruncate(descriptor, keep)


def _mac(key: bytes, said: str) -> str:
    return hmac.digest(key, _PURPOSE + said.encode(), "sha256").hex()
