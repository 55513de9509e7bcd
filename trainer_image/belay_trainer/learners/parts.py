"""Observations of several parts, between one row of numbers and the library's dicts.

Everything outside of the learners has the row that a network takes (`belay_heads.observations`). The library has
dicts by key, and no tuples: there their places become keys. Images it has with the channels first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch

from belay_heads.observations import Part, shape
from belay_trainer.environments import Environment
from belay_trainer.evaluate import Policy


def named(make: Callable[[], Environment]) -> Callable[[], Environment]:
    """Return what makes the environment as the library takes it."""

    def make_named() -> Environment:
        environment = make()
        return _Named(environment) if isinstance(environment.observation_space, gymnasium.spaces.Tuple) else environment

    return make_named


class _Named(gymnasium.ObservationWrapper[Any, Any, Any]):
    """A task that shows its tuple as a dict."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        spaces = environment.observation_space.spaces  # type: ignore[attr-defined]
        self.observation_space = gymnasium.spaces.Dict({str(place): space for place, space in enumerate(spaces)})

    def observation(self, observation: Any) -> dict[str, Any]:
        return {str(place): part for place, part in enumerate(observation)}


def joined(batch: Mapping[str, np.ndarray], parts: Sequence[Part]) -> np.ndarray:
    """Return rows (batch, number) of what the library has by key."""
    columns = [np.asarray(batch[str(part.key)], np.float64) for part in parts]
    return np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)


class OfRows:
    """A policy of the library that is asked with rows."""

    def __init__(self, policy: Policy, parts: Sequence[Part]) -> None:
        self._policy, self._parts = policy, parts

    def predict(self, observation: np.ndarray, **how: Any) -> tuple[np.ndarray, object]:
        """Return one action per observation."""
        by_key = {
            str(part.key): observation[:, part.first : part.first + part.size].reshape(-1, *shape(part.space))
            for part in self._parts
        }
        return self._policy.predict(by_key, **how)  # type: ignore[arg-type]


class Separated(torch.nn.Module):
    """A network of the library's dicts that takes rows."""

    def __init__(
        self,
        network: torch.nn.Module,
        parts: Sequence[Part],
        *,
        space: gymnasium.spaces.Dict,
        channels_last: Collection[str] = (),
    ) -> None:
        """Set up.

        Args:
            space: The library's.
            channels_last: Keys of images that a row holds with the channels last, and the library first.
        """
        super().__init__()
        self.network = network
        self.columns = [(str(part.key), part.first, part.first + part.size) for part in parts]
        self.shapes = {key: [-1, *(space[key].shape or ())] for key, _, _ in self.columns}
        self.channels_last = frozenset(channels_last)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what the network answers to (batch, number)."""
        return self.network({key: self._part(key, rows[:, first:end]) for key, first, end in self.columns})

    def _part(self, key: str, numbers: torch.Tensor) -> torch.Tensor:
        if key not in self.channels_last:
            return numbers.reshape(self.shapes[key])
        batch, channels, height, width = self.shapes[key]
        return numbers.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
