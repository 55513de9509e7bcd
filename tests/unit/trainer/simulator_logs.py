"""Logs of a world that differs from the simulator, and simulators that are hard to set; as `simulator_logs:<Id>-v0`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from dataset_files import dataset_columns, parquet
from gymnasium import spaces

from belay_trainer.datasets.dataset import Dataset


def logged(
    path: Path,
    id: str,
    world: Mapping[str, Any],
    *,
    episodes: int,
    steps: int,
    noise: float,
    seed: int,
    act: Callable[[np.ndarray, np.random.Generator], Any] | None = None,
) -> Path:
    """Log episodes of a world.

    Args:
        world: Attributes that are set.
        noise: Of every observation, in standard deviations of its numbers over the log.
        act: What is done; None: anything.
    """
    environment = gymnasium.make(id)
    for name, value in world.items():
        setattr(environment.unwrapped, name, value)
    generator = np.random.default_rng(seed)
    environment.action_space.seed(seed)
    shown, actions, last, starts, terminated = [], [], [], [0], []
    for episode in range(episodes):
        observation, _ = environment.reset(seed=seed * 1_000 + episode)
        for _ in range(steps):
            action = environment.action_space.sample() if act is None else act(observation, generator)
            shown.append(observation)
            actions.append(action)
            observation, _, ended, truncated, _ = environment.step(action)
            if ended or truncated:
                break
        last.append(observation)
        starts.append(len(shown))
        terminated.append(ended)
    observations, follows = np.array(shown, np.float64), np.array(last, np.float64)
    spread = noise * observations.std(axis=0)
    observations += generator.normal(size=observations.shape) * spread
    follows += generator.normal(size=follows.shape) * spread
    dataset = Dataset(
        observations=observations,
        actions=np.array(actions),
        rewards=np.zeros(len(shown)),
        starts=np.array(starts),
        terminated=np.array(terminated),
        ids=tuple(f"{episode}" for episode in range(episodes)),
    )
    found = {name: column for name, column in dataset_columns(dataset).items() if column is not None}
    following = np.concatenate([observations[1:], observations[:1]])
    following[np.array(starts[1:]) - 1] = follows
    return parquet(path, found | {"next_observation": following})


class Cart(gymnasium.Env[np.ndarray, np.ndarray]):
    """A cart that is pushed, and rubs: what a push does hangs on gain / mass alone. `scale` moves nothing at all."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, friction: float = 0.5, gust: float = 0.0) -> None:
        self.friction, self.gust = friction, gust
        self.gain, self.mass, self.scale = 1.0, 1.0, 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._place, self._speed = self.np_random.normal(size=2)
        return self._shown(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        push = self.gain / self.mass * float(action[0]) + self.gust * self.np_random.normal()
        self._speed += 0.1 * (push - self.friction * self._speed)
        self._place += 0.1 * self._speed
        return self._shown(), 0.0, False, False, {}

    def _shown(self) -> np.ndarray:
        return np.array([self._place, self._speed], np.float32)


def put_cart(cart: Cart, observation: np.ndarray) -> None:
    """Put the cart where it was seen."""
    cart._place, cart._speed = observation


def put_cart_still(cart: Cart, observation: np.ndarray) -> None:
    """Put the cart where it was seen, and forget how fast it was."""
    cart._place, cart._speed = observation[0], 0.0


gymnasium.register("Cart-v0", entry_point=Cart, max_episode_steps=200)
