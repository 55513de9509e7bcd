"""The built-in store: blobs by their sha256 and a list of checkpoints per seed, kept by the logbook, over HTTP.

Nothing here waits or tries twice: who calls knows whether there is time. An upload that broke off goes on at the byte
the store already has, whoever repeats it.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
from pydantic import ValidationError

from belay_api.artifact import MANIFEST, Manifest
from belay_api.wire import API_PREFIX, CheckpointList, CheckpointRef
from belay_trainer.errors import StoreRefused, StoreUnavailable
from belay_trainer.logbook import ask

CHUNK = 1 << 18
OFFSET, LENGTH = "Upload-Offset", "Upload-Length"


class LogbookStore:
    """See `belay_trainer.store.Store`."""

    def __init__(self, client: httpx.Client, *, namespace: str, seed: str) -> None:
        self._client = client
        self._root = f"{API_PREFIX}/namespaces/{namespace}"
        self._seed = f"{self._root}/checkpoints/{seed}"

    def checkpoints(self) -> list[CheckpointRef]:
        """List what is there."""
        answer = self._ask("GET", self._seed, also=(404,))
        if answer.status_code == 404:
            return []
        try:
            found = CheckpointList.model_validate_json(answer.content).items
        except ValidationError as error:
            raise StoreRefused(f"{answer.url} answered no list of checkpoints: {error}") from error
        return sorted(found, key=lambda ref: ref.step, reverse=True)

    def probe(self) -> None:
        """Ask for an answer; what its disk refuses, its operator is told."""
        self.checkpoints()

    def load(self, ref: CheckpointRef) -> bytes:
        """Read a checkpoint."""
        return self.blob(ref.sha256)

    def blob(self, name: str) -> bytes:
        """Read a blob; the caller checks that the hex digest of its bytes is its name."""
        return self._ask("GET", self._blob(name)).content

    def save(self, ref: CheckpointRef, blob: bytes) -> None:
        """Keep a checkpoint."""
        self._upload(ref.sha256, blob)
        self._ask("PUT", f"{self._seed}/{ref.step}", json=ref.dump())

    def delete(self, ref: CheckpointRef) -> None:
        """Forget a checkpoint."""
        self._ask("DELETE", f"{self._seed}/{ref.step}", also=(404,))

    def clear(self) -> None:
        """Forget all checkpoints."""
        for ref in self.checkpoints():
            self.delete(ref)

    def ask(self) -> None:
        """Ask for a blob that there is not: does it answer, and know this token. Raises: StoreError."""
        self._offset("0" * 64)

    def publish(self, folder: Path, manifest: Manifest) -> str:
        """Keep an artifact for good."""
        for entry in manifest.files:
            self._upload(entry.sha256, (folder / entry.path).read_bytes())
        content = manifest.canonical()
        name = hashlib.sha256(content).hexdigest()
        if (folder / MANIFEST).read_bytes() != content:
            raise StoreRefused(f"{MANIFEST} in {folder} is not the canonical manifest of digest {name}.")
        self._upload(name, content)
        return f"store://sha256/{name}"

    def keep(self, name: str, content: bytes) -> str:
        """Keep a document for good; it is addressed by its bytes."""
        del name
        digest = hashlib.sha256(content).hexdigest()
        self._upload(digest, content)
        return f"store://sha256/{digest}"

    def _blob(self, name: str) -> str:
        return f"{self._root}/blobs/{name}"

    def _upload(self, name: str, content: bytes) -> None:
        offset = self._offset(name)
        moves = 0
        while offset is not None:
            headers = {OFFSET: str(offset), LENGTH: str(len(content)), "Content-Length": str(len(content) - offset)}
            body = _chunks(content, offset)
            answer = self._ask("PATCH", self._blob(name), content=body, headers=headers, also=(409,))
            if answer.status_code == 201:
                return
            # 409, or a part taken: the store names the byte it wants next. Somebody else may be uploading the same.
            moves += 1
            if moves > 10:
                raise StoreUnavailable(f"{answer.url}: the store keeps asking for another offset ({answer.text[:200]})")
            offset = self._offset(name)

    def _offset(self, name: str) -> int | None:
        """Return the byte to go on with; None: the blob is complete."""
        answer = self._ask("HEAD", self._blob(name), also=(404,))
        if answer.status_code == 404:
            return 0
        if "Content-Length" in answer.headers:  # a store that died may have all bytes and no blob yet
            return None
        return int(answer.headers[OFFSET])

    def _ask(self, method: str, path: str, *, also: tuple[int, ...] = (), **kwargs: object) -> httpx.Response:
        return ask(self._client, method, path, also=also, **kwargs)


def _chunks(content: bytes, start: int) -> Iterator[bytes]:
    for at in range(start, len(content), CHUNK):
        yield content[at : at + CHUNK]
