"""Parameters that miss the log least, how sure that is, and which of them the log does not tell.

Everything here is arithmetic on misses: (timesteps, numbers) at a point of the unit cube, whose every side is the range
of one parameter. Near the best point a miss is nearly linear in the parameters, and what the log tells is read off its
slopes there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from cmaes import CMA
from numpy.typing import NDArray

from belay_trainer.student import quantile

Floats = NDArray[np.float64]
Misses = Callable[[Floats], Floats]
"""Of a point of the cube, (parameters,), what is missed, (timesteps, numbers)."""

_SIGMA = 0.3  # of the search's first draws: the cube is one wide
_GENERATIONS = 60
_CLOSE = 0.003  # of the cube: what is left of a spread that the last steps need not go on with
_NOT_A_NUMBER = 1e30  # a simulator may answer that far from where it is meant to be
_STEPS = 30  # Gauss-Newton's; a few are taken
_DAMPED = 12  # tries of one of them, each ten times as short
_STILL = 1e-6  # of the cube: a step that ends the search
_SLOPE = 0.01  # of the cube: float32 observations say nothing of smaller differences
FELT = 1e-5
"""Standard deviations over a parameter's whole range: a smaller effect is rounding."""
APART = 3e-3
"""Of slopes scaled to length 1: where parameters can be exchanged for a smaller effect, nobody can tell them apart."""
_TIED = 0.03  # of the projection on what cannot be told apart: smaller entries are rounding
REPLICATES = 2_000


def search(misses: Misses, dimensions: int, *, seed: int) -> Floats:
    """Return a point from which the best one is downhill, wherever in the cube that is.

    Source: CMA-ES as `cmaes` has it (Nomura & Shibata 2024); it needs no slopes, and does not stop at the first valley.
    """
    evolution = CMA(mean=np.full(dimensions, 0.5), sigma=_SIGMA, bounds=np.tile([0.0, 1.0], (dimensions, 1)), seed=seed)
    best, least = np.full(dimensions, 0.5), loss(misses(np.full(dimensions, 0.5)))
    for _ in range(_GENERATIONS):
        told = []
        for _ in range(evolution.population_size):
            point = evolution.ask()
            told.append((point, loss(misses(point))))
        evolution.tell(told)
        point, found = min(told, key=lambda one: one[1])
        if found < least:
            best, least = point, found
        if np.std([point for point, _ in told], axis=0).max() < _CLOSE or evolution.should_stop():
            break
    return best


def descend(misses: Misses, point: Floats) -> Floats:
    """Return the best point downhill from this one.

    Source: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM Journal on Applied
        Mathematics 11 (1963) 431-441; the cube's sides stop a step, and what they stop is left out of the next.
    """
    missed, damping = misses(point), 1e-3
    for _ in range(_STEPS):
        slope = slopes(misses, point)
        information = np.einsum("tnp,tnq->pq", slope, slope)
        pull = np.einsum("tnp,tn->p", slope, missed)
        free = ~(((point <= 0) & (pull < 0)) | ((point >= 1) & (pull > 0))) & (np.diag(information) > 0)
        if not free.any():
            return point
        for _ in range(_DAMPED):
            inner = information[np.ix_(free, free)]
            step = np.zeros(len(point))
            step[free] = np.linalg.lstsq(inner + damping * np.diag(np.diag(inner)), pull[free], rcond=None)[0]
            there = np.clip(point + step, 0, 1)
            found = misses(there)
            if loss(found) < loss(missed):
                break
            damping *= 10
        else:
            return point
        moved = np.abs(there - point).max()
        point, missed, damping = there, found, damping / 10
        if moved < _STILL:
            return point
    return point


def slopes(misses: Misses, point: Floats) -> Floats:
    """Return how the predictions change with each parameter, (timesteps, numbers, parameters), over its whole range."""
    columns = []
    for parameter in range(len(point)):
        low, high = point.copy(), point.copy()
        low[parameter], high[parameter] = max(point[parameter] - _SLOPE, 0), min(point[parameter] + _SLOPE, 1)
        columns.append((misses(low) - misses(high)) / (high[parameter] - low[parameter]))
    return np.stack(columns, axis=-1)


def loss(missed: Floats) -> float:
    """Return the mean square."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = float(np.mean(np.square(missed)))
    return found if math.isfinite(found) else _NOT_A_NUMBER


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What the log tells of each parameter."""

    felt: NDArray[np.bool_]  # (parameters,); False: no prediction changes with it
    tied: NDArray[np.bool_]  # (parameters, parameters); True: it can be exchanged for the other one, or for itself
    low: Floats  # (parameters,); of its interval, from 0 to 1; 0 where it cannot be told
    high: Floats  # 1 where it cannot be told


def tell(
    slope: Floats, missed: Floats, episode: NDArray[np.intp], point: Floats, *, confidence: float, seed: int
) -> Told:
    """Return what a log tells of the parameters near the best point.

    Episodes are drawn with replacement, and from the best point of all of them one step of Gauss-Newton goes to the
    best one of those drawn. Directions in which no prediction changes are left out of it.

    Args:
        slope: (timesteps, numbers, parameters) of the predictions, over whole ranges.
        missed: (timesteps, numbers).
        episode: (timesteps,), from 0 without gaps; at least two.
        confidence: Of each interval by itself.
    Source: Davidson & MacKinnon, "Bootstrap testing in nonlinear models", International Economic Review 40 (1999)
        487-508, for the one step; Hesterberg, "What teachers should know about the bootstrap", The American
        Statistician 69 (2015) 371-386, for percentiles widened by Student's t and √(n/(n-1)), which few episodes need;
        Belsley, Kuh & Welsch, "Regression diagnostics", 1980, chapter 3, for what cannot be told apart.
    """
    count = slope.shape[-1]
    effect = np.sqrt(np.mean(slope**2, axis=(0, 1)))
    felt = effect > FELT
    tied = np.zeros((count, count), dtype=bool)
    low, high = np.zeros(count), np.ones(count)
    if not felt.any():
        return Told(felt, tied, low, high)
    scaled = slope[..., felt] / effect[felt]
    size, axes = np.linalg.eigh(np.einsum("tnp,tnq->pq", scaled, scaled) / (scaled.shape[0] * scaled.shape[1]))
    known = size > APART**2
    lost = axes[:, ~known] @ axes[:, ~known].T
    tied[np.ix_(felt, felt)] = np.abs(lost) > _TIED

    seen = scaled @ axes[:, known]
    episodes = int(episode.max()) + 1
    information = np.zeros((episodes, known.sum(), known.sum()))
    pull = np.zeros((episodes, known.sum()))
    np.add.at(information, episode, np.einsum("tnp,tnq->tpq", seen, seen))
    np.add.at(pull, episode, np.einsum("tnp,tn->tp", seen, missed))
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(episodes, np.full(episodes, 1 / episodes), size=REPLICATES).astype(np.float64)
    inverse = np.linalg.pinv(np.einsum("re,epq->rpq", drawn, information), hermitian=True)
    step = np.einsum("rpq,rq->rp", inverse, drawn @ pull) @ axes[:, known].T / effect[felt]
    tails = 100 * np.array(percentiles(episodes, confidence))
    ends = np.clip(point[felt] + np.percentile(step, tails, axis=0), 0, 1)
    clear = ~np.diag(tied)[felt]
    low[felt], high[felt] = np.where(clear, ends[0], 0), np.where(clear, ends[1], 1)
    return Told(felt, tied, low, high)


def difference(gain: Floats, episode: NDArray[np.intp], *, confidence: float, seed: int) -> tuple[float, float]:
    """Return between what the mean of `gain`, (timesteps,), lies, by episodes drawn with replacement."""
    episodes = int(episode.max()) + 1
    total, timesteps = np.bincount(episode, gain), np.bincount(episode)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(episodes, np.full(episodes, 1 / episodes), size=REPLICATES)
    low, high = np.percentile(drawn @ total / (drawn @ timesteps), 100 * np.array(percentiles(episodes, confidence)))
    return float(low), float(high)


def percentiles(episodes: int, confidence: float) -> tuple[float, float]:
    """Return which shares of replicates lie below the ends of an interval.

    >>> [round(one, 4) for one in percentiles(10, 0.95)], [round(one, 4) for one in percentiles(10_000, 0.95)]
    ([0.0086, 0.9914], [0.025, 0.975])
    """
    t = quantile((1 - confidence) / 2, episodes - 1)
    below = NormalDist().cdf(-math.sqrt(episodes / (episodes - 1)) * t)
    return below, 1 - below
