"""Logs whose best policy, and whose behaviour, are known some other way."""

from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
from dataset_files import dataset_columns, parquet
from gymnasium import spaces

from belay_trainer.datasets.dataset import Dataset

CELLS = 5
gymnasium.register(id="LoggedCorridor-v0", entry_point="offline_worlds:LoggedCorridor", max_episode_steps=100)
Act = Callable[[np.ndarray, np.random.Generator], np.ndarray | int]


def balance(observation: np.ndarray, generator: np.random.Generator) -> int:
    """Keep CartPole's pole up: it seldom falls in 500 timesteps."""
    del generator
    return int(observation[2] + 0.3 * observation[3] + 0.05 * observation[0] + 0.1 * observation[1] > 0)


def either(observation: np.ndarray, generator: np.random.Generator) -> int:
    """Push left or right by chance."""
    del observation
    return int(generator.integers(2))


def swing(observation: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Swing Pendulum up by its energy, and hold it: about -160 an episode."""
    del generator
    cosine, sine, speed = (float(value) for value in observation)
    if cosine > 0.9:
        return np.array([-10.0 * np.arctan2(sine, cosine) - 2.0 * speed])
    missing = 15.0 - (speed**2 / 2 + 15.0 * cosine)  # of the energy that it has upright and at rest
    return np.array([2.0 * np.sign(missing) * (1.0 if speed >= 0 else -1.0)])


class LoggedCorridor(gymnasium.Env):
    """Cells in a row, shown one-hot beside a number that means nothing, so that no two episodes are copies.

    An episode begins in the middle and ends at either end; the right one pays 1.
    """

    observation_space = spaces.Box(0.0, 1.0, (CELLS + 1,), np.float32)
    action_space = spaces.Discrete(2)
    cell = CELLS // 2

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cell = CELLS // 2
        return self._shown(), {}

    def step(self, action):
        self.cell += 1 if action else -1
        ended = self.cell in (0, CELLS - 1)
        return self._shown(), float(self.cell == CELLS - 1), ended, False, {}

    def _shown(self):
        return np.append(np.eye(CELLS)[self.cell], self.np_random.random()).astype(np.float32)


def strays(right: float) -> Act:
    """In the corridor's middle go right with this probability: with less than one half, a copy of it goes left.

    Elsewhere go on towards the nearer end, mostly.
    """

    def act(observation: np.ndarray, generator: np.random.Generator) -> int:
        cell = int(observation[:CELLS].argmax())
        chance = right if cell == CELLS // 2 else 0.9 if cell > CELLS // 2 else 0.1
        return int(generator.random() < chance)

    return act


def one_step(actions: np.ndarray, rewards: np.ndarray) -> Dataset:
    """Episodes of one timestep that all begin alike."""
    n = len(rewards)
    return Dataset(
        observations=np.zeros((n, 1), np.float32),
        actions=actions,
        rewards=rewards,
        starts=np.arange(n + 1),
        terminated=np.ones(n, bool),
        ids=tuple(map(str, range(n))),
    )


def anyhow(observation: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Turn Pendulum by chance."""
    del observation
    return generator.uniform(-2.0, 2.0, 1)


def play(id: str, policies: list[tuple[Act, int]], *, seed: int = 0, follows: bool = True) -> Dataset:
    """Log episodes of an environment.

    Args:
        policies: Each with how many episodes it plays.
        follows: Whether it is logged what followed the last action.
    """
    environment, generator = gymnasium.make(id), np.random.default_rng(seed)
    rows: dict[str, list] = {"observation": [], "action": [], "reward": []}
    starts, terminated_all, last = [0], [], []
    for act, episodes in policies:
        for _ in range(episodes):
            observation, _ = environment.reset(seed=int(generator.integers(2**31)))
            ended = terminated = False
            while not ended:
                action = act(observation, generator)
                if not isinstance(action, int):
                    action = np.clip(action, environment.action_space.low, environment.action_space.high)
                rows["observation"].append(observation)
                rows["action"].append(action)
                observation, reward, terminated, truncated, _ = environment.step(action)
                rows["reward"].append(float(reward))
                ended = terminated or truncated
            starts.append(len(rows["reward"]))
            terminated_all.append(terminated)
            last.append(observation)
    return Dataset(
        observations=np.array(rows["observation"]),
        actions=np.array(rows["action"]),
        rewards=np.array(rows["reward"]),
        starts=np.array(starts, dtype=np.intp),
        terminated=np.array(terminated_all),
        ids=tuple(str(number) for number in range(len(terminated_all))),
        last_observations=np.array(last) if follows else None,
    )


def write(path: Path, dataset: Dataset) -> Path:
    """Write it as Parquet, with what followed the last action where that is known."""
    columns = dataset_columns(dataset)
    if dataset.last_observations is not None:
        following = np.zeros_like(columns["observation"])
        following[dataset.starts[1:] - 1] = dataset.last_observations
        columns["next_observation"] = following
    return parquet(path, {name: value for name, value in columns.items() if value is not None})
