"""What a linear model sees of an observation and an action: one number per thing it can tell apart.

Where there are few different observations each is a feature of its own, and the model is exact. Elsewhere random
cosines of several widths stand for all smooth functions.
"""

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.dataset import Dataset, Floats
from belay_trainer.ope.target import TargetPolicy

FEW = 256  # different observations; more are taken for numbers of a continuum
MOST = 512  # features of the exact model: its equations are solved in about a second
COSINES = 128  # of each width
WIDTHS = (0.5, 1.0, 2.0)  # of typical distances between observations: bends both sharper and wider than those
SAMPLE = 512  # timesteps from which a typical distance is taken
DRAWS = 8  # actions of a continuous policy for one observation


class Basis(Protocol):
    """Features of rows of numbers."""

    def __call__(self, rows: Floats) -> Floats:
        """Return (rows, features) for (rows, numbers)."""


class Features(Protocol):
    """Features of an observation and an action, and what the target policy makes of them."""

    def of(self, observations: NDArray[Any], actions: NDArray[Any]) -> Floats:
        """Return (rows, features)."""

    def expected(self, observations: NDArray[Any], generator: np.random.Generator) -> Floats:
        """Return (rows, features): their mean over the actions that the target takes there."""


def features_for(dataset: Dataset, policy: TargetPolicy, generator: np.random.Generator) -> Features:
    """Return features that fit a dataset."""
    follows, known = dataset.follows()
    # What followed the end of an episode is never asked for, and may be anything.
    observations = np.concatenate([_flat(dataset.observations), _flat(follows[known & ~dataset.terminated])])
    if policy.choices is None:
        both = np.concatenate([_flat(dataset.observations), _flat(dataset.actions)], axis=1)
        return Continuous(Cosines(both, generator), policy)
    different = np.unique(observations[: 50 * FEW], axis=0)
    if len(different) <= FEW:  # else there are too many already
        different = np.unique(observations, axis=0)
    if len(different) <= FEW and len(different) * len(policy.choices) <= MOST:
        return Discrete(Table(different), policy, policy.choices)
    return Discrete(Cosines(observations, generator), policy, policy.choices)


class Discrete:
    """Features of the observation for each choice apart. See `Features`."""

    def __init__(self, basis: Basis, policy: TargetPolicy, choices: NDArray[Any]) -> None:
        self._basis, self._policy, self._choices = basis, policy, choices

    def of(self, observations: NDArray[Any], actions: NDArray[Any]) -> Floats:
        """Return the observation's features in the place of the action, and zeros in those of others."""
        return self._placed(observations, (actions[:, None] == self._choices).astype(np.float64))

    def expected(self, observations: NDArray[Any], generator: np.random.Generator) -> Floats:
        """Return the observation's features in the place of each action, times its probability."""
        del generator
        return self._placed(observations, self._policy.probabilities(observations))

    def _placed(self, observations: NDArray[Any], shares: Floats) -> Floats:
        found = self._basis(_flat(observations))
        return (shares[:, :, None] * found[:, None, :]).reshape(len(found), -1)


class Continuous:
    """Features of the numbers of both. See `Features`."""

    def __init__(self, basis: Basis, policy: TargetPolicy) -> None:
        self._basis, self._policy = basis, policy

    def of(self, observations: NDArray[Any], actions: NDArray[Any]) -> Floats:
        """Return the features of observation and action, side by side."""
        return self._basis(np.concatenate([_flat(observations), _flat(actions)], axis=1))

    def expected(self, observations: NDArray[Any], generator: np.random.Generator) -> Floats:
        """Return the mean over some draws of the policy."""
        draws = DRAWS if self._policy.stochastic else 1
        drawn = (self.of(observations, self._policy.sample(observations, generator)) for _ in range(draws))
        return np.asarray(sum(drawn) / draws)


class Table:
    """A feature for each of some rows: 1 for that row, else 0. See `Basis`."""

    def __init__(self, rows: Floats) -> None:
        """Args: rows: All different, sorted as `numpy.unique` does."""
        self._keys = {row.tobytes(): place for place, row in enumerate(rows)}

    def __call__(self, rows: Floats) -> Floats:
        """Return one 1 a row."""
        found = np.zeros((len(rows), len(self._keys)))
        found[np.arange(len(rows)), [self._keys[row.tobytes()] for row in rows]] = 1.0
        return found


class Cosines:
    """A constant, the numbers themselves, and random cosines of them. See `Basis`.

    Source: Rahimi & Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007: the features of a Gaussian
        kernel.
    Departs: Three widths beside each other, about the median distance of two rows, in place of one that is tuned.
    """

    def __init__(self, rows: Floats, generator: np.random.Generator) -> None:
        """Take scale and typical distance from rows."""
        self._mean, spread = rows.mean(axis=0), rows.std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)
        some = self._scaled(rows[generator.integers(len(rows), size=SAMPLE)])
        distances = np.sqrt(((some[: SAMPLE // 2] - some[SAMPLE // 2 :]) ** 2).sum(axis=1))
        typical = float(np.median(distances)) or 1.0
        frequencies = [generator.standard_normal((rows.shape[1], COSINES)) / (width * typical) for width in WIDTHS]
        self._frequencies = np.concatenate(frequencies, axis=1)
        self._phases = generator.uniform(0, 2 * np.pi, self._frequencies.shape[1])

    def __call__(self, rows: Floats) -> Floats:
        """Return them, none larger than about 1."""
        scaled = self._scaled(rows)
        cosines = np.sqrt(2 / COSINES) * np.cos(scaled @ self._frequencies + self._phases)
        return np.concatenate([np.ones((len(rows), 1)), scaled, cosines], axis=1)

    def _scaled(self, rows: Floats) -> Floats:
        return (rows - self._mean) / self._scale


def _flat(rows: NDArray[Any]) -> Floats:
    """(rows, numbers); a 0 of either sign is the same number, but not the same bytes."""
    return np.ascontiguousarray(rows.reshape(len(rows), math.prod(rows.shape[1:])), dtype=np.float64) + 0.0
