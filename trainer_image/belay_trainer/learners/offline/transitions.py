"""Logged timesteps as tensors, and batches drawn from them."""

from dataclasses import dataclass

import numpy as np
import torch

from belay_api.artifact import NormaliserConstants
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

EPSILON = 1e-6  # of a variance: a number that never changed in the log counts a thousandth of its unit as a deviation
CLIP = 10.0  # standard deviations


@dataclass(frozen=True, slots=True)
class Batch:
    """Timesteps, (batch, …). Observations are as networks take them: flat, scaled, float32."""

    observation: torch.Tensor
    action: torch.Tensor  # (batch,) whole numbers from 0, or (batch, numbers) in the units of the space
    reward: torch.Tensor  # (batch,), scaled
    following: torch.Tensor  # the observation after
    ended: torch.Tensor  # (batch,), 1 where the task ended the episode, else 0


class Transitions:
    """All timesteps of a dataset whose following observation is known, or is not needed: the episode ended there."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        normaliser: NormaliserConstants | None,
        reward_scale: float,
        device: torch.device,
    ) -> None:
        """Lay them out.

        Args:
            reward_scale: What rewards are divided by.
        Raises: BadConfiguration where there is none.
        """
        follows, known = dataset.follows()
        last = dataset.starts[1:] - 1
        # Each timestep's following observation is the next row; what followed episodes stands behind all rows.
        following = np.arange(1, dataset.timesteps + 1)
        following[last] = dataset.timesteps + np.arange(dataset.episodes)
        ended = np.zeros(dataset.timesteps, dtype=np.float32)
        ended[last] = dataset.terminated
        used = np.ones(dataset.timesteps, dtype=bool)
        used[last] = dataset.terminated | known
        rows = np.flatnonzero(used)
        if not len(rows):
            raise BadConfiguration(
                f"dataset.path: nothing can be learned from {dataset.timesteps} timesteps of {dataset.episodes} "
                "episodes, each of which was cut after one: log what followed (`next_observation`), or that the task "
                "ended there (`terminated`)."
            )

        # After the task has ended there is nothing to observe, and logs say so by what is no number.
        ended_by_task = dataset.terminated.reshape(-1, *[1] * (follows.ndim - 1))
        follows = np.where(ended_by_task, 0, follows).astype(follows.dtype)
        seen = np.concatenate([dataset.observations, follows]).reshape(dataset.timesteps + dataset.episodes, -1)
        self._observations = torch.from_numpy(scaled(seen, normaliser)).to(device)
        self._rows = torch.from_numpy(rows).to(device)
        self._following = torch.from_numpy(following[rows]).to(device)
        whole = dataset.discrete
        actions = dataset.actions[rows].reshape(len(rows), -1).astype(np.int64 if whole else np.float32)
        self._actions = torch.from_numpy(actions[:, 0] if whole else actions).to(device)
        self._rewards = torch.from_numpy((dataset.rewards[rows] / reward_scale).astype(np.float32)).to(device)
        self._ended = torch.from_numpy(ended[rows]).to(device)

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, size: int, generator: np.random.Generator) -> Batch:
        """Return timesteps drawn with replacement."""
        drawn = torch.from_numpy(generator.integers(len(self), size=size)).to(self._rows.device)
        return Batch(
            observation=self._observations[self._rows[drawn]],
            action=self._actions[drawn],
            reward=self._rewards[drawn],
            following=self._observations[self._following[drawn]],
            ended=self._ended[drawn],
        )


def normaliser_of(dataset: Dataset) -> NormaliserConstants:
    """Return the constants that bring the dataset's observations to mean 0 and variance 1."""
    rows = dataset.observations.reshape(dataset.timesteps, -1).astype(np.float64)
    return NormaliserConstants(
        mean=rows.mean(axis=0).tolist(), variance=rows.var(axis=0).tolist(), epsilon=EPSILON, clip=CLIP
    )


def scaled(rows: np.ndarray, normaliser: NormaliserConstants | None) -> np.ndarray:
    """Return flat observations as networks take them; the same numbers as `networks.Preprocessed` makes in service."""
    if normaliser is None:
        return rows.astype(np.float32)
    deviation = np.sqrt(np.array(normaliser.variance) + normaliser.epsilon)
    found = (rows.astype(np.float64) - np.array(normaliser.mean)) / deviation
    return np.asarray(np.clip(found, -normaliser.clip, normaliser.clip).astype(np.float32))
