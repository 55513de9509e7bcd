"""How far two mean returns differ, with bounds that hold at every look.

A verdict looks again and again while episodes arrive, so a bound for one fixed sample size would be wrong
after a few looks. These bounds hold at all looks together (a confidence sequence), for means of any
distribution, once the samples are large enough for the central limit theorem: hence the floor. Outcomes that
are 0 or 1 have an exact test in `betting`.

The world changes during a rollout, for both sides alike. So nothing is pooled over time: each start window is
compared with itself, and the differences are averaged with the candidate's counts as weights. Which episodes
belong to a window, and what is missing, is settled before (the logbook counts by start and grace). A side with far
fewer episodes than the other borrows its variance (`_squared_error` says why).

Everything but `Moments` and `half_width` takes arrays with windows on the last axis and any leading axes,
so that `bench/verdict` runs the same code over thousands of rollouts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

FLOOR = 30  # episodes a side before a mean may decide anything: below, the normal approximation is not trusted
TIGHTEST_AT = 100  # candidate episodes; medians differ by under 5 % between 60 and 150 (`bench/verdict`)
MIN_PER_WINDOW = 2  # a window with one episode on a side has no variance of its own


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and spread of one sample, enough to merge samples without the single values."""

    count: int  # number of episodes
    mean: float  # in the unit of the returns; 0 when count is 0
    m2: float  # sum of squared deviations from the mean

    @property
    def variance(self) -> float:
        """Unbiased sample variance; raises ValueError below two episodes."""
        if self.count < 2:
            raise ValueError(f"a variance needs at least 2 episodes, got {self.count}")
        return self.m2 / (self.count - 1)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both samples together.

        Source: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American
            Statistician 37 (1983) 242-247; the pairwise form, which does not cancel.
        """
        count = self.count + other.count
        if count == 0:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * other.count / count
        return Moments(count, mean, self.m2 + other.m2 + delta * delta * self.count * other.count / count)


@dataclass(frozen=True, slots=True)
class Strata:
    """One side's moments per start window; arrays of equal shape, windows on the last axis."""

    count: Array
    mean: Array  # any finite number where count is 0
    m2: Array


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus stable over all usable windows; arrays of the leading shape, NaN where nothing is usable."""

    value: Array
    standard_error: Array
    reference: Array  # stable's mean under the candidate's weights: what a margin in percent refers to
    reference_error: Array  # its standard error
    candidate_count: Array  # episodes in usable windows
    stable_count: Array

    @property
    def count(self) -> Array:
        """The smaller sample: the one that limits the normal approximation."""
        return np.minimum(self.candidate_count, self.stable_count)


def boundary(count: ArrayLike, *, alpha: float, tightest_at: float) -> Array:
    """Return the number of standard errors a one-sided bound needs to hold at every look.

    Args:
        count: Episodes so far, at least 1.
        alpha: One-sided error over all looks, in (0, 0.25].
        tightest_at: Episodes at which the bound is narrowest; any positive value is valid.
    Raises: ValueError when alpha or tightest_at lies outside its range.
    Source: see `half_width`.
    """
    if not 0 < alpha <= 0.25:
        raise ValueError(f"alpha must lie in (0, 0.25], got {alpha}")
    if not tightest_at > 0:
        raise ValueError(f"tightest_at must be positive, got {tightest_at}")
    log = -2 * np.log(2 * alpha)
    scaled = np.asarray(count, dtype=np.float64) * ((log + np.log(log) + 1) / tightest_at)
    result: Array = np.sqrt(2 * (scaled + 1) / scaled * np.log1p(np.sqrt(scaled + 1) / (2 * alpha)))
    return result


def half_width(candidate: Moments, stable: Moments, *, alpha: float, tightest_at: int = TIGHTEST_AT) -> float:
    """Half-width of a one-sided bound on the difference of two mean returns, valid at every look.

    With probability at least 1 - alpha the true difference exceeds the observed one by no more than this
    at all looks together, once samples are large enough for the central limit theorem. For outcomes with
    known bounds use `betting`, which holds at any size.

    Args:
        candidate, stable: Count, mean and sum of squared deviations of the episode returns of the *same*
            time window, in the environment's own unit.
        alpha: One-sided error spent on this metric over the whole rollout, in (0, 0.25].
        tightest_at: Candidate episodes at which to be narrowest; any positive value is valid.
    Returns: In the unit of the returns; 0 when both samples are constant.
    Raises: ValueError when a sample has fewer than two episodes, or alpha lies outside its range.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic
        confidence sequences", Annals of Statistics 52 (2024) 2613-2640, doi:10.1214/24-AOS2408; one-sided form.
    Departs: The standard error is that of the difference, the count that of the smaller sample. What this
        costs is measured in `bench/verdict`.

    >>> candidate, stable = Moments(100, 420.0, 556_875.0), Moments(900, 483.0, 3_236_400.0)
    >>> round(half_width(candidate, stable, alpha=0.02, tightest_at=100), 1)
    24.2
    """
    error = (candidate.variance / candidate.count + stable.variance / stable.count) ** 0.5
    return float(error * boundary(min(candidate.count, stable.count), alpha=alpha, tightest_at=tightest_at))


def stratified_difference(candidate: Strata, stable: Strata, *, factor: ArrayLike = 1.0) -> Difference:
    """Return candidate - factor * stable, taken window by window and weighted with the candidate's counts.

    Pooling over windows would compare a candidate that ran mostly late with a stable policy that ran mostly
    early: when both sink during a ramp, an equal candidate looks worse (Simpson's paradox).

    Args:
        candidate, stable: The same windows on both sides. Windows with fewer than two episodes on either side
            are left out.
        factor: What stable is multiplied with, of the leading shape. 1 asks "worse?"; 0.9 asks "worse by more
            than 10 %?", with the error of stable's mean inside the margin accounted for.
    """
    usable = (candidate.count >= MIN_PER_WINDOW) & (stable.count >= MIN_PER_WINDOW)
    n_candidate, n_stable = np.where(usable, candidate.count, 0.0), np.where(usable, stable.count, 0.0)
    total = n_candidate.sum(axis=-1)
    weight = _ratio(n_candidate, total[..., np.newaxis])
    scale = np.asarray(factor, dtype=np.float64)

    reference = (weight * np.where(usable, stable.mean, 0.0)).sum(axis=-1)
    mean = (weight * np.where(usable, candidate.mean, 0.0)).sum(axis=-1)
    spread_candidate = _ratio(candidate.m2, n_candidate - 1)
    spread_stable = scale[..., np.newaxis] ** 2 * _ratio(stable.m2, n_stable - 1)
    squared_error = _squared_error(weight, (n_candidate, spread_candidate), (n_stable, spread_stable))
    squared_error = squared_error + _squared_error(weight, (n_stable, spread_stable), (n_candidate, spread_candidate))
    reference_error = (weight**2 * _ratio(stable.m2, n_stable * (n_stable - 1))).sum(axis=-1)

    empty = total == 0
    return Difference(
        value=np.where(empty, np.nan, mean - scale * reference),
        standard_error=np.where(empty, np.nan, np.sqrt(squared_error)),
        reference=np.where(empty, np.nan, reference),
        reference_error=np.where(empty, np.nan, np.sqrt(reference_error)),
        candidate_count=total,
        stable_count=n_stable.sum(axis=-1),
    )


def bound_width(difference: Difference, *, alpha: float, tightest_at: float = TIGHTEST_AT, floor: int = FLOOR) -> Array:
    """Half-width of a one-sided bound on a stratified difference; infinite while a side is below the floor."""
    ready = difference.count >= floor
    count = np.where(ready, difference.count, 1.0)
    width = difference.standard_error * boundary(count, alpha=alpha, tightest_at=tightest_at)
    return np.where(ready, width, np.inf)


def _squared_error(weight: Array, side: tuple[Array, Array], other: tuple[Array, Array]) -> Array:
    """Squared standard error of one side's weighted mean; each side is given by counts and variances per window.

    A thin sample of a skewed outcome misses the rare values, and then both its mean and its variance are too small:
    it is off and sure of it. At 5 % of the traffic, equal policies that succeed once in twenty episodes were rolled
    back in 30 % of rollouts. So the thinner side borrows the richer one's variance, the more the thinner it is, and
    never becomes surer by it. At equal counts nothing is borrowed.
    """
    (count, variance), (other_count, other_variance) = side, other
    times = np.maximum(_ratio(other_count, count), 1.0)
    borrowed = (variance + (times - 1) * other_variance) / times
    own, lent = ((weight**2 * _ratio(v, count)).sum(axis=-1) for v in (variance, borrowed))
    larger: Array = np.maximum(own, lent)
    return larger


def _ratio(numerator: Any, denominator: Any) -> Array:
    """Divide where the denominator is positive, else 0."""
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), 0.0)
