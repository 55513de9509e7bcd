"""Between what a mean and a quantile lie, for samples of any shape: exact where the usual t interval is not.

A policy's returns are rarely normal. One episode in fifty that fails badly decides its mean, and fifty episodes may not
show one. So the bounds here count what was not seen: as an outcome at the end of the range, with the weight that a
sample of that size cannot rule out.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 10_000  # of the weights: a bound is known to about a hundredth of its distance from the mean
AT_ONCE = 2_000_000  # numbers in memory
_SEED = 20_190_506  # any constant: the same sample always has the same bounds


def mean_bounds(values: Floats, *, low: float, high: float, alpha: float) -> tuple[float, float]:
    """Return a lower and an upper bound of the mean that `values` were drawn from, each wrong with probability alpha.

    For outcomes of 0 and 1 they are Clopper and Pearson's, up to the Monte Carlo error of DRAWS. Of n equal values the
    lower one is `low` with the weight 1 - alpha^(1/n), about 3/n at alpha = 0.05: the rule of three, and exact.

    Args:
        values: (n,), independent; n is 1 or more.
        low, high: Between what every value lies, drawn or not. The bounds are as good as these are.
        alpha: In (0, 0.5].
    Raises: ValueError for no values, or a value outside `low` and `high`.
    Source: Learned-Miller & Thomas, "A New Confidence Interval for the Mean of a Bounded Random Variable",
        arXiv:1905.06208 (2019), definition 1. That it holds at every n is proved for two-point distributions and
        conjectured beyond; `tests/long/trainer/test_gate_coverage.py` measures it.
    """
    if not len(values):
        raise ValueError("bounds of the mean of no values are undefined: pass at least one")
    if values.min() < low or values.max() > high:
        raise ValueError(f"values reach from {values.min()} to {values.max()}, outside {low} to {high}")
    return -_upper(-values, -low, alpha), _upper(values, high, alpha)


def quantile_bounds(values: Floats, *, share: float, alpha: float) -> tuple[float, float]:
    """Return a lower and an upper bound of the quantile below which `share` of all values lie, each wrong with
    probability alpha at most. An infinite upper bound: there are too few values for one.

    Args:
        values: (n,), independent.
        share: In (0, 1).
    Source: David & Nagaraja, "Order Statistics", 3rd edition, 2003, section 7.1: the number of values below the
        quantile is binomial, whatever their distribution.
    """
    count, ordered = len(values), np.sort(values)
    below = _binomial_cdf(count, share)  # [k]: probability that at most k values lie below the quantile
    lower = int(np.searchsorted(below, alpha, side="right"))  # the largest k with P(fewer than k below) <= alpha
    upper = int(np.searchsorted(below, 1 - alpha))  # the smallest k with P(more than k below) <= alpha
    return (
        float(ordered[lower - 1]) if lower > 0 else -math.inf,
        float(ordered[upper]) if upper < count else math.inf,
    )


def _upper(values: Floats, high: float, alpha: float) -> float:
    """The 1 - alpha quantile of the mean of the sample and `high` under random weights, uniform on the simplex."""
    if (
        values.min() == values.max()
    ):  # the weight of `high` is one of n + 1 parts, Beta(1, n), whose quantiles are known
        return float(values[0] + (high - values[0]) * (1 - alpha ** (1 / len(values))))
    generator = np.random.default_rng(_SEED)
    outcomes, counts = np.unique(np.append(values, high), return_counts=True)  # weights of equal outcomes add up
    rows = max(1, AT_ONCE // len(outcomes))
    means = []
    for first in range(0, DRAWS, rows):
        weights = generator.standard_gamma(counts, (min(rows, DRAWS - first), len(outcomes)))
        means.append(weights @ outcomes / weights.sum(axis=1))
    bound = np.quantile(np.concatenate(means), 1 - alpha, method="higher")
    return float(min(max(bound, values.mean()), high))


def _binomial_cdf(count: int, share: float) -> Floats:
    k = np.arange(count + 1)
    log_factorial = np.array([math.lgamma(i + 1) for i in range(count + 1)])
    log_choose = log_factorial[count] - log_factorial - log_factorial[::-1]
    return np.cumsum(np.exp(log_choose + k * math.log(share) + (count - k) * math.log1p(-share)))
