"""The policy artifact: a directory whose manifest names every file by digest, and the check that nothing changed.

    manifest.json   what the policy is (this model), with the file list
    policy.onnx     observation -> what the manifest's `output` says; of a policy that remembers
                    observation, state -> that, next_state
    policy.pt       the same as TorchScript
    critic.onnx     observation -> the fifth of the critic's values that it lies in, 0 to 4; may be absent
    config.json     what was asked of the training, as text
    training.zip    to resume or fine-tune; not fetched by serving pods

The artifact's digest is the sha256 of the canonical manifest, so one digest covers every byte.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from belay_api.dataset import Floor, OfflineEstimate
from belay_api.environment import CostReport, WrapperSpec
from belay_api.model import Model
from belay_api.outcomes import KnownOutcome
from belay_api.spaces import ArraySpace, Space

MANIFEST = "manifest.json"
ONNX_FILE = "policy.onnx"
TORCHSCRIPT_FILE = "policy.pt"
CRITIC_FILE = "critic.onnx"
TRAINING_FILE = "training.zip"
FORMAT_VERSION: Literal[1] = 1
_CHUNK = 1 << 20


Output = Literal[
    "logits",
    "q-values",
    "choice",
    "mean",
    "gaussian",
    "squashed-gaussian",
    "multi-categorical",
    "bernoulli",
    "masked-logits",
    "masked-multi-categorical",
]
"""What a network's outputs mean; `belay_heads` has a file for each."""


class NormaliserConstants(Model):
    """What the networks do to every observation first: `clip((x - mean) / sqrt(variance + epsilon))`."""

    mean: list[float]
    """Of each number of an observation, flattened, row-major."""
    variance: list[float]
    """Of each number of an observation."""
    epsilon: float
    """Keeps a number that never changed from being divided by 0."""
    clip: float
    """Largest size of a normalised number."""


class RecurrentState(Model):
    """What a policy remembers of an episode from one decision to the next: float32, zeros at its beginning.

    Its networks take one beside each observation, and answer the next one behind their output.
    """

    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=4)]
    """Of one, without batch dimension. Of an LSTM: 2 (what it shows, what it keeps), layers, numbers of a layer."""

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''}) float32"


class EvaluationReport(Model):
    """How the published checkpoint did."""

    step: int | None
    """Timestep of the checkpoint; None: imported, and nobody said."""
    episodes: int
    """Greedy episodes."""
    first_seed: int
    """Reset seed of the first."""
    mean: float
    """Mean return."""
    std: float
    """Standard deviation of the returns over episodes."""
    min: float
    """Lowest return."""
    max: float
    """Highest return."""
    cut: int = 0
    """Episodes that had not ended after 100,000 timesteps of an environment without a cap: their returns so far."""
    costs: list[CostReport] = Field(default_factory=list)
    """What `environment.constraints` cost; empty: there are none."""


class Lineage(Model):
    """What made the policy, and not who: the same training has the same digest, whichever job ran it.

    Which job it was stands in the RLPolicy's `spec.lineage`.
    """

    model_config = {"extra": "ignore"}  # earlier versions named the job here as well

    seed: int
    step: int
    config_hash: str
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of belay, python, torch, stable-baselines3, gymnasium and numpy it was trained with, and of all that
    `runtime.packages` brought. Which image had them stands in the RLPolicy's `spec.lineage` (decision 060)."""
    code: str | None = None
    """Digest of the modules in `runtime.code`: `git:<commit>` or `sha256:<hex>` of the files; None: there are none."""
    gpu: str | None = None
    """What the GPU that it was trained on is called; None: it was a CPU."""
    dataset: str | None = None
    """`sha256:<hex>` of the file it learned from, or of the names and digests of all files in the folder; None: it
    learned in an environment."""
    initial: str | None = None
    """Digest of the artifact whose weights it began with; None: it began anew."""


class Imported(Model):
    """What a policy was before it became an artifact, where Belay did not train it."""

    format: Literal["stable-baselines3", "onnx", "torchscript", "controller"]
    """How it was kept."""
    source: Annotated[str, Field(max_length=512)]
    """Name of its file; `archive.mar!model.onnx` inside an archive of TorchServe; `package.module:function`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Hex digest of that file or archive, or of the module that a function stands in."""
    timesteps: int | None = None
    """Of its training, as the file says; None: it says nothing."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions it was trained with, as the file says."""


class FileEntry(Model):
    """One file of the artifact."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name, without folders."""
    size: int
    """Bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Hex digest of its bytes; becomes part of the address it is fetched from."""


class Manifest(Model):
    """What the policy is. What a later version adds can be ignored, or it would count formatVersion up."""

    model_config = {"extra": "ignore"}

    format_version: Literal[1] = FORMAT_VERSION
    algorithm: str | None
    """As `spec.algorithm` names it; None: imported from something that does not say."""
    environment: str | None
    """Gymnasium id; None: learned from a dataset or imported, and nobody said."""
    wrappers: list[WrapperSpec] = Field(default_factory=list)
    """Layers around that environment, the innermost first: what goes in and comes out is what the outermost shows and
    takes."""
    observation: Space
    """What goes in."""
    action: ArraySpace
    """What comes out."""
    output: Output
    """What the network answers. For a discrete space one number per action: `logits`, whose softmax are probabilities,
    or `q-values`; or one number, the action itself: `choice`. For a box: `mean`, the action itself; or the means of all
    dimensions and then the logs of their standard deviations, of numbers that are clipped to the bounds (`gaussian`) or
    pressed between them by tanh (`squashed-gaussian`). For several choices at once the logits of each, one choice
    behind the other: `multi-categorical`; for switches the logit of each being on: `bernoulli`. With `masked-` in front
    only those actions are chosen that the request's mask allows."""
    state: RecurrentState | None = None
    """What it remembers between decisions; None: nothing, each follows from its observation alone."""
    normaliser: NormaliserConstants | None = None
    """Running statistics as the training left them, folded into the networks, which take raw observations; None: the
    policy was trained without."""
    max_episode_steps: int | None = None
    """Cap of the environment; None: none."""
    evaluation: EvaluationReport | None
    """How it was measured, in episodes that chose nothing; None: nobody has played it, as it was imported, or learned
    from a dataset without a simulator."""
    selection: EvaluationReport | None = None
    """The evaluation that chose this checkpoint, best of all; None: an older trainer, whose `evaluation` it was, or the
    policy was imported."""
    estimate: OfflineEstimate | None = None
    """What held-out episodes that chose nothing say of it, where it was learned without a simulator: no return."""
    floor: Floor | None = None
    """How it compares with behaviour cloning of the same dataset; None: it is that itself, or learned in an
    environment."""
    outcomes: dict[str, KnownOutcome] = Field(default_factory=dict)
    """What is known of `return` and `length`; empty in artifacts of earlier versions, and where nobody measured."""
    lineage: Lineage | None
    """Which training it comes from; None: none of Belay's."""
    imported: Imported | None = None
    """What it was made from; None: it was trained here."""
    files: list[FileEntry]
    """Every file but the manifest, sorted by path."""

    @property
    def served(self) -> list[FileEntry]:
        """What serving pods fetch: all but what training goes on from, the largest file and the one with pickles."""
        return [entry for entry in self.files if entry.path != TRAINING_FILE]

    @property
    def absent(self) -> list[str]:
        """What the artifact says nothing of, where a training would have: `evaluation`, `lineage`, `outcomes`."""
        told = {"evaluation": self.evaluation, "lineage": self.lineage, "outcomes": self.outcomes}
        return [name for name, value in told.items() if not value]

    def canonical(self) -> bytes:
        """Return the bytes whose sha256 is the artifact's digest; the manifest file holds exactly these."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":")).encode()

    def digest(self) -> str:
        """Return `sha256:<hex>`."""
        return "sha256:" + hashlib.sha256(self.canonical()).hexdigest()


class ArtifactError(Exception):
    """An artifact that must not be served; the message says which file and why."""

    def __init__(self, message: str, *, found: str | None = None) -> None:
        super().__init__(message)
        self.found = found  # `sha256:<hex>` of what was found in place of the wanted digest


class DigestMismatch(ArtifactError):
    """Bytes differ from what their digest promises."""


class ArtifactInvalid(ArtifactError):
    """The bytes are as promised, but they are no artifact of a format this version knows."""


def file_sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_entries(folder: Path) -> list[FileEntry]:
    """Return an entry for every file in `folder` but the manifest."""
    return [
        FileEntry(path=path.name, size=path.stat().st_size, sha256=file_sha256(path))
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    ]


def parse_manifest(content: bytes, *, wanted: str) -> Manifest:
    """Return the manifest in `content` after checking its digest.

    Args:
        wanted: `sha256:<hex>` the caller was promised.
    Raises: DigestMismatch when the bytes are others; ArtifactInvalid when they are no manifest we can read.
    """
    found = "sha256:" + hashlib.sha256(content).hexdigest()
    if found != wanted:
        raise DigestMismatch(f"{MANIFEST} has digest {found}, wanted {wanted}", found=found)
    try:
        return Manifest.model_validate_json(content)
    except ValueError as error:
        raise ArtifactInvalid(f"{MANIFEST} is not one this version of Belay can read: {error}", found=found) from error


def check_file(folder: Path, entry: FileEntry) -> None:
    """Check one file against its entry. Raises: DigestMismatch."""
    path = folder / entry.path
    found = file_sha256(path) if path.is_file() else "no such file"
    if found != entry.sha256:
        raise DigestMismatch(f"{entry.path} has digest {found}, wanted {entry.sha256}", found=found)


def verify(folder: Path, *, wanted: str) -> Manifest:
    """Return the manifest of the artifact in `folder` after checking every byte of it.

    Raises: DigestMismatch, ArtifactInvalid; both are final, another read would not help.
    """
    manifest = _read_manifest(folder, wanted=wanted)
    for entry in manifest.files:
        check_file(folder, entry)
    return manifest


def verify_served(folder: Path, *, wanted: str) -> Manifest:
    """Return the manifest of what a serving pod has fetched, after checking every byte of `Manifest.served`.

    No other file in `folder` may be loaded: none was checked.

    Raises: as `verify`.
    """
    manifest = _read_manifest(folder, wanted=wanted)
    for entry in manifest.served:
        check_file(folder, entry)
    return manifest


def _read_manifest(folder: Path, *, wanted: str) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactInvalid(f"{MANIFEST} is missing")
    return parse_manifest(path.read_bytes(), wanted=wanted)
