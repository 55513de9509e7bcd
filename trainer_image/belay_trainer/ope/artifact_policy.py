"""The policy in an artifact as a target: its exported network, and the head that says what the outputs mean.

So propensities are those of served actions (decision 030). Without being asked otherwise a served policy is greedy
(`deterministic: true`), and then it has one action for an observation, whatever its network could draw.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_api.artifact import MANIFEST, ArtifactError, Manifest, file_sha256, verify
from belay_api.spaces import Space
from belay_heads import head_of
from belay_heads.mean import TOLERANCE
from belay_trainer.datasets.dataset import Dataset, Floats
from belay_trainer.errors import BadConfiguration

ONNX = "policy.onnx"
ROWS = 8_192  # observations in one forward pass


class ArtifactPolicy:
    """See `TargetPolicy`."""

    def __init__(self, folder: Path, *, greedy: bool) -> None:
        """Load a policy after checking every byte of it.

        Args:
            greedy: Its best action always, as it is served by default; False: drawn from its distribution.
        Raises: BadConfiguration when the folder holds no whole artifact, or the policy has nothing to draw from.
        """
        import onnxruntime  # noqa: PLC0415  slow, and only for artifacts

        try:
            self.digest = "sha256:" + file_sha256(folder / MANIFEST)
            self.manifest: Manifest = verify(folder, wanted=self.digest)
            self._head = head_of(self.manifest.output, self.manifest.action)
            if ONNX not in {entry.path for entry in self.manifest.files}:
                raise BadConfiguration(f"policy {folder}: there is no {ONNX} in it, which is what is judged.")
            session = onnxruntime.InferenceSession(str(folder / ONNX), providers=["CPUExecutionProvider"])
        except FileNotFoundError as error:
            raise BadConfiguration(f"policy {folder}: there is no {MANIFEST}: name an artifact's folder.") from error
        except ArtifactError as error:
            raise BadConfiguration(f"policy {folder}: {error}. Fetch the artifact again.") from error
        if not greedy and not self._head.stochastic:
            raise BadConfiguration(
                f"policy {folder}: it has one action for an observation (output `{self.manifest.output}`), so there is "
                "nothing to sample from: leave `--actions sampled` out."
            )
        self._session, self._input = session, session.get_inputs()[0].name
        action = self.manifest.action
        if action.kind not in ("discrete", "box"):
            raise BadConfiguration(f"policy {folder}: actions in {action} cannot be judged offline yet.")
        if self.manifest.observation.kind not in ("discrete", "box"):
            raise BadConfiguration(
                f"policy {folder}: observations {self.manifest.observation} cannot be judged offline yet."
            )
        if self._head.masks:
            raise BadConfiguration(
                f"policy {folder}: it chooses among the actions that a mask allows (output "
                f"`{self.manifest.output}`), and a log has no masks: it cannot be judged offline."
            )
        self._greedy = greedy
        self.choices = np.arange(action.start, action.start + action.n) if action.kind == "discrete" else None
        self.stochastic = not greedy

    def fitted(self, dataset: Dataset, *, name: str) -> Dataset:
        """Return the dataset in the shapes of the policy's spaces. Raises: BadConfiguration when they are others."""
        observation, action = self.manifest.observation, self.manifest.action
        shape = tuple(observation.shape) if observation.kind == "box" else ()
        _check_size(name, "observation", dataset.observations, shape, observation)
        _check_size(name, "action", dataset.actions, tuple(action.shape) if action.kind == "box" else (), action)
        if action.kind == "discrete":
            _check_choices(name, dataset.actions, action.start, action.n)
        elif dataset.discrete:
            raise BadConfiguration(f"dataset {name}: column `action` holds whole numbers, the policy acts in {action}.")
        dtype = np.dtype(observation.dtype) if observation.kind == "box" else np.dtype(np.int64)

        def shaped(rows: NDArray[Any]) -> NDArray[Any]:
            return rows.reshape(len(rows), *shape).astype(dtype, copy=False)

        last = dataset.last_observations
        return replace(
            dataset,
            observations=shaped(dataset.observations),
            actions=dataset.actions.reshape(len(dataset.actions), *(action.shape if action.kind == "box" else ())),
            last_observations=None if last is None else shaped(last),
        )

    def log_propensity(self, observations: NDArray[Any], actions: NDArray[Any]) -> Floats:
        """See `TargetPolicy`."""
        outputs = self._outputs(observations)
        if not self._greedy:
            return self._head.log_propensity(outputs, actions)
        best = self._head.greedy(outputs)
        if self.choices is not None:
            return np.where(best == actions, 0.0, -np.inf)
        same = np.isclose(best, actions, rtol=TOLERANCE, atol=TOLERANCE).reshape(len(best), -1).all(axis=1)
        return np.where(same, 0.0, -np.inf)

    def probabilities(self, observations: NDArray[Any]) -> Floats:
        """See `TargetPolicy`."""
        if self.choices is None:
            raise ValueError("continuous actions have no probability each: ask for log_propensity")
        outputs = self._outputs(observations)
        if self._greedy:
            return np.asarray(self._head.greedy(outputs)[:, None] == self.choices, dtype=np.float64)
        columns = [np.exp(self._head.log_propensity(outputs, np.full(len(outputs), one))) for one in self.choices]
        return np.stack(columns, axis=1)

    def sample(self, observations: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
        """See `TargetPolicy`."""
        outputs = self._outputs(observations)
        return self._head.greedy(outputs) if self._greedy else self._head.sample(outputs, generator)

    def _outputs(self, observations: NDArray[Any]) -> NDArray[Any]:
        parts = [
            self._session.run(None, {self._input: observations[first : first + ROWS]})[0]
            for first in range(0, len(observations), ROWS)
        ]
        outputs: NDArray[Any] = np.concatenate(parts) if parts else np.empty((0, self._head.width))
        if not np.isfinite(outputs).all():
            raise BadConfiguration("the policy's network answers numbers that are not finite to logged observations.")
        return outputs


def _check_size(name: str, column: str, values: NDArray[Any], shape: tuple[int, ...], space: Space) -> None:
    found, wanted = math.prod(values.shape[1:]), math.prod(shape)
    if found != wanted:
        raise BadConfiguration(
            f"dataset {name}: column `{column}` has {found} number{'s' if found != 1 else ''} in a row, the policy's "
            f"{column} space is {space}: was this log made in the task the policy was trained for?"
        )


def _check_choices(name: str, actions: NDArray[Any], start: int, n: int) -> None:
    whole = actions.dtype.kind in "iu"
    bad = np.zeros(len(actions), dtype=bool) if whole else actions != np.rint(actions)
    bad |= (actions < start) | (actions >= start + n)
    if not whole or bad.any():
        seen = actions[np.argmax(bad)]
        raise BadConfiguration(
            f"dataset {name}: column `action` holds {seen} ({actions.dtype}), the policy's actions are whole numbers "
            f"from {start} to {start + n - 1}."
        )
