"""How a policy compares with behaviour cloning of the same log: what all the rest of the algorithm was good for."""

import numpy as np

from belay_api.dataset import Floor, FloorVerdict
from belay_trainer.datasets.dataset import Floats
from belay_trainer.offline.held_out import Judged
from belay_trainer.student import quantile

CONFIDENCE = 0.95
FEWEST = 10  # episodes that have an interval


def by_returns(policy: Floats, cloned: Floats) -> Floor:
    """Return the comparison by returns, (episodes,) each, of episodes that begin alike."""
    return _compared(policy - cloned, return_=float(cloned.mean()))


def by_estimates(policy: Judged, cloned: Judged) -> Floor:
    """Return the comparison by estimates from the same episodes."""
    if policy.value is None or cloned.value is None:
        return Floor(verdict=FloorVerdict.NOT_JUDGED, estimate=cloned.value)
    return _compared(policy.contributions - cloned.contributions, estimate=cloned.value)


def _compared(of_each: Floats, **what: float | None) -> Floor:
    """Args: of_each: (episodes,), the policy's number less the clone's, of the same episode."""
    difference, n = float(of_each.mean()), len(of_each)
    if n < FEWEST:
        return Floor(verdict=FloorVerdict.NOT_TOLD_APART, difference=difference, **what)
    half = quantile((1 - CONFIDENCE) / 2, n - 1) * float(of_each.std(ddof=1)) / np.sqrt(n)
    low, high = difference - half, difference + half
    verdict = FloorVerdict.BETTER if low > 0 else FloorVerdict.WORSE if high < 0 else FloorVerdict.NOT_TOLD_APART
    return Floor(verdict=verdict, difference=difference, low=low, high=high, **what)
