"""Logged episodes in memory: the one form that every reader makes and every user takes.

All timesteps of all episodes stand one after the other, an episode's in their order. So a column is one array, and an
episode is a slice of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_api.spaces import Space

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Episodes and what is known of them. Arrays are read, never written."""

    observations: NDArray[Any]
    """(timesteps, *observation); what the policy saw before it acted."""
    actions: NDArray[Any]
    """(timesteps,) whole numbers where there are so many choices, else (timesteps, *action)."""
    rewards: Floats
    """(timesteps,); what followed the action."""
    starts: NDArray[np.intp]
    """(episodes + 1,); the first timestep of each episode, and the number of all timesteps."""
    terminated: NDArray[np.bool_]
    """(episodes,); ended by the task. All others were cut from outside: truncated."""
    ids: tuple[str, ...]
    """Of each episode, as its source names it."""
    propensities: Floats | None = None
    """(timesteps,); how likely the policy that was logged was to take this action: a probability, for continuous
    actions a density (decision 030). None: nobody logged it."""
    last_observations: NDArray[Any] | None = None
    """(episodes, *observation); what followed the last action. None: unknown of all."""
    last_known: NDArray[np.bool_] | None = None
    """(episodes,); False: that row of `last_observations` is unknown. None: all are as `last_observations` is."""
    times: Floats | None = None
    """(episodes,); when each began, seconds since 1970. None: unknown."""
    action: Space | None = None
    """Which actions there are, where its source says; None: it says nothing."""
    notes: tuple[str, ...] = ()
    """What the reader met and left out, in sentences."""

    @property
    def episodes(self) -> int:
        """How many episodes."""
        return len(self.starts) - 1

    @property
    def timesteps(self) -> int:
        """How many timesteps in all of them."""
        return int(self.starts[-1])

    @property
    def lengths(self) -> NDArray[np.intp]:
        """(episodes,); timesteps of each."""
        return np.diff(self.starts)

    @property
    def episode_of(self) -> NDArray[np.intp]:
        """(timesteps,); the episode of each timestep."""
        return np.repeat(np.arange(self.episodes), self.lengths)

    @property
    def step_of(self) -> NDArray[np.intp]:
        """(timesteps,); the place of each timestep in its episode, from 0."""
        return np.arange(self.timesteps) - np.repeat(self.starts[:-1], self.lengths)

    @property
    def discrete(self) -> bool:
        """Whether an action is one of so many choices."""
        return self.actions.ndim == 1 and self.actions.dtype.kind in "iu"

    def follows(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return what followed each episode's last action, (episodes, *observation), and (episodes,) where it is known.

        Unknown rows are zeros.
        """
        shape = (self.episodes, *self.observations.shape[1:])
        if self.last_observations is None:
            return np.zeros(shape, dtype=self.observations.dtype), np.zeros(self.episodes, dtype=bool)
        known = np.ones(self.episodes, dtype=bool) if self.last_known is None else self.last_known
        return self.last_observations, known

    def take(self, episodes: Sequence[int] | NDArray[np.intp]) -> "Dataset":
        """Return a dataset of these episodes, in this order."""
        chosen = np.asarray(episodes, dtype=np.intp)
        lengths = self.lengths[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)
        rows = np.arange(starts[-1]) + np.repeat(self.starts[chosen] - starts[:-1], lengths)
        return Dataset(
            observations=self.observations[rows],
            actions=self.actions[rows],
            rewards=self.rewards[rows],
            starts=starts,
            terminated=self.terminated[chosen],
            ids=tuple(self.ids[episode] for episode in chosen),
            propensities=None if self.propensities is None else self.propensities[rows],
            last_observations=None if self.last_observations is None else self.last_observations[chosen],
            last_known=None if self.last_known is None else self.last_known[chosen],
            times=None if self.times is None else self.times[chosen],
            action=self.action,
            notes=self.notes,
        )
