"""Logarithms of the normal distribution, as far out as a network may point."""

import math

import numpy as np
import pytest

from belay_heads.normal import TAIL, log_cdf, log_density


def by_continued_fraction(x: float) -> float:
    """Return the log probability of at most -x, x well above 0: Laplace's fraction for Mills' ratio."""
    ratio = x
    for k in range(400, 0, -1):
        ratio = x + k / ratio
    return -x * x / 2 - 0.5 * math.log(2 * math.pi) - math.log(ratio)


@pytest.mark.parametrize("x", [3.0, 8.0, 29.9, 30.0, 30.1, 36.0, 50.0, 1000.0])
def test_the_lower_tail_is_exact_however_far_out(x: float) -> None:
    assert log_cdf(np.array([-x]))[0] == pytest.approx(by_continued_fraction(x), rel=1e-9)


def test_the_upper_tail_and_the_middle() -> None:
    found = np.exp(log_cdf(np.array([0.0, 1.959963984540054, 40.0, np.inf, -np.inf])))
    np.testing.assert_allclose(found, [0.5, 0.975, 1.0, 1.0, 0.0], rtol=1e-12)


def test_the_two_ways_meet() -> None:
    left, right = log_cdf(np.array([np.nextafter(TAIL, -np.inf), TAIL]))
    assert left == pytest.approx(right, rel=1e-12)


def test_density_by_hand() -> None:
    found = log_density(np.array([1.0]), np.array([0.0]), np.log([2.0]))
    assert np.exp(found) == pytest.approx(0.17603266338, rel=1e-9)
