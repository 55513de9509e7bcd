"""Whether what was counted can be chance."""

import math

import numpy as np
from numpy.typing import NDArray

ONCE_IN = 10_000  # runs of a test in which it fails although the promise holds


def crossings(log_evidence: NDArray[np.float64], alpha: float) -> int:
    """Count the rollouts whose evidence is ever enough, at any window."""
    return int((log_evidence >= math.log(1 / alpha)).any(axis=-1).sum())


def most_by_chance(runs: int, rate: float) -> int:
    """Return the count that a true rate exceeds once in ONCE_IN."""
    tail, count = 1.0, -1
    while tail > 1 / ONCE_IN:
        count += 1
        tail -= math.exp(
            math.lgamma(runs + 1)
            - math.lgamma(count + 1)
            - math.lgamma(runs - count + 1)
            + count * math.log(rate)
            + (runs - count) * math.log1p(-rate)
        )
    return count
