"""Student's t: how far means of few numbers lie from the truth by chance.

A normal quantile takes the spread of a sample for the true one. With ten numbers that matters: a test that should err
in 5 of 100 cases errs in 8, and one that should err in 1 of 10,000 errs in 24.
"""

import math
from collections.abc import Sequence

_TINY = 1e-300
_CLOSE = 1e-12  # relative
_MOST_TERMS = 10_000


def welch(gain: float, errors: Sequence[float], sizes: Sequence[int]) -> float:
    """Return the probability with which, of two equal means, one comes out above the other by `gain` or more.

    Args:
        errors: Standard error of each mean.
        sizes: Independent numbers behind each, 2 or more.
    Source: Welch, "The generalization of 'Student's' problem when several different population variances are
        involved", Biometrika 34 (1947) 28-35, with the degrees of freedom of Satterthwaite, Biometrics Bulletin 2
        (1946) 110-114.

    >>> round(welch(2.0, [0.5, 0.5], [10, 10]), 4), round(welch(2.0, [0.5, 0.0], [10, 100]), 4)
    (0.0056, 0.0016)
    """
    variances = [error**2 for error in errors]
    total = math.fsum(variances)
    if total == 0:
        return 0.0 if gain > 0 else 1.0
    shares = math.fsum((variance / total) ** 2 / (size - 1) for variance, size in zip(variances, sizes, strict=True))
    return tail(gain / math.sqrt(total), 1 / shares)


def quantile(above: float, degrees: float) -> float:
    """Return what a number of Student's t exceeds with probability `above`, in (0, 0.5].

    >>> round(quantile(0.025, 9), 3), round(quantile(0.0001, 4), 3)
    (2.262, 13.034)
    """
    low, high = 0.0, 1.0
    while tail(high, degrees) > above:
        low, high = high, 2 * high
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, degrees) > above else (low, middle)
    return high


def tail(t: float, degrees: float) -> float:
    """Return the probability that a number of Student's t is above `t`.

    Source: NIST Digital Library of Mathematical Functions, 8.17: the regularised incomplete beta function, by its
        continued fraction (8.17.22).

    >>> round(tail(2.262, 9), 4), round(tail(-1.0, 1), 4), round(tail(1.96, 1e6), 4)
    (0.025, 0.75, 0.025)
    """
    if t <= 0:
        return 1 - tail(-t, degrees) if t < 0 else 0.5
    square = t * t / degrees
    below, above = 1 / (1 + square), 1 / (1 + 1 / square)  # which add up to 1, each without loss
    a = degrees / 2
    scale = math.lgamma(a + 0.5) - math.lgamma(a) - math.lgamma(0.5)
    if below < _TINY:
        return 0.0
    scale = math.exp(scale + a * math.log(below) + math.log(above) / 2)
    if below < (a + 1) / (a + 2.5):
        return scale * _fraction(below, a, 0.5) / a / 2
    return (1 - scale * _fraction(above, 0.5, a) / 0.5) / 2


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of the incomplete beta function.

    Source: Thompson, Barnett, "Coulomb and Bessel functions of complex arguments and order", Journal of Computational
        Physics 64 (1986) 490-509: Lentz's method.
    """
    value, upper, lower = 1.0, 1.0, 0.0
    for term in range(1, _MOST_TERMS):
        m = term // 2
        if term % 2:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 / ((1 + factor * lower) or _TINY)
        upper = (1 + factor / upper) or _TINY
        value *= upper * lower
        if abs(upper * lower - 1) < _CLOSE:
            return 1 / value
    raise ArithmeticError(f"the incomplete beta function of {x}, {a} and {b} does not converge")
