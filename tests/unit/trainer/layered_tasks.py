"""Environments that tell more than a reward, wrappers and potentials of a user's own; as `layered_tasks:<Id>-v0`."""

import itertools
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers.utils import RunningMeanStd
from stable_baselines3.common import running_mean_std
from tasks import Countdown


class Heater(Countdown):
    """A countdown that tells what each timestep costs: action 1 costs `heat`, and the last one 10 more by `wear`."""

    def __init__(self, heat: float = 0.5) -> None:
        super().__init__()
        self.heat = heat

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, _ = super().step(action)
        info = {"cost": self.heat * (action == 1), "words": "none"} | ({"wear": 10} if terminated else {})
        return observation, reward, terminated, truncated, info


class Unnumbered(Heater):
    """Tells a cost that is no number, in every third timestep of an episode."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        *others, info = super().step(action)
        return *others, info | ({"cost": float("nan")} if self.left == 2 else {})


class Noise(gymnasium.Env[np.ndarray, int]):
    """Pays what it draws, N(mean, spread), for 20 timesteps, whatever is done."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, mean: float = 0.0, spread: float = 100.0) -> None:
        self.mean, self.spread = mean, spread

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 20
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        reward = float(self.np_random.normal(self.mean, self.spread))
        return np.zeros(1, np.float32), reward, self.left == 0, False, {"loud": reward * reward}


class Maze(gymnasium.Env[int, int]):
    """Five places and an end, with transitions and rewards that a seed draws: small enough to be solved exactly."""

    observation_space = spaces.Discrete(6)
    action_space = spaces.Discrete(2)
    end = 5

    def __init__(self, drawn: int = 0) -> None:
        generator = np.random.default_rng(drawn)
        self.leads = generator.integers(0, 6, (5, 2))
        self.leads[4, 0] = self.end  # it can be reached
        self.pays = generator.normal(size=(5, 2))
        self.place = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = int((options or {}).get("place", 0))
        return self.place, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        reward = float(self.pays[self.place, action])
        self.place = int(self.leads[self.place, action])
        return self.place, reward, self.place == self.end, False, {}


class Halved(gymnasium.ObservationWrapper[np.ndarray, int, np.ndarray]):
    """A user's own layer."""

    def __init__(self, env: gymnasium.Env[np.ndarray, int], by: float = 2.0) -> None:
        super().__init__(env)
        self.by = by

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return (observation / self.by).astype(np.float32)


class Learning(Halved):
    """A user's own layer that learns while it is stepped."""

    def __init__(self, env: gymnasium.Env[np.ndarray, int]) -> None:
        super().__init__(env)
        self.seen = RunningMeanStd()


class LearningElsewhere(Halved):
    """The same with another library's statistics, in a collection."""

    def __init__(self, env: gymnasium.Env[np.ndarray, int]) -> None:
        super().__init__(env)
        self.seen = {"observation": running_mean_std.RunningMeanStd()}


HEIGHTS = np.array([3.0, -20.0, 11.0, 0.5, 7.0, 40.0])


def height(observation: int) -> float:
    """A potential of the maze's places, its end included."""
    return float(HEIGHTS[observation])


def time_left(observation: np.ndarray) -> float:
    """A potential of a countdown."""
    return 3.0 * float(observation[0])


def undefined(observation: np.ndarray) -> float:
    """No number."""
    return float("nan")


def always(observation: np.ndarray) -> int:
    """A controller that takes action 1."""
    return 1


def whim(observation: np.ndarray) -> int:
    """A controller that does as it likes."""
    return next(_whims)


_whims = itertools.cycle([0, 1, 1])

for name, task in (("Heater", Heater), ("Unnumbered", Unnumbered), ("Noise", Noise), ("Maze", Maze)):
    gymnasium.register(id=f"{name}-v0", entry_point=task, max_episode_steps=50)
