"""Begin with the weights of a policy there is: `initFrom`.

The artifact may come from anybody. So every byte is checked against the pinned digest before it is read, and of
`training.zip` only tensors are (`weights_only`): the pickles in it, settings and spaces, stay closed. Whether a network
of this training is put together as the policy's was cannot be told from tensors. It is tried: with the weights in it,
the learner must act as the artifact's own network does, or the job ends with a sentence.
"""

import json
import logging
import tempfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import torch

from belay_api.artifact import TRAINING_FILE, Manifest, RecurrentState
from belay_api.spaces import space_model
from belay_heads import head_of
from belay_trainer import states
from belay_trainer.config import Run
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import ONNX, ExportFailed, check_agreement
from belay_trainer.fetched import Source, reader, store_of
from belay_trainer.learners.archive import STATISTICS
from belay_trainer.learners.learner import Learner, Start
from belay_trainer.randomness import untouched
from belay_trainer.stop import Stop

LARGEST = 4 << 30  # bytes of one member, unpacked
_SEED = 0  # reset seed of the first episode in which it is tried; no evaluation has it
log = logging.getLogger(__name__)


def open_initial(run: Run, folder: Path, *, logbook: httpx.Client | None = None) -> Source | None:
    """Return what a seed begins with; None: nothing. Nothing is read yet.

    Args:
        folder: The artifact's, or where the claim is mounted that it lies on.
        logbook: Of the built-in store.
    Raises: BadConfiguration.
    """
    policy = run.config.initial
    if policy is None:
        return None
    store = store_of(logbook, namespace=run.config.namespace, owner=f"{run.config.uid}/{run.index}")
    read = reader(policy.uri, folder, field="initFrom", logbook=store)
    return Source("initFrom", policy.title, policy.digest, read)


def begin_from(initial: Source, learner: Learner, environment: Environment, *, stop: Stop) -> None:
    """Give a learner that has started the weights of a policy.

    Args:
        environment: A copy that is not trained in.
    Raises: BadConfiguration when they do not fit, or the artifact is not what it should be; Unreachable, Interrupted.
    """
    title = initial.title
    manifest = initial.manifest(stop)
    _check_spaces(manifest, environment, title)
    _check_memory(manifest, learner, title)
    files = {entry.path: entry for entry in manifest.files}
    if TRAINING_FILE not in files or ONNX not in files:
        missing = TRAINING_FILE if TRAINING_FILE not in files else ONNX
        raise BadConfiguration(
            f"initFrom: {title} has no {missing}, which a training goes on from: it was imported as a network alone. "
            "Name one that was trained here, or imported from Stable-Baselines3."
        )
    learner.begin_from(
        Start(
            title=title,
            algorithm=manifest.algorithm,
            normaliser=manifest.normaliser,
            observations=_observations(manifest),
            **_tensors(initial.file(files[TRAINING_FILE], stop), title),
        )
    )
    with untouched(), tempfile.TemporaryDirectory(prefix="initial-") as name:
        (Path(name) / ONNX).write_bytes(initial.file(files[ONNX], stop))
        head = head_of(manifest.output, manifest.action)
        try:
            shape = manifest.state.shape if manifest.state is not None else None
            check_agreement(learner.policy, head, Path(name), environment, first_seed=_SEED, state=shape)
        except ExportFailed as error:
            raise BadConfiguration(
                f"initFrom: with the weights of {title} the policy of this training acts otherwise than {title} does: "
                "its network is put together in another way, such as by another activation_fn. "
                f"{_settings_of(manifest)}"
            ) from error
    log.info("the training begins with the weights of %s, digest %s", title, initial.digest)


def _check_spaces(manifest: Manifest, environment: Environment, title: str) -> None:
    for field, theirs, space in (
        ("observations", manifest.observation, environment.observation_space),
        ("actions", manifest.action, environment.action_space),
    ):
        ours = space_model(space)
        if str(ours) != str(theirs):  # bounds may differ: shape, dtype and number decide what fits
            raise BadConfiguration(
                f"initFrom: {field} of {title} are {theirs}, and those of this task {ours}. Its weights do not fit; "
                "leave initFrom out, or bring the task's spaces to the same form in a wrapper."
            )


def _check_memory(manifest: Manifest, learner: Learner, title: str) -> None:
    theirs, ours = manifest.state, states.described(learner.networks().state)
    if theirs != ours:
        raise BadConfiguration(
            f"initFrom: {title} remembers {_shape(theirs)}, and the policy of this training {_shape(ours)}. Use the "
            "algorithm that it was trained by, with lstm_hidden_size and n_lstm_layers as its config.json has them."
        )


def _shape(state: RecurrentState | None) -> str:
    return "nothing between decisions" if state is None else f"a state of shape {state.shape}"


def _tensors(content: bytes, title: str) -> dict[str, Any]:
    """Return the tensors and statistics in a training file; nothing else of it is opened."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as zipped:
            found = {name: _member(zipped, name) for name in zipped.namelist()}
            networks = {
                name.removesuffix(".pth"): _loaded(read())
                for name, read in found.items()
                if name.endswith(".pth") and not name.endswith("optimizer.pth")
            }
            statistics = json.loads(found[STATISTICS]()) if STATISTICS in found else None
    except Exception as error:  # of a stranger's file, whatever zip, pickle and torch make of it
        raise BadConfiguration(f"initFrom: {TRAINING_FILE} of {title} cannot be read: {error}.") from error
    variables = networks.pop("pytorch_variables", None) or {}
    return {"networks": networks, "variables": variables, "statistics": statistics}


def _member(zipped: zipfile.ZipFile, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        if zipped.getinfo(name).file_size > LARGEST:
            raise ValueError(f"its member {name} unpacks to more than {LARGEST} bytes")
        return zipped.read(name)

    return read


def _loaded(content: bytes) -> Any:
    found = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    if found is not None and not (
        isinstance(found, dict) and all(isinstance(value, torch.Tensor) for value in found.values())
    ):
        raise ValueError("it holds other things than tensors by name")
    return found


def _observations(manifest: Manifest) -> int:
    """Return how many observations its running statistics are of, about: each timestep has one."""
    step = manifest.lineage.step if manifest.lineage is not None else None
    return (manifest.imported.timesteps if manifest.imported is not None else step) or 1


def _settings_of(manifest: Manifest) -> str:
    return "" if manifest.lineage is None else "Its config.json has the settings it was trained with."
