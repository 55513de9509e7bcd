"""How much of an outcome is known before the policy acts, and what that takes off its spread.

The covariate x is made of an episode's first observation by one and the same function on both sides: which fifth of its
values stable's critic gives it, as a number. Which side an episode goes to is decided without looking at it, so the
means of x are equal but for chance, and `outcome - slope * x` compares the same two means with less noise. The slope of
a window comes from the windows before it; fitted within the window it would be a look at the answer.

Fifths, because a window can then say of each what it says of all (count, mean, M2, ends), and the bet pays for them as
exactly as for the whole. And they bound x closely: what is taken off widens the range, and a wide range costs.

A window is judged so where the covariate of *every* counted episode of both sides is known. Which ones are is settled
by what the pods hold, before anything is observed.

Source: Deng, Xu, Kohavi, Walker, "Improving the sensitivity of online controlled experiments by utilizing
pre-experiment data", WSDM 2013. Per window, with the slope of earlier ones, within a bet is ours: docs/decisions/027.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVELS = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])  # the covariate of an episode by its level, 0 to 4
END = 0.8  # |covariate| is never more
FRACTIONS = (1.0, 0.7, 0.4)  # of the slope: where the range is wide, less is taken off, and stakes may be larger
BORROWED = 20.0  # episodes of stable's that stand in for a candidate with few
BY_CHANCE = 8.0  # of n episodes 1 / n of the spread seems explained by chance; so many times that is held back


@dataclass(frozen=True, slots=True)
class Covariate:
    """One side's counted episodes per window and level, (…, window, level); where it is not known all counts are 0."""

    known: NDArray[np.bool_]  # (…, window): of every counted episode
    over: NDArray[np.bool_]  # (…, window): no more episodes will be counted
    count: Array
    mean: Array  # of the outcomes; any finite number where count is 0, and so are the next three
    m2: Array
    low: Array
    high: Array

    def mirrored(self) -> Covariate:
        """Return the same of the outcomes with the sign turned."""
        return replace(self, mean=-self.mean, low=-self.high, high=-self.low)


@dataclass(frozen=True, slots=True)
class EarlierCovariate:
    """What stable's episodes before the first window say; numbers, or arrays of one window."""

    free: float | Array  # episodes less one
    outcome_m2: float | Array
    m2: float | Array
    cross: float | Array

    def mirrored(self) -> EarlierCovariate:
        """Return the same beside the outcomes with the sign turned."""
        return replace(self, cross=-self.cross)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The slope of every window and what it leaves of the spread, from what came before; arrays (…, window)."""

    slope: Array  # in the outcome's unit; 0 where nothing is known yet
    explained_c: Array  # share of the candidate's variance that it takes off, less what chance would
    explained_s: Array
    level: Array  # mean of x
    share: Array  # of the candidate among the episodes so far
    known: NDArray[np.bool_]  # the window itself has the covariate of every episode

    @property
    def explains(self) -> Array:
        """The share of the variance of what is compared that the covariate takes away."""
        explained: Array = (1 - self.share) * self.explained_c + self.share * self.explained_s
        return explained

    def less(self, fraction: float) -> Adjustment:
        """Return the adjustment by a fraction of the slope, or nearly: each side is taken for alike."""
        part = 1 - (1 - fraction) ** 2
        return replace(
            self,
            slope=fraction * self.slope,
            explained_c=part * self.explained_c,
            explained_s=part * self.explained_s,
        )


@dataclass(frozen=True, slots=True)
class Side:
    """What is needed of one side's windows."""

    count: Array
    mean: Array  # of the outcomes, as m2
    m2: Array
    covariate: Covariate


def adjustment(candidate: Side, stable: Side, earlier: EarlierCovariate | None) -> Adjustment:
    """Return how the outcomes of each window are adjusted, from the windows before it.

    The slope is the one that leaves least of the variance that a bet meets, in which the smaller side weighs more.
    """
    counts = _so_far(candidate.count), _so_far(stable.count)
    share = np.where(counts[0] + counts[1] > 0, counts[0] / np.maximum(counts[0] + counts[1], 1.0), 0.5)
    of_s = _Sums(*map(_so_far, sums(stable)))
    if earlier is not None:
        parts = (earlier.free, earlier.outcome_m2, earlier.m2, earlier.cross)
        of_s = of_s.plus(_Sums(*(np.asarray(part, dtype=np.float64) for part in parts)))
    of_c = _Sums(*map(_so_far, sums(candidate))).plus(of_s, np.minimum(BORROWED / np.maximum(of_s.free, 1.0), 1.0))
    weights = [
        weight / np.where(side.outcome_m2 > 0, side.free, np.inf) for weight, side in ((1 - share, of_c), (share, of_s))
    ]
    cross, m2 = (weights[0] * getattr(of_c, part) + weights[1] * getattr(of_s, part) for part in ("cross", "m2"))
    slope = np.where(m2 > 0, cross / np.where(m2 > 0, m2, 1.0), 0.0)
    seen = candidate.covariate.count + stable.covariate.count
    level = _so_far(seen @ LEVELS) / np.maximum(_so_far(seen.sum(axis=-1)), 1.0)
    known = candidate.covariate.known & stable.covariate.known
    return Adjustment(slope, of_c.explained(slope), of_s.explained(slope), level, share, known)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of one side's episodes with a covariate before each window."""

    free: Array
    outcome_m2: Array
    m2: Array
    cross: Array

    def plus(self, other: _Sums, weight: Array | float = 1.0) -> _Sums:
        """Return both together."""
        return _Sums(
            self.free + weight * other.free,
            self.outcome_m2 + weight * other.outcome_m2,
            self.m2 + weight * other.m2,
            self.cross + weight * other.cross,
        )

    def explained(self, slope: Array) -> Array:
        """Return the share of the variance that goes once `slope * x` is taken off."""
        taken = slope * (2 * self.cross - slope * self.m2)
        share = taken / np.where(self.outcome_m2 > 0, self.outcome_m2, np.inf)
        explained: Array = np.minimum(share, 1.0) - BY_CHANCE / np.maximum(self.free, 1.0)
        return explained


def sums(side: Side) -> tuple[Array, Array, Array, Array]:
    """Return of each window: episodes less one, M2 of the outcome, of x, and the sum of the products of both."""
    x = side.covariate
    off_x = LEVELS - ((x.count @ LEVELS) / np.maximum(side.count, 1.0))[..., np.newaxis]
    m2 = (x.count * off_x**2).sum(axis=-1)
    cross = (x.count * off_x * (x.mean - side.mean[..., np.newaxis])).sum(axis=-1)
    free, outcome_m2 = (np.where(x.known, part, 0.0) for part in (np.maximum(side.count - 1, 0.0), side.m2))
    return free, outcome_m2, m2, cross


def _so_far(values: Array) -> Array:
    """Return the sum over the windows before each."""
    return np.cumsum(values, axis=-1) - values
