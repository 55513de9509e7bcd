"""From a trained model to an artifact: what serving pods run, proved to act as the model did.

The exported network maps a batch of raw observations to logits, Q-values or the mean action, preprocessing included, so
a server needs to know neither Stable-Baselines3 nor the algorithm.
"""

import copy
import io
import json
import platform
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecTransposeImage, is_vecenv_wrapped

from belay_api.artifact import MANIFEST, EvaluationReport, Lineage, Manifest, file_entries, space_model
from belay_api.outcomes import KnownOutcome
from belay_trainer.config import Run
from belay_trainer.critic import Critic, write_critic
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration, TrainerError
from belay_trainer.randomness import untouched

ONNX, TORCHSCRIPT, TRAINING, CONFIG = "policy.onnx", "policy.pt", "training.zip", "config.json"
OPSET = 17
INPUT, OUTPUT = "observation", "output"
CHECKED = 256  # observations on which exported network and model must agree
TOLERANCE = 1e-4  # absolute and relative, of float32 sums in another order
CLOCKED = ("start_time", "ep_info_buffer", "ep_success_buffer")  # hold times of day, and no part of a policy
ADDRESS = re.compile(rb" at 0x[0-9a-f]+")
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell
PACKAGES = ("torch", "stable-baselines3", "gymnasium", "numpy")

OutputKind = Literal["logits", "q-values", "mean"]


class ExportFailed(TrainerError):
    """What was exported does not act as the model does; nothing is published."""


class Network(torch.nn.Module):
    """A policy's path from raw observation to output, without values, sampling and Python."""

    def __init__(self, model: BaseAlgorithm) -> None:
        super().__init__()
        policy = copy.deepcopy(model.policy).cpu()
        policy.set_training_mode(False)
        self.policy = policy
        self.channels_last = is_vecenv_wrapped(model.env, VecTransposeImage)
        self.q_values = isinstance(model, DQN)
        self.continuous = not hasattr(model.action_space, "n")
        if self.continuous:
            self.register_buffer("low", torch.as_tensor(model.action_space.low))
            self.register_buffer("high", torch.as_tensor(model.action_space.high))

    @property
    def kind(self) -> OutputKind:
        """What `forward` returns."""
        if self.q_values:
            return "q-values"
        return "mean" if self.continuous else "logits"

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return (batch, output) for (batch, *observation)."""
        if self.channels_last:
            observation = observation.permute(0, 3, 1, 2)
        if self.q_values:
            return self.policy.q_net(observation)
        features = self.policy.extract_features(observation)
        output = self.policy.action_net(self.policy.mlp_extractor.forward_actor(features))
        if self.continuous:  # as `predict` does: the bounds belong to the action, not to whoever serves it
            output = torch.minimum(torch.maximum(output, self.low), self.high)
        return output


@dataclass(frozen=True, slots=True)
class Evaluations:
    """How the model, with the weights it has now, did."""

    measured: EvaluationReport  # where nothing was chosen
    selection: EvaluationReport  # where it was chosen


def export(
    model: BaseAlgorithm,
    run: Run,
    *,
    environment: Environment,
    evaluations: Evaluations,
    folder: Path,
    outcomes: Mapping[str, KnownOutcome] | None = None,
) -> Manifest:
    """Write the artifact of `model` into the empty `folder` and return its manifest.

    Args:
        environment: One copy of the environment; its spaces and cap go into the manifest.
        outcomes: What is known of returns and lengths, by name.
    Raises: ExportFailed when a network in the folder would act differently from the model.
    """
    network = Network(model).eval()
    observations = sample_observations(environment)
    _write_networks(network, observations[:2], folder)
    check_agreement(model, network, folder, observations)
    write_critic(Critic.of(model, network.policy), environment, folder)
    save_training(model, folder / TRAINING)
    (folder / CONFIG).write_text(json.dumps(run.spec.said(), sort_keys=True, indent=1) + "\n")
    config, task = run.config, environment.spec
    manifest = Manifest(
        algorithm=run.spec.algorithm.chosen,
        environment=run.spec.environment.id,
        observation=space_model(environment.observation_space),
        action=space_model(environment.action_space),
        output=network.kind,
        max_episode_steps=task.max_episode_steps if task else None,
        evaluation=evaluations.measured,
        selection=evaluations.selection,
        outcomes=dict(outcomes or {}),
        lineage=Lineage(
            namespace=config.namespace,
            training_job=config.job,
            uid=config.uid,
            seed=run.seed,
            step=evaluations.measured.step,
            config_hash=config.config_hash,
            packages={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        ),
        files=file_entries(folder),
    )
    (folder / MANIFEST).write_bytes(manifest.canonical())
    return manifest


def save_training(model: BaseAlgorithm, path: Path) -> None:
    """Write what Stable-Baselines3 loads a model from. The same training gives the same bytes, whenever it ran."""
    content = io.BytesIO()
    model.save(content, exclude=CLOCKED)
    with zipfile.ZipFile(content) as written, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in sorted(written.namelist()):
            part = written.read(name)
            if name == "data":  # beside every pickled object stand its members in words, with their addresses
                part = ADDRESS.sub(b"", part)
            zipped.writestr(zipfile.ZipInfo(name, LONG_AGO), part)


def rehearse(model: BaseAlgorithm, environment: Environment) -> None:
    """Export the untrained model: what cannot be served is told in the first seconds, not after the last timestep.

    Raises: BadConfiguration.
    """
    space = environment.observation_space
    observations = np.zeros((2, *(space.shape or ())), dtype=space.dtype)
    with untouched(), tempfile.TemporaryDirectory(prefix="rehearsal-") as name:
        try:
            network = Network(model).eval()
            _write_networks(network, observations, Path(name))
            check_agreement(model, network, Path(name), observations)
        except (ExportFailed, RuntimeError, ValueError, TypeError, LookupError) as error:
            raise BadConfiguration(
                f"environment.id: a policy for actions {environment.action_space} and observations {space} cannot be "
                f"exported: {str(error).splitlines()[0]} Flatten them in a wrapper of the environment."
            ) from error


def sample_observations(environment: Environment, *, count: int = CHECKED) -> np.ndarray:
    """Return `count` observations that random actions lead to: of likely size, unlike draws from the space."""
    environment.action_space.seed(0)
    observation, _ = environment.reset(seed=0)
    found = [observation]
    while len(found) < count:
        observation, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
        if terminated or truncated:
            observation, _ = environment.reset()
        found.append(observation)
    return np.stack(found)


def check_agreement(model: BaseAlgorithm, network: Network, folder: Path, observations: np.ndarray) -> None:
    """Check that both files act as the model does on `observations`. Raises: ExportFailed."""
    with torch.inference_mode():
        wanted = network(torch.from_numpy(observations)).numpy()
        script = torch.jit.load(str(folder / TORCHSCRIPT))(torch.from_numpy(observations)).numpy()
    session = onnxruntime.InferenceSession(str(folder / ONNX), providers=["CPUExecutionProvider"])
    onnx = session.run([OUTPUT], {INPUT: observations})[0]
    actions, _ = model.policy.predict(observations, deterministic=True)
    for name, found in (("the network", wanted), (TORCHSCRIPT, script), (ONNX, onnx)):
        if not np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE):
            worst = float(np.abs(found - wanted).max())
            raise ExportFailed(f"{name} differs from the model's outputs by up to {worst:.3g}: nothing is published.")
        if not _same_actions(found, actions, continuous=network.continuous):
            raise ExportFailed(f"{name} chooses other actions than the model's predict: nothing is published.")


def _same_actions(outputs: np.ndarray, actions: np.ndarray, *, continuous: bool) -> bool:
    if continuous:
        return bool(np.allclose(outputs, actions, rtol=TOLERANCE, atol=TOLERANCE))
    # Of two outputs that are equal up to rounding either may win.
    chosen = np.take_along_axis(outputs, actions.reshape(-1, 1), axis=1)[:, 0]
    best = outputs.max(axis=1)
    return bool(np.all(best - chosen <= TOLERANCE * (1 + np.abs(best))))


def _write_networks(network: Network, example: np.ndarray, folder: Path) -> None:
    tensor = torch.from_numpy(example)
    with torch.no_grad():
        traced = torch.jit.trace(network, tensor)
        torch.jit.freeze(traced).save(str(folder / TORCHSCRIPT))
        torch.onnx.export(
            network,
            (tensor,),
            str(folder / ONNX),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
