"""Tasks that fail, each in a way of its own; they reach the pods of test_failures by a ConfigMap."""

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

WELL = 400  # timesteps of one copy before it begins: random actions are played for 250


class Well(gymnasium.Env):
    """Pays 1 for action 1, ten times an episode. `slow` is what a timestep takes, seconds."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, slow: float = 0.0) -> None:
        self.slow = slow
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = 10
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        time.sleep(self.slow)
        self.steps += 1
        self.left -= 1
        if self.steps > WELL:
            self.fail()
        return self._observation(), float(action), self.left == 0, False, {}

    def fail(self) -> None:
        """Do what this task does wrong."""

    def _observation(self) -> np.ndarray:
        return self.np_random.uniform(-1.0, 1.0, 2).astype(np.float32)


class Explosive(Well):
    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward if self.steps <= WELL else float("inf"), terminated, truncated, info


class Hungry(Well):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []

    def fail(self) -> None:
        self.kept.append(b"x" * 2**26)


class Stuck(Well):
    def fail(self) -> None:
        time.sleep(3600)


class Broken(Well):
    def fail(self) -> None:
        raise RuntimeError("the simulator's licence has expired")


for task in (Well, Explosive, Hungry, Stuck, Broken):
    gymnasium.register(id=f"{task.__name__}-v0", entry_point=task, max_episode_steps=50)
