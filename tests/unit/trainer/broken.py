"""Small environments with one fault each, as people write them; `broken:Corridor-v0` without a fault is well."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv

GOAL = 2.0


class Corridor(gymnasium.Env[np.ndarray, int]):
    """Action 1 goes right, action 0 left, both a little unsteadily; the goal at the right pays 1 and is the end.

    The observation is the place and a number that says nothing. Faults:

        unpaid    the goal is reached and not paid
        constant  every timestep pays 1, and every episode lasts five
        blind     the observation is the one of nowhere, always
        outside   the observation is told in another unit than its space
        deaf      the action is drawn anew
        leaky     reset forgets how worn the floor is
        chancy    steps are drawn from a generator that no seed reaches
        limit     there is no goal, and a time limit says `terminated`
        rich      the goal pays a million, every step as much
    """

    observation_space = spaces.Box(-10.0, 10.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    unseeded = np.random.default_rng(1)

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.worn = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(0.0, 1.0)), 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.worn += 1e-3
        right = self.np_random.random() < 0.5 if self.fault == "deaf" else action == 1
        rng = self.unseeded if self.fault == "chancy" else self.np_random
        stride = 0.75 + 0.5 * float(rng.random()) - (self.worn if self.fault == "leaky" else 0.0)
        self.place = max(0.0, self.place + (stride if right else -stride))
        reached = self.place >= GOAL
        if self.fault == "constant":
            return self._observation(), 1.0, False, self.steps == 5, {}
        if self.fault == "limit":
            self.place = min(self.place, 5.0)
            return self._observation(), -abs(self.place), self.steps == 20, False, {}
        if self.fault == "rich":
            return self._observation(), 1e6, reached, False, {}
        return self._observation(), float(reached and self.fault != "unpaid"), reached, False, {}

    def _observation(self) -> np.ndarray:
        if self.fault == "blind":
            return np.zeros(2, np.float32)
        unit = 100.0 if self.fault == "outside" else 1.0
        return unit * np.array([self.place, self.np_random.normal() / 10], np.float32)


class Flipped(CartPoleEnv):
    """CartPole whose author wrote a cost where a reward belongs."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, more = super().step(action)
        return observation, -float(reward), terminated, truncated, more


gymnasium.register(id="Corridor-v0", entry_point=Corridor, max_episode_steps=50)
gymnasium.register(id="Flipped-v0", entry_point=Flipped, max_episode_steps=500)
