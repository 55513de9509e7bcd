"""Bytes by their digest, on the volume.

    blobs/<2 hex>/<64 hex>               complete and verified: written whole, fsynced, then renamed into place
    partial/<namespace>/<64 hex>.<size>  an upload under way; its length on disk is the offset to go on from

Partial files belong to one namespace, so that nobody can spoil another's upload. This file knows bytes only; who may
read which blob is `store.py`'s.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from belay_logbook import metrics
from belay_logbook.errors import BadRequest, Conflict, TooLarge, Unavailable, Unprocessable

MAX_BLOB = 4 << 30  # bytes
BUFFER = 1 << 20  # bytes gathered before a thread writes them
ABANDONED = timedelta(days=7)  # a partial upload that nobody continued


@dataclass(slots=True)
class Upload:
    """One partial file, and its running digest."""

    path: Path
    size: int
    offset: int
    digest: Any  # hashlib object over the first `offset` bytes
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    owner: object = None  # the request that may append; a newer one takes over from a connection that hangs


class BlobFiles:
    """The store's folder."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._partial = root / "partial"
        self._uploads: dict[tuple[str, str], Upload] = {}
        for folder in (self._blobs, self._partial):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where the complete blob is, or will be."""
        return self._blobs / sha256[:2] / sha256

    def offset(self, namespace: str, sha256: str) -> tuple[int, int] | None:
        """Return (offset, size) of the upload under way, or None."""
        if upload := self._uploads.get((namespace, sha256)):
            return upload.offset, upload.size
        found = next((self._partial / namespace).glob(f"{sha256}.*"), None)
        return (found.stat().st_size, int(found.suffix[1:])) if found else None

    async def append(
        self, namespace: str, sha256: str, *, offset: int, size: int | None, chunks: AsyncIterator[bytes]
    ) -> tuple[Path | None, int]:
        """Append a request's bytes to the upload.

        Args:
            offset: Where the caller believes the upload to be.
            size: Of the whole blob in bytes; needed by the first request.
        Returns: The verified file and its size once complete; (None, new offset) before.
        Raises: Conflict with the real offset; Unprocessable when the bytes are not what their name says: they are gone.
        """
        upload = await self._open(namespace, sha256, size, offset)
        me = object()
        async with upload.lock:
            if offset != upload.offset:
                raise _elsewhere(upload)
            upload.owner = me
        buffer = bytearray()
        try:
            async for chunk in chunks:
                buffer += chunk
                if len(buffer) >= BUFFER:
                    part, buffer = bytes(buffer), bytearray()
                    await self._write(upload, me, part)
        finally:  # a connection that broke has still brought these bytes
            if buffer:
                await self._write(upload, me, bytes(buffer))
        if upload.offset < upload.size:
            return None, upload.offset
        async with upload.lock:
            return await self._finish(namespace, sha256, upload), upload.size

    async def publish(self, namespace: str, sha256: str, verified: Path) -> None:
        """Move a verified file to its place, durably; one that was moved before stays there.

        Raises: Conflict when it was moved, and removed since with the last checkpoint of another namespace.
        """
        try:
            with _volume():
                await asyncio.to_thread(_publish, verified, self.path(sha256))
        except FileNotFoundError as error:
            raise self._lost(namespace, sha256) from error

    async def remove(self, sha256: str) -> None:
        """Delete a complete blob."""
        await asyncio.to_thread(self.path(sha256).unlink, missing_ok=True)

    def complete(self) -> set[str]:
        """Return the digests of all complete blobs on disk."""
        return {path.name for path in self._blobs.glob("*/*")}

    def drop_abandoned(self) -> int:
        """Delete partial files that nobody continued; return how many."""
        limit = time.time() - ABANDONED.total_seconds()
        old = [path for path in self._partial.glob("*/*") if path.stat().st_mtime < limit]
        for path in old:
            self._uploads.pop((path.parent.name, path.stem), None)
            path.unlink(missing_ok=True)
        return len(old)

    async def _open(self, namespace: str, sha256: str, size: int | None, offset: int) -> Upload:
        key = (namespace, sha256)
        known = self._uploads.get(key) or await asyncio.to_thread(self._resume, namespace, sha256)
        # Another request may have opened it while this one was reading the file.
        known = self._uploads.get(key) or known
        if known is None:
            if size is None:
                raise BadRequest(
                    "Upload-Length is missing: the first PATCH of a blob says its size", field="Upload-Length"
                )
            if size > MAX_BLOB:
                raise TooLarge(f"Upload-Length is {size}, at most {MAX_BLOB} bytes are kept per blob")
            if offset != 0:
                raise Conflict(f"nothing of {sha256} is here: start at offset 0", headers={"Upload-Offset": "0"})
            known = Upload(self._partial / namespace / f"{sha256}.{size}", size, 0, hashlib.sha256())
            with _volume():
                await asyncio.to_thread(_create, known.path)
            known = self._uploads.get(key) or known
        elif size is not None and size != known.size:
            raise BadRequest(
                f"Upload-Length is {size}, the upload began with {known.size}: the same bytes have one size",
                field="Upload-Length",
            )
        self._uploads[key] = known
        return known

    def _resume(self, namespace: str, sha256: str) -> Upload | None:
        path = next((self._partial / namespace).glob(f"{sha256}.*"), None)
        if path is None:
            return None
        digest, offset = hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(BUFFER):
                digest.update(chunk)
                offset += len(chunk)
        return Upload(path, int(path.suffix[1:]), offset, digest)

    async def _write(self, upload: Upload, owner: object, data: bytes) -> None:
        async with upload.lock:
            if upload.owner is not owner:
                raise _elsewhere(upload)
            if upload.offset + len(data) > upload.size:
                raise BadRequest(
                    f"the body goes on after byte {upload.size}, the size that Upload-Length announced",
                    field="Upload-Length",
                )
            try:
                with _volume():
                    await asyncio.to_thread(_append, upload, data)
            except FileNotFoundError as error:  # another request completed it while this one was reading the file
                raise self._lost(upload.path.parent.name, upload.path.stem) from error
            metrics.BLOB_BYTES.labels("in").inc(len(data))

    async def _finish(self, namespace: str, sha256: str, upload: Upload) -> Path:
        found = upload.digest.hexdigest()
        if found != sha256:
            self._uploads.pop((namespace, sha256), None)
            await asyncio.to_thread(upload.path.unlink, missing_ok=True)
            raise Unprocessable(f"the bytes have sha256 {found}, wanted {sha256}: nothing was kept, upload them again")
        return upload.path

    def forget(self, namespace: str, sha256: str) -> None:
        """Close the books on an upload that was published."""
        self._uploads.pop((namespace, sha256), None)

    def _lost(self, namespace: str, sha256: str) -> Conflict:
        """Forget an upload whose file is not there any more, and return what its caller is told."""
        self.forget(namespace, sha256)
        return Conflict(f"nothing of {sha256} is here any more: start at offset 0", headers={"Upload-Offset": "0"})


@contextmanager
def _volume() -> Iterator[None]:
    """The one place where the volume's refusals become ours; a file that is not there is the caller's to explain."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(
            f"the store's volume refuses ({error.strerror}): free space and continue the upload"
        ) from error


def _elsewhere(upload: Upload) -> Conflict:
    return Conflict(
        f"the upload is at byte {upload.offset}: continue there", headers={"Upload-Offset": str(upload.offset)}
    )


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _append(upload: Upload, data: bytes) -> None:
    with upload.path.open("r+b") as file:
        file.truncate(upload.offset)  # what a failed write may have left behind
        file.seek(upload.offset)
        file.write(data)
    upload.digest.update(data)
    upload.offset += len(data)


def _publish(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    moved = target.exists() and not source.exists()
    with (target if moved else source).open("rb") as file:
        os.fsync(file.fileno())
    if not moved:
        source.replace(target)
    for folder in (target.parent, target.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
