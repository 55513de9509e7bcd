"""Logged timesteps whose following observation is known."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """Timesteps, each with what followed."""

    observations: NDArray[Any]  # (timesteps, *observation)
    actions: NDArray[Any]  # (timesteps, *action)
    following: NDArray[Any]  # (timesteps, *observation)
    episode: NDArray[np.intp]  # (timesteps,), from 0 without gaps

    @classmethod
    def of(cls, dataset: Dataset, *, most: int) -> Self:
        """Return those of a dataset.

        Args:
            most: Of more, every second, third, … is taken, so that all episodes stay.
        Raises: BadConfiguration when there is none.
        """
        follows, known = dataset.follows()
        last = dataset.starts[1:] - 1
        following = np.concatenate([dataset.observations[1:], dataset.observations[:1]])
        following[last] = follows
        used = np.ones(dataset.timesteps, dtype=bool)
        used[last] = known & np.isfinite(follows.reshape(dataset.episodes, -1)).all(axis=1)
        rows = np.flatnonzero(used)
        if not len(rows):
            raise BadConfiguration(
                "dataset: of no timestep it is known what followed: every episode has one only. Log whole episodes, or "
                "the column `next_observation`."
            )
        rows = rows[:: -(-len(rows) // most)]
        _, episode = np.unique(dataset.episode_of[rows], return_inverse=True)
        return cls(dataset.observations[rows], dataset.actions[rows], following[rows], episode)

    def __len__(self) -> int:
        """How many."""
        return len(self.episode)

    @property
    def episodes(self) -> int:
        """How many episodes they are of."""
        return int(self.episode[-1]) + 1

    def every(self, most: int) -> Self:
        """Return at most so many of them, evenly."""
        step = -(-len(self) // most)
        _, episode = np.unique(self.episode[::step], return_inverse=True)
        return type(self)(self.observations[::step], self.actions[::step], self.following[::step], episode)
