"""Logged episodes to walk through. Actions change nothing, so nothing can be measured here: it shows observations."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from belay_trainer.datasets.dataset import Dataset


class Replay(gymnasium.Env[Any, Any]):
    """Episode `seed` of a dataset, modulo their number, whatever is done; all rewards are 0."""

    def __init__(self, dataset: Dataset, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self._dataset, self._row, self._end = dataset, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Return the first observation of an episode."""
        del options
        episode = (seed or 0) % self._dataset.episodes
        self._row, self._end = (int(self._dataset.starts[place]) for place in (episode, episode + 1))
        return self._shown(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Return the next one."""
        del action
        self._row += self._row < self._end - 1
        return self._shown(), 0.0, False, self._row == self._end - 1, {}

    def _shown(self) -> np.ndarray:
        return np.asarray(self._dataset.observations[self._row])
