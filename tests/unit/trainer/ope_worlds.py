"""Small tasks whose policies have known values, and logs of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.dataset import Dataset, Floats


class Table:
    """A policy as a table of probabilities, (states, actions). See `TargetPolicy`."""

    def __init__(self, table: Any) -> None:
        self.table = np.asarray(table, dtype=np.float64)
        self.choices = np.arange(self.table.shape[1])
        self.stochastic = bool(((self.table > 0) & (self.table < 1)).any())

    def probabilities(self, observations: NDArray[Any]) -> Floats:
        return self.table[observations[:, 0].astype(int)]

    def log_propensity(self, observations: NDArray[Any], actions: NDArray[Any]) -> Floats:
        with np.errstate(divide="ignore"):
            return np.log(self.probabilities(observations)[np.arange(len(actions)), actions])

    def sample(self, observations: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
        raise AssertionError("asked of continuous policies only")


@dataclass(frozen=True)
class World:
    """A tabular task. Episodes end by themselves, with what is missing of 1 in `moves`."""

    moves: Floats  # (states, actions, states)
    pays: Floats  # (states, actions)
    begins: Floats  # (states,)
    noise: float = 0.5  # standard deviation of a reward

    def value(self, policy: Table, discount: float) -> float:
        """The mean discounted return, from the equations of the task and no sample."""
        return float(self.begins @ np.linalg.solve(self.operator(policy, discount), self.paid(policy)))

    def action_values(self, policy: Table, discount: float) -> Floats:
        """(states, actions)."""
        values = np.linalg.solve(self.operator(policy, discount), self.paid(policy))
        return self.pays + discount * self.moves @ values

    def operator(self, policy: Table, discount: float) -> Floats:
        return np.eye(len(self.begins)) - discount * np.einsum("sa,sat->st", policy.table, self.moves)

    def paid(self, policy: Table) -> Floats:
        return (policy.table * self.pays).sum(axis=1)

    def log(self, policy: Table, episodes: int, generator: np.random.Generator) -> Dataset:
        """Play episodes to their ends, all side by side."""
        ends = 1 - self.moves.sum(axis=2, keepdims=True)
        moves = np.cumsum(np.concatenate([self.moves, ends], axis=2), axis=2)
        state = generator.choice(len(self.begins), size=episodes, p=self.begins)
        who, columns = np.arange(episodes), []
        while len(who):
            action = _draw(np.cumsum(policy.table[state], axis=1), generator)
            reward = self.pays[state, action] + self.noise * generator.standard_normal(len(who))
            columns.append((who, state, action, reward, policy.table[state, action]))
            after = _draw(moves[state, action], generator)
            goes_on = after < len(self.begins)
            who, state = who[goes_on], after[goes_on]
        episode, state, action, reward, propensity = (np.concatenate(column) for column in zip(*columns, strict=True))
        order = np.argsort(episode, kind="stable")
        return Dataset(
            observations=state[order, None].astype(np.float64),
            actions=action[order],
            rewards=reward[order],
            starts=np.concatenate([[0], np.cumsum(np.bincount(episode, minlength=episodes))]),
            terminated=np.ones(episodes, dtype=bool),
            ids=tuple(str(number) for number in range(episodes)),
            propensities=propensity[order],
        )


def _draw(cumulative: Floats, generator: np.random.Generator) -> NDArray[np.intp]:
    """One choice a row; the last cumulative number is 1 up to rounding."""
    return np.minimum((generator.random(len(cumulative))[:, None] > cumulative).sum(axis=1), cumulative.shape[1] - 1)


def small_world() -> World:
    """Three states, two actions, about five timesteps an episode; the better action depends on the state."""
    moves = np.array(
        [
            [[0.1, 0.6, 0.1], [0.5, 0.1, 0.2]],
            [[0.3, 0.3, 0.2], [0.0, 0.2, 0.6]],
            [[0.2, 0.2, 0.4], [0.6, 0.1, 0.1]],
        ]
    )
    pays = np.array([[1.0, 0.0], [-0.5, 1.5], [0.2, 2.0]])
    return World(moves, pays, begins=np.array([0.6, 0.4, 0.0]))


LOGGING = Table([[0.6, 0.4], [0.5, 0.5], [0.7, 0.3]])
TARGET = Table([[0.75, 0.25], [0.35, 0.65], [0.55, 0.45]])
DISCOUNT = 0.9
