"""Observations that are changed, and stay observations: in their bounds and of their dtype."""

from dataclasses import dataclass
from typing import Any, Self

import gymnasium
import numpy as np

from belay_api.spaces import BoxSpace, Space
from belay_trainer.errors import BadConfiguration
from belay_trainer.validation.bounds import Floats


@dataclass(frozen=True, slots=True)
class Limits:
    """Between what each number of an observation lies; infinite where the space names no bound."""

    low: Floats  # (*observation)
    high: Floats
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, space: Space) -> Self:
        """Return those of a box. Raises: ValueError for another space; `require_numbers` comes first."""
        if not isinstance(space, BoxSpace):
            raise ValueError(f"{space} has no bounds: only a box has")
        low, high = (
            np.array([end if one is None else one for one in ends], dtype=np.float64).reshape(space.shape)
            for ends, end in ((space.low, -np.inf), (space.high, np.inf))
        )
        return cls(low, high, np.dtype(space.dtype))

    def within(self, observation: np.ndarray) -> np.ndarray:
        """Return the nearest observations that the space has."""
        inside = np.clip(observation, self.low, self.high)
        return (inside if self.dtype.kind == "f" else np.rint(inside)).astype(self.dtype)


def require_numbers(space: gymnasium.Space[Any], what: str, *, fractions: bool = False) -> None:
    """Check that observations can be changed a little.

    Args:
        what: Needs it.
        fractions: Whole numbers, such as those of pictures, are not enough.
    Raises: BadConfiguration.
    """
    if not isinstance(space, gymnasium.spaces.Box):
        raise BadConfiguration(
            f"{what}: observations of {space} are not one array of numbers, and cannot be changed a little."
        )
    if fractions and space.dtype.kind != "f":
        raise BadConfiguration(f"{what}: observations are whole numbers ({space.dtype}), and have no gradient.")
