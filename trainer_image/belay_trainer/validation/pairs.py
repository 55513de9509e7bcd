"""Two policies from the same starts: what a start is worth falls out of the difference within each pair."""

import math
from dataclasses import dataclass

import numpy as np

from belay_api.judging import Between
from belay_trainer.validation.bounds import Floats, mean_bounds


@dataclass(frozen=True, slots=True)
class Pairs:
    """Returns of both from the same starts, and between what all returns lie."""

    policy: Floats  # (episodes,)
    other: Floats  # (episodes,)
    low: float
    high: float

    def difference(self, confidence: float, *, looks: int) -> Between:
        """Return the mean difference, policy less other, with its interval. Args: looks: That share the error."""
        values, reach = self.policy - self.other, self.high - self.low
        alpha = (1 - confidence) / 2 / looks
        low, high = mean_bounds(values, low=-reach, high=reach, alpha=alpha)
        return Between(value=float(values.mean()), low=low, high=high)

    def beyond(self, most: float) -> tuple[Floats, float, float]:
        """Return, of each pair, how much more the policy returns than `most` allows it to fall, and its range.

        Its mean is not below 0 where the policy keeps the limit, a share of the size of the other's mean. That is one
        number a pair, so the share needs no second approximation; negative returns are allowed to fall as well.
        """
        left = 1.0 - math.copysign(most, float(self.other.mean()))
        wanted = left * np.array([self.low, self.high])
        return self.policy - left * self.other, self.low - wanted.max(), self.high - wanted.min()
