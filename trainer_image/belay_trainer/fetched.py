"""An artifact that somebody published, read where it lies: not a byte of it is used before its digest was checked."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from belay_api.artifact import MANIFEST, ArtifactError, FileEntry, Manifest, parse_manifest
from belay_trainer import files
from belay_trainer.errors import BadConfiguration, StoreRefused, StoreUnavailable, Unreachable
from belay_trainer.runtime.waiting import until_reached
from belay_trainer.stop import Stop
from belay_trainer.store.logbook import LogbookStore

Read = Callable[[str, str], bytes]
"""(file name, hex digest of its bytes) -> bytes, not checked yet. Raises: OSError, StoreRefused, StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class Source:
    """One artifact and where it is read."""

    field: str  # of the spec that names it, for messages
    title: str  # what sentences call the policy
    digest: str  # `sha256:<hex>` of its canonical manifest
    read: Read

    def manifest(self, stop: Stop) -> Manifest:
        """Return its manifest. Raises: BadConfiguration, Unreachable, Interrupted."""
        content = self._bytes(MANIFEST, self.digest.removeprefix("sha256:"), stop)
        try:
            return parse_manifest(content, wanted=self.digest)
        except ArtifactError as error:
            raise BadConfiguration(f"{self.field}: {self.title}: {error}. It is not loaded.") from error

    def file(self, entry: FileEntry, stop: Stop) -> bytes:
        """Return the bytes of one of its files. Raises: as `manifest`."""
        content = self._bytes(entry.path, entry.sha256, stop)
        found = hashlib.sha256(content).hexdigest()
        if found != entry.sha256:
            raise BadConfiguration(
                f"{self.field}: {self.title}: {entry.path} has digest {found}, wanted {entry.sha256}. It is not loaded."
            )
        return content

    def fetch(self, folder: Path, stop: Stop) -> Manifest:
        """Write what serving pods load into a folder, and the manifest last. Raises: as `manifest`."""
        manifest = self.manifest(stop)
        for entry in manifest.served:
            files.write_atomically(folder / entry.path, self.file(entry, stop))
        files.write_atomically(folder / MANIFEST, manifest.canonical())
        return manifest

    def _bytes(self, name: str, digest: str, stop: Stop) -> bytes:
        def ask() -> bytes:
            try:
                return self.read(name, digest)
            except StoreUnavailable as error:
                raise Unreachable(f"{self.field}: {self.title}: {error}.") from error
            except (StoreRefused, FileNotFoundError, NotADirectoryError) as error:
                raise BadConfiguration(
                    f"{self.field}: {name} of {self.title} is not where it should be: {error}."
                ) from error

        return until_reached(ask, what="the pod waits for the policy it was given", stop=stop)


def reader(uri: str | None, folder: Path, *, field: str, logbook: LogbookStore | None) -> Read:
    """Return what reads an artifact. Nothing is read yet.

    Args:
        uri: Where it lies; None: in `folder` itself.
        folder: The artifact's, or where the claim is mounted that it lies on.
        field: Of the spec that names it, for messages.
        logbook: The built-in store; None: this pod knows none.
    Raises: BadConfiguration.
    """
    kind, _, place = (uri or "").partition("://")
    if kind == "store":
        if logbook is None:
            raise BadConfiguration(f"{field}: {uri} lies in the built-in store, and this pod knows no logbook.")
        return lambda _, digest: logbook.blob(digest)
    inside = place.partition("/")[2] if kind == "pvc" else ""
    return lambda name, _: (folder / inside / name).read_bytes()


def store_of(logbook: httpx.Client | None, *, namespace: str, owner: str) -> LogbookStore | None:
    """Return the built-in store for reading. Args: owner: Uid of who reads, and its place."""
    return None if logbook is None else LogbookStore(logbook, namespace=namespace, seed=owner)
