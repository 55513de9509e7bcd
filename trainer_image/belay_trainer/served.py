"""The policy in an artifact as serving pods have it: its exported network, and the head that says what it answers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from belay_api.artifact import MANIFEST, ArtifactError, Manifest, file_sha256, verify, verify_served
from belay_heads import Head, head_of
from belay_heads.masked import allowed
from belay_trainer import states
from belay_trainer.errors import BadConfiguration, Diverged


class NotFinite(Diverged):
    """The network answered numbers that are not finite: serving refuses such a request."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact every byte of which was checked."""

    folder: Path
    digest: str
    manifest: Manifest
    head: Head


def read_artifact(folder: Path) -> Artifact:
    """Return the artifact in a folder. Nothing of it is read before its bytes are checked.

    Raises: BadConfiguration when the folder holds no whole artifact.
    """
    try:
        digest = "sha256:" + file_sha256(folder / MANIFEST)
        manifest = verify(folder, wanted=digest)
        return Artifact(folder, digest, manifest, head_of(manifest.output, manifest.action))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadConfiguration(f"policy {folder}: there is no {MANIFEST}: name an artifact's folder.") from error
    except ArtifactError as error:
        raise BadConfiguration(f"policy {folder}: {error}. Fetch the artifact again.") from error


def read_served(folder: Path, *, digest: str) -> Artifact:
    """Return what was fetched of an artifact: all but what training goes on from.

    Raises: BadConfiguration when a byte of it is another one.
    """
    try:
        manifest = verify_served(folder, wanted=digest)
    except ArtifactError as error:
        raise BadConfiguration(f"policy {folder}: {error}. Fetch the artifact again.") from error
    return Artifact(folder, digest, manifest, head_of(manifest.output, manifest.action))


class ServedNetwork:
    """The network that serving pods load."""

    def __init__(self, artifact: Artifact) -> None:
        """Raises: BadConfiguration when there is no network in the artifact."""
        from belay_trainer.export import loaded  # noqa: PLC0415  torch and onnxruntime are slow

        networks = loaded(artifact.folder)
        if not networks:
            raise BadConfiguration(f"policy {artifact.folder}: there is no network in it that could be played.")
        self.file, self._network = next(iter(networks.items()))  # ONNX where there is one, as serving has it
        self._width = artifact.head.width
        self._shape = artifact.manifest.state.shape if artifact.manifest.state is not None else None

    def outputs(self, observations: np.ndarray, state: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return what the head reads, (batch, width), and what is remembered then; None: nothing ever is.

        Args:
            state: (batch, *state), what was remembered before; None: nothing yet.
        Raises: NotFinite.
        """
        before = states.beginning(self._shape, len(observations)) if state is None else state
        answered, after = states.asked(self._network, observations, before)
        check_finite(answered)
        if after is not None:
            check_finite(after)
        return answered.reshape(len(observations), self._width), after


class ServedPolicy:
    """Acts greedily, through the network that serving pods load; see `evaluate.Policy`."""

    def __init__(self, artifact: Artifact) -> None:
        """Raises: BadConfiguration when there is no network in the artifact."""
        self._network, self._head = ServedNetwork(artifact), artifact.head
        self.file = self._network.file

    def predict(
        self,
        observation: np.ndarray,
        *,
        deterministic: bool = True,
        action_masks: np.ndarray | None = None,
        state: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return one action per observation, and what is remembered after each; None: nothing ever is.

        Args:
            action_masks: (batch, outputs), of a policy under masks; None: everything is allowed.
            state: (batch, *state), what was remembered before; None: nothing yet.
        Raises: NotFinite.
        """
        del deterministic
        outputs, after = self._network.outputs(observation, state)
        actions = self._head.greedy(outputs if action_masks is None else allowed(outputs, action_masks))
        check_finite(actions)
        return actions, after


def check_finite(numbers: np.ndarray) -> None:
    """Raises: NotFinite."""
    if not np.isfinite(numbers).all():
        raise NotFinite("the network answers numbers that are not finite, and serving refuses such requests.")
