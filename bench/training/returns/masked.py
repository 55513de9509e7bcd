"""A layer that forbids actions where an observation says so, for tasks that have no masks of their own."""

from typing import Any, TypedDict

import gymnasium
import numpy as np


class Rule(TypedDict, total=False):
    """Forbids `action` while the number at `place` of the observation is above or below a bound."""

    place: int
    above: float
    below: float
    action: int


class Forbid(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Says in its info which actions are allowed, and refuses the others."""

    def __init__(self, environment: gymnasium.Env[Any, Any], *, rules: list[Rule]) -> None:
        super().__init__(environment)
        self._rules = rules
        self._allowed = np.ones(0, dtype=np.int8)

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(**how)
        return observation, info | {"action_mask": self._mask(observation)}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act. Raises: ValueError for an action that is forbidden."""
        if not self._allowed[int(action)]:
            raise ValueError(f"action {action} is forbidden here")
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, info | {"action_mask": self._mask(observation)}

    def _mask(self, observation: np.ndarray) -> np.ndarray:
        self._allowed = np.ones(self.env.action_space.n, dtype=np.int8)  # type: ignore[attr-defined]  a choice
        for rule in self._rules:
            number = observation[rule["place"]]
            if number > rule.get("above", np.inf) or number < rule.get("below", -np.inf):
                self._allowed[rule["action"]] = 0
        return self._allowed
