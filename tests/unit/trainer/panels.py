"""A control panel: every timestep it shows a goal, and pays the share of the goal that the action is.

So a policy that has learned returns 1 a timestep, eight an episode, whatever kind of action it is, however the goal is
shown and whoever says which actions are allowed. An action that is not allowed is an error. Registered as
`panels:Panel-v0`.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH = 8
ACTIONS: dict[str, spaces.Space[Any]] = {
    "choice": spaces.Discrete(4),
    "dials": spaces.MultiDiscrete([3, 2]),
    "switches": spaces.MultiBinary(3),
    "numbers": spaces.Box(-1.0, 1.0, (2,), np.float32),
}


class Panel(gymnasium.Env[Any, Any]):
    """Shows a goal.

    Args:
        action: Kind of actions.
        shows: How the goal is shown: `plain`, or in a `dict`, a `tuple`, or a dict with a `picture`.
        masks: Who says what is allowed: a `method`, the `observation`, the `info`, or nobody.
        side: Of the picture, pixels.
    """

    def __init__(self, action: str = "choice", shows: str = "plain", masks: str = "", side: int = 36) -> None:
        self.action_space, self.shows, self.masks = ACTIONS[action], shows, masks
        goal, noise = ACTIONS[action], spaces.Box(-np.inf, np.inf, (2, 1), np.float64)
        lamps, eye = spaces.MultiBinary([2, 2]), spaces.Box(0, 255, (side, 40, 3), np.uint8)
        parts: dict[str, spaces.Space[Any]] = {"noise": noise, "lamps": lamps, "goal": goal}
        if shows == "picture":
            parts["eye"] = eye
        if masks == "observation":
            parts["action_mask"] = spaces.MultiBinary(self._width())
        self.parts = parts
        self.observation_space = {
            "plain": goal,
            "dict": spaces.Dict(parts),
            "picture": spaces.Dict(parts),
            "tuple": spaces.Tuple(list(parts.values())),
        }[shows]
        if masks == "method":
            self.action_masks = lambda: self.mask

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = LENGTH
        return self._next()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(np.asarray(action, self.action_space.dtype)):
            raise ValueError(f"{action} is no action of {self.action_space}")
        if self.masks and not self.mask[self._places(action)].all():
            raise ValueError(f"{action} is not allowed by {self.mask}")
        if isinstance(self.action_space, spaces.MultiBinary):
            assert np.asarray(action).dtype.kind == "i", "switches are whole"
        if isinstance(self.action_space, spaces.Box):
            paid = 1.0 - float(np.abs(action - self.goal).mean()) / 2
        else:
            paid = float((np.asarray(action) == self.goal).mean())
        self.left -= 1
        return (observed := self._next())[0], paid, self.left == 0, False, observed[1]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "action_masks"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.masks == "method":
            self.action_masks = lambda: self.mask

    def _next(self) -> tuple[Any, dict[str, Any]]:
        draw = self.np_random
        if isinstance(self.action_space, spaces.Box):
            self.goal = draw.uniform(-1, 1, 2).astype(np.float32)
        else:
            sizes = _sizes(self.action_space)
            self.goal = draw.integers(0, sizes)
            if isinstance(self.action_space, spaces.Discrete):
                self.goal = int(self.goal[0])
            self.goal = np.int64(self.goal) if np.ndim(self.goal) == 0 else self.goal.astype(self.action_space.dtype)
            self.mask = draw.integers(0, 2, sum(sizes)).astype(bool)
            self.mask[self._places(self.goal)] = True
        info = {"action_mask": self.mask.astype(np.int8)} if self.masks == "info" else {}
        if self.shows == "plain":
            return self.goal, info
        parts = {
            "goal": self.goal,
            "noise": draw.normal(0.0, 0.1, (2, 1)),
            "lamps": draw.integers(0, 2, (2, 2)).astype(np.int8),
            "eye": draw.integers(0, 256, self.parts["eye"].shape, np.uint8) if self.shows == "picture" else None,
            "action_mask": self.mask.astype(np.int8) if self.masks == "observation" else None,
        }
        shown = {key: parts[key] for key in self.parts}
        return (tuple(shown.values()) if self.shows == "tuple" else shown), info

    def _places(self, action: Any) -> np.ndarray:
        """Return where a mask says whether an action is allowed."""
        sizes = _sizes(self.action_space)
        return np.ravel(action).astype(int) + np.cumsum([0, *sizes[:-1]])

    def _width(self) -> int:
        return sum(_sizes(self.action_space))


def _sizes(space: spaces.Space[Any]) -> list[int]:
    """How many actions each choice has."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    return space.nvec.tolist() if isinstance(space, spaces.MultiDiscrete) else [2] * int(space.n)


class Nested(Panel):
    """Parts within parts."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict({"arm": spaces.Dict({"angle": spaces.Discrete(2)})})


class Counted(Panel):
    """A goal that is counted from 1."""

    def __init__(self, shows: str = "plain") -> None:
        super().__init__(shows=shows)
        goal = spaces.Discrete(4, start=1)
        self.observation_space = goal if shows == "plain" else spaces.Dict({"goal": goal})


class Reserved(Panel):
    """A part under a name that torch has taken."""

    def __init__(self) -> None:
        super().__init__(shows="dict")
        self.observation_space = spaces.Dict({"values": spaces.Discrete(4)})

    def _next(self) -> tuple[Any, dict[str, Any]]:
        parts, info = super()._next()
        return {"values": parts["goal"]}, info


for name, task in (("Panel", Panel), ("Nested", Nested), ("Counted", Counted), ("Reserved", Reserved)):
    gymnasium.register(id=f"{name}-v0", entry_point=task, max_episode_steps=50)
