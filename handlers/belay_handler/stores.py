"""Where an artifact's bytes come from: the logbook's content-addressed store, or a mounted volume.

Both only deliver bytes. Nothing here judges them: `fetch` checks every digest before anything is put in place.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import httpx

from belay_api.artifact import MANIFEST, DigestMismatch, FileEntry
from belay_api.wire import API_PREFIX

MANIFEST_LIMIT = 16 << 20  # bytes; a manifest is a few kilobytes
PATIENCE_S = 60.0  # without a single byte; then the kubelet starts the init container again, later and later
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


class StoreError(Exception):
    """The bytes cannot be had; the message says from where and why."""


class NotFound(StoreError):
    """The store answers and does not have them."""


class Unavailable(StoreError):
    """The store does not answer, or not with the bytes."""


class _Again(Exception):
    """This attempt failed in a way the next one may not."""


class Store(Protocol):
    """Delivers the bytes of one artifact."""

    def manifest(self, target: Path) -> None:
        """Write the manifest's bytes to `target`. Raises: StoreError, DigestMismatch when they are too many."""

    def file(self, entry: FileEntry, target: Path) -> None:
        """Write a file's bytes to `target`. Raises: as `manifest`."""


class LogbookStore:
    """The built-in store, over HTTP; a broken download goes on where it broke off."""

    def __init__(
        self,
        url: str,
        namespace: str,
        *,
        manifest_hex: str,
        token_file: Path,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Args: token_file: the pod's projected token; absent: no credentials are sent."""
        self._blobs = f"{url.rstrip('/')}{API_PREFIX}/namespaces/{namespace}/blobs"
        self._manifest_hex = manifest_hex
        self._token_file = token_file
        self._patience_s = patience_s
        self._sleep = sleep
        # The environment's proxies are for the outside; the logbook is a Service of this cluster.
        self._client = httpx.Client(timeout=httpx.Timeout(10.0, connect=3.0), trust_env=False)

    def manifest(self, target: Path) -> None:
        """See Store."""
        self._download(MANIFEST, self._manifest_hex, target, MANIFEST_LIMIT)

    def file(self, entry: FileEntry, target: Path) -> None:
        """See Store."""
        self._download(entry.path, entry.sha256, target, entry.size)

    def _download(self, name: str, sha256: str, target: Path, limit: int) -> None:
        target.unlink(missing_ok=True)
        last_progress, had, pause_s = time.monotonic(), 0, FIRST_PAUSE_S
        while True:
            try:
                self._attempt(name, f"{self._blobs}/{sha256}", target, limit)
                return
            except (_Again, httpx.HTTPError) as error:
                have = target.stat().st_size if target.exists() else 0
                if have > had:
                    last_progress, had, pause_s = time.monotonic(), have, FIRST_PAUSE_S
                if time.monotonic() - last_progress >= self._patience_s:
                    problem = str(error) or type(error).__name__
                    raise Unavailable(f"{self._blobs} does not deliver {name}: {problem}") from error
            self._sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _attempt(self, name: str, url: str, target: Path, limit: int) -> None:
        have = target.stat().st_size if target.exists() else 0
        headers = {"accept-encoding": "identity"}  # offsets count stored bytes
        if have:
            headers["range"] = f"bytes={have}-"
        if self._token_file.is_file():  # read each time: the kubelet rotates it
            headers["authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        with self._client.stream("GET", url, headers=headers) as answer:
            if answer.status_code == 404:
                raise NotFound(f"{url} ({name}): the store does not have it")
            if answer.status_code == 416:  # what we have is no beginning of it
                target.unlink()
                raise _Again("416 range not satisfiable")
            if answer.status_code not in (200, 206):
                raise _Again(f"{answer.status_code} {answer.read()[:300].decode(errors='replace')}")
            resumed = answer.status_code == 206
            with target.open("ab" if resumed else "wb") as file:
                size = have if resumed else 0
                for chunk in answer.iter_raw():
                    size += len(chunk)
                    if size > limit:  # stop before it fills the volume
                        raise DigestMismatch(f"{name} is longer than the {limit} bytes it should have")
                    file.write(chunk)


class VolumeStore:
    """A folder of a mounted PersistentVolumeClaim."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def manifest(self, target: Path) -> None:
        """See Store."""
        self._copy(MANIFEST, target, MANIFEST_LIMIT)

    def file(self, entry: FileEntry, target: Path) -> None:
        """See Store."""
        self._copy(entry.path, target, entry.size)

    def _copy(self, name: str, target: Path, limit: int) -> None:
        path = self._folder / name
        try:
            if path.stat().st_size > limit:
                raise DigestMismatch(f"{name} is longer than the {limit} bytes it should have")
            shutil.copyfile(path, target)
        except FileNotFoundError as error:
            raise NotFound(f"{path} does not exist in the volume") from error
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error}") from error
