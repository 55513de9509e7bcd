"""What an estimator is, and what several of them need: plain and weighted means over episodes, and effective sizes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from belay_trainer.datasets.dataset import Floats
from belay_trainer.ope.logged import Logged, Mean


@dataclass(frozen=True, slots=True)
class Estimated:
    """A number that was estimated from episodes, and what each of them has to do with it."""

    value: float
    influences: Floats
    """(episodes,); an episode that is met once more among n moves the number by its influence / n, to first order.

    Their mean is 0."""


@dataclass(frozen=True, slots=True)
class Fit:
    """An estimator that has seen the log."""

    estimated: Estimated
    effective: float
    """Episodes of the target's own that would tell as much as the log does; at most the logged ones."""
    mean_weight: Mean | None = None
    """Of the episodes' weights, which is 1 where the log holds what the target does; None: there are no weights."""
    problem: str | None = None
    """Why the estimate is worth nothing, whatever its effective size; None: nothing is known against it."""


class Estimator(Protocol):
    """One estimator, written as a module; its docstring has the formula, its source and what it assumes."""

    TITLE: str
    """In words, for reports."""
    BY_WEIGHTS: bool
    """Whether it rests on logged propensities; False: on a model alone."""

    def estimate(self, logged: Logged) -> Fit:
        """Return how the target's mean discounted return follows from the log. Raises: NotJudged."""


def mean_of(contributions: Floats) -> Estimated:
    """Return the mean of one number per episode."""
    value = float(contributions.mean())
    return Estimated(value, contributions - value)


def weighted_mean(weights: Floats, values: Floats, discounts: Floats) -> Estimated:
    """Return the discounted sum of each timestep's mean over episodes by weights.

    Args:
        weights, values: (episodes, timesteps).
        discounts: (timesteps,).
    """
    scaled = _scaled(weights)
    total = scaled.sum(axis=0)
    shares = np.divide(scaled, total, out=np.zeros_like(scaled), where=total > 0)
    means = (shares * values).sum(axis=0)
    return Estimated(float(means @ discounts), len(weights) * (shares * (values - means)) @ discounts)


def effective_size(weights: Floats) -> Floats:
    """Return (Σw)² / Σw² over the first axis; 0 where all weights are 0.

    Source: Kish, "Survey Sampling" (1965), 8.2; for importance weights Owen, "Monte Carlo theory, methods and examples"
        (2013), chapter 9.3.
    """
    scaled = _scaled(weights)
    sums, squares = scaled.sum(axis=0), (scaled**2).sum(axis=0)
    return np.asarray(np.divide(sums**2, squares, out=np.zeros_like(sums), where=squares > 0))


def by_episode(logged: Logged, estimated: Estimated) -> Fit:
    """Return the fit of an estimator with one weight per episode. Raises: NotJudged."""
    weights = logged.weights[:, -1]
    return Fit(estimated, float(effective_size(weights)), _mean(weights))


def by_decision(logged: Logged, estimated: Estimated) -> Fit:
    """Return the fit of an estimator with one weight per timestep. Raises: NotJudged.

    Its effective size is the harmonic mean of the timesteps' sizes, for variances add. Each timestep counts as its
    discount does, and as the target would still be under way there.
    """
    weights, sizes = logged.weights, effective_size(logged.weights)
    running = np.arange(logged.horizon) < logged.dataset.lengths[:, None]
    share = np.divide(
        (weights * running).sum(axis=0),
        weights.sum(axis=0),
        out=running.mean(axis=0),
        where=weights.sum(axis=0) > 0,
    )
    importance = logged.discounts * share
    importance /= importance.sum()  # the first timestep's is 1 before
    counted = importance > 0
    inverse = np.divide(importance, sizes, out=np.full_like(sizes, np.inf), where=sizes > 0)
    return Fit(estimated, float(1 / inverse[counted].sum()), _mean(weights @ importance))


def before(weights: Floats) -> Floats:
    """Return each timestep's weights before its action: those of the timestep before, and 1 at the start."""
    return np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)


def _mean(weights: Floats) -> Mean:
    return Mean(float(weights.mean()), float(weights.std() / np.sqrt(len(weights))))


def _scaled(weights: Floats) -> Floats:
    """Weights whose largest is 1 at each timestep: sums and squares of weights of 500 decisions are no numbers."""
    return np.asarray(weights / np.maximum(weights.max(axis=0), np.finfo(np.float64).tiny))
