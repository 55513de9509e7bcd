"""The normal distribution, as logarithms: what numpy lacks of it."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)
TAIL = -30.0  # standard deviations; erfc ends at -37, and from here on the series is good to 1e-9

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def log_density(x: Array, mean: Array, log_std: Array) -> Array:
    """Return the log density at x."""
    return -0.5 * ((x - mean) / np.exp(log_std)) ** 2 - log_std - LOG_ROOT_2PI


def log_cdf(x: Array) -> Array:
    """Return the log probability of a standard normal number of at most x, however far out x lies.

    Source: Abramowitz & Stegun, "Handbook of Mathematical Functions" (1964), 26.2.12, for the tail.
    """
    body = np.log(_erfc(-np.maximum(x, TAIL) / math.sqrt(2)) / 2)
    far = np.minimum(x, TAIL)
    series = np.log1p(-1 / far**2 + 3 / far**4 - 15 / far**6)
    return np.where(x < TAIL, -0.5 * far**2 - np.log(-far) - LOG_ROOT_2PI + series, body)
