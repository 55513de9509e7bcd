"""How much two policies differ, as it can be known from some episodes: bounds of a mean between 0 and 1.

The pairs of one episode resemble each other, so an episode is one number, the mean over its pairs, and episodes are
taken for independent of each other. Nothing is asked of their distribution: that a difference was never seen in few
episodes proves little, and Student's t would take it for certain.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

STAKES = np.array([0.02, 0.03, 0.05, 0.08, 0.12, 0.17, 0.25, 0.35, 0.5, 0.75, 0.9, 0.99])
"""Shares of what may be lost, all bet side by side with equal money: large ones win where all episodes are alike."""
ROUNDING = 0.0005  # differences are told in thousandths
_HALVINGS = 40


def interval(episodes: Iterable[tuple[float, int]], *, confidence: float) -> tuple[float, float]:
    """Return the lower and the upper bound of the mean difference.

    Each is wrong with a probability of at most 1 - confidence, at all looks together.

    Args:
        episodes: A difference, 0 to 1, and how many episodes have it.
    Source: Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting", Journal of the Royal
        Statistical Society B 86 (2024) 1-27, section 4: the capital of a fixed mixture of stakes, and its inversion.
    Departs: The stakes are shares of what can be lost, not predictions from what came before, so that the order of
        episodes does not matter: several go on at a time, and one counts anew with each of its pairs.

    >>> low, high = interval([(0.0, 100)], confidence=0.95)
    >>> low, round(high, 3)
    (0.0, 0.047)
    """
    counted = [(value, count) for value, count in episodes if count > 0]
    if not counted:
        return 0.0, 1.0
    values, counts = (np.array(column, np.float64) for column in zip(*counted, strict=True))
    alpha = 1.0 - confidence
    low = _lower(values, counts, alpha) - ROUNDING
    high = 1.0 - _lower(1.0 - values, counts, alpha) + ROUNDING
    return max(low, 0.0), min(high, 1.0)


def _lower(values: NDArray[np.float64], counts: NDArray[np.float64], alpha: float) -> float:
    """The largest mean that the capital refutes, and with it every smaller one; 0: none."""
    enough, low, high = math.log(1.0 / alpha), 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _log_capital(values, counts, middle) >= enough:
            low = middle
        else:
            high = middle
    return low


def _log_capital(values: NDArray[np.float64], counts: NDArray[np.float64], mean: float) -> float:
    """What somebody has won who bet that the mean is larger; it never grows in expectation if it is not."""
    factors = 1.0 - STAKES[:, None] + STAKES[:, None] * values[None, :] / mean
    logs: Sequence[float] = (np.log(factors) * counts[None, :]).sum(axis=1).tolist()
    return float(np.logaddexp.reduce(logs)) - math.log(len(STAKES))
