"""A layer that keeps some numbers of an observation and hides the others, such as velocities."""

from typing import Any

import gymnasium
import numpy as np


class Keep(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Shows the numbers at some places of an observation that is one array."""

    def __init__(self, environment: gymnasium.Env[Any, Any], *, places: list[int]) -> None:
        """Set up. Args: places: Those to keep, counted from 0."""
        super().__init__(environment)
        space = environment.observation_space
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1 or not places:
            raise ValueError(f"keeps places of one row of numbers, and this task shows {space}")
        self._places = np.array(places)
        self.observation_space = gymnasium.spaces.Box(
            space.low[self._places], space.high[self._places], dtype=space.dtype
        )

    def observation(self, observation: Any) -> Any:
        """Return what is shown."""
        return observation[self._places]
