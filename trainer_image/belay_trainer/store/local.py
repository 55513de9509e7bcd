"""The store of a run on one machine: the trainer's own folder outlives it, so checkpoints stay where they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from belay_api.artifact import Manifest
from belay_api.wire import CheckpointRef
from belay_trainer.errors import StoreRefused
from belay_trainer.store.folder import keep_artifact, keep_document


class LocalStore:
    """See `belay_trainer.store.Store`."""

    def __init__(self, root: Path, *, address: str) -> None:
        """Publish into `root`/artifacts.

        Args:
            address: Of artifacts, without the digest, once somebody has brought them to a cluster.
        """
        self._artifacts, self._documents, self._address = root / "artifacts", root / "documents", address

    def checkpoints(self) -> list[CheckpointRef]:
        """None but those that the keeper has."""
        return []

    def probe(self) -> None:
        """Leave it to the keeper, which writes to the same disk."""

    def load(self, ref: CheckpointRef) -> bytes:
        """Refuse what was never listed."""
        raise StoreRefused(f"the checkpoint of timestep {ref.step} is not in this store, which keeps none")

    def save(self, ref: CheckpointRef, blob: bytes) -> None:
        """Leave it to the keeper."""

    def delete(self, ref: CheckpointRef) -> None:
        """Leave it to the keeper."""

    def clear(self) -> None:
        """Leave it to the keeper."""

    def publish(self, folder: Path, manifest: Manifest) -> str:
        """Keep an artifact for good."""
        with _refused():
            return f"{self._address}/{keep_artifact(self._artifacts, folder, manifest)}"

    def keep(self, name: str, content: bytes) -> str:
        """Keep a document for good; it is addressed by its path."""
        with _refused():
            return str(self._documents / keep_document(self._documents, name, content))


@contextmanager
def _refused() -> Iterator[None]:
    """The one door for errors of a folder: no volume that comes back by itself, and somebody sits in front of it."""
    try:
        yield
    except OSError as error:
        raise StoreRefused(f"--out: {error}. Mend that and run the command again, which goes on.") from error
