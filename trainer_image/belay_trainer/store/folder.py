"""A store in a folder, which is a volume in a cluster.

checkpoints/<uid>/<index>/<step>-<sha256>.ckpt
artifacts/<hex of the digest>/manifest.json …
documents/<sha256>/<name>
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from belay_api.artifact import MANIFEST, ArtifactError, Manifest, verify
from belay_api.wire import CheckpointRef
from belay_trainer import files
from belay_trainer.errors import StoreRefused, StoreUnavailable

_PROBE, _PROBE_BYTES = "probe", 4096

P = ParamSpec("P")
R = TypeVar("R")


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    """The one door for file system errors: a full or hanging volume may recover, one we may not write will not."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise StoreRefused(
                    f"storage.pvc: {error}. The claim must be writable for user {os.getuid()}."
                ) from error
            raise StoreUnavailable(f"storage.pvc: {error}") from error

    return call


class FolderStore:
    """See `belay_trainer.store.Store`."""

    def __init__(self, root: Path, *, claim: str, seed: str) -> None:
        self._artifacts = root / "artifacts"
        self._documents = root / "documents"
        self._checkpoints = root / "checkpoints" / seed
        self._claim = claim

    @_translated
    def checkpoints(self) -> list[CheckpointRef]:
        """List what is there."""
        # Made here, by who asks first: a claim we may not write is refused before the training, not after it.
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        return files.list_checkpoints(self._checkpoints)

    @_translated
    def probe(self) -> None:
        """Write a file: a volume may be read-only or full though all in it can be read."""
        probe = self._checkpoints / _PROBE
        files.write_atomically(probe, bytes(_PROBE_BYTES))
        probe.unlink()

    @_translated
    def load(self, ref: CheckpointRef) -> bytes:
        """Read a checkpoint."""
        return files.read_checkpoint(self._checkpoints, ref)

    @_translated
    def save(self, ref: CheckpointRef, blob: bytes) -> None:
        """Keep a checkpoint."""
        files.write_checkpoint(self._checkpoints, ref, blob)

    @_translated
    def delete(self, ref: CheckpointRef) -> None:
        """Forget a checkpoint."""
        files.delete_checkpoints(self._checkpoints, ref.step)

    @_translated
    def clear(self) -> None:
        """Remove the seed's folder, and the job's with the last one."""
        if self._checkpoints.exists():
            shutil.rmtree(self._checkpoints)
        with suppress(OSError):  # other seeds have theirs in it
            self._checkpoints.parent.rmdir()

    @_translated
    def publish(self, folder: Path, manifest: Manifest) -> str:
        """Keep an artifact for good."""
        return f"pvc://{self._claim}/artifacts/{keep_artifact(self._artifacts, folder, manifest)}"

    @_translated
    def keep(self, name: str, content: bytes) -> str:
        """Keep a document for good."""
        return f"pvc://{self._claim}/documents/{keep_document(self._documents, name, content)}"


def keep_document(documents: Path, name: str, content: bytes) -> str:
    """Write a file into a folder that is called after its bytes, and return both names. Raises: OSError."""
    place = Path(hashlib.sha256(content).hexdigest()) / name
    files.write_atomically(documents / place, content)
    return str(place)


def keep_artifact(artifacts: Path, folder: Path, manifest: Manifest) -> str:
    """Copy the artifact in `folder` into a folder of its own and return that folder's name. Raises: OSError."""
    digest = manifest.digest()
    name = digest.removeprefix("sha256:")
    target = artifacts / name
    if not _intact(target, digest):
        shutil.rmtree(target, ignore_errors=True)
        # Two seeds may publish the same bytes at once: each builds its own copy, one of the renames wins.
        partial = artifacts / f".{name}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            for entry in manifest.files:
                files.write_atomically(partial / entry.path, (folder / entry.path).read_bytes())
            files.write_atomically(partial / MANIFEST, manifest.canonical())
            partial.rename(target)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if not _intact(target, digest):
                raise
        files.sync(artifacts)
    return name


def _intact(folder: Path, digest: str) -> bool:
    try:
        verify(folder, wanted=digest)
    except ArtifactError:
        return False
    return True
