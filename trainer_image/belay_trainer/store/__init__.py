"""Where checkpoints wait and artifacts are published: one small protocol, and which store the spec asks for.

logbook.py   the built-in store, over HTTP
folder.py    a volume that training and serving pods mount
local.py     a folder on the machine of whoever trains without a cluster
"""

from pathlib import Path
from typing import Protocol

import httpx

from belay_api.artifact import Manifest
from belay_api.wire import CheckpointRef
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration
from belay_trainer.store.folder import FolderStore
from belay_trainer.store.logbook import LogbookStore


class Store(Protocol):
    """One seed's checkpoints and its namespace's artifacts. Every method raises StoreUnavailable or StoreRefused."""

    def checkpoints(self) -> list[CheckpointRef]:
        """Return this seed's checkpoints, newest step first."""

    def probe(self) -> None:
        """Find out whether it takes anything at all, before there is a checkpoint."""

    def load(self, ref: CheckpointRef) -> bytes:
        """Return a checkpoint's bytes as they are; the caller checks the digest."""

    def save(self, ref: CheckpointRef, blob: bytes) -> None:
        """Keep a checkpoint in place of any other of the same step. Repeating it goes on where it broke off."""

    def delete(self, ref: CheckpointRef) -> None:
        """Forget a checkpoint; one that is not there is no error."""

    def clear(self) -> None:
        """Forget all checkpoints of this seed. Artifacts stay."""

    def publish(self, folder: Path, manifest: Manifest) -> str:
        """Keep an artifact for good and return its uri. Its manifest appears last: where it is, all files are."""

    def keep(self, name: str, content: bytes) -> str:
        """Keep a document for good, beside artifacts and part of none, and return its uri.

        Args:
            name: Of its file, where the store has names.
        """


def open_store(run: Run, *, pvc_dir: Path, logbook: httpx.Client | None) -> Store:
    """Return the store `spec.storage` names. Raises: BadConfiguration when there is none."""
    seed = f"{run.config.uid}/{run.index}"
    if pvc := run.spec.storage.pvc:
        if not pvc_dir.is_dir():
            raise BadConfiguration(f"storage.pvc: {pvc_dir} is not mounted; claim {pvc.claim!r} belongs there.")
        return FolderStore(pvc_dir, claim=pvc.claim, seed=seed)
    if logbook is None:
        raise BadConfiguration("storage is unset, but this pod knows no logbook: install it, or set storage.pvc.")
    return LogbookStore(logbook, namespace=run.config.namespace, seed=seed)
