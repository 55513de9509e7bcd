"""`gaussian`: independent normal numbers, clipped to the bounds. PPO and A2C of Stable-Baselines3 have it.

The network answers the means of all dimensions and then the logs of their standard deviations.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.spaces import Space
from belay_heads import normal
from belay_heads.spaces import Box


class Gaussian:
    """See `Head`."""

    output = "gaussian"
    stochastic = True
    masks: tuple[int, ...] = ()

    def __init__(self, action: Space) -> None:
        self._box = Box(action, output=self.output)
        self.width = 2 * self._box.size

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Return the means, clipped to the bounds."""
        return self._box.actions(outputs[:, : self._box.size])

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[Any]:
        """Return mean + std · noise, clipped to the bounds."""
        mean, log_std = outputs[:, : self._box.size], outputs[:, self._box.size :]
        with np.errstate(over="ignore"):  # infinity, which the caller looks for
            return self._box.actions(mean + np.exp(log_std) * generator.standard_normal(mean.shape))

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return the sum over the dimensions: of a number within the bounds, its log density.

        A number at a bound has the log *probability* of everything that is clipped to it: served actions lie there as
        a whole, and the density of the number itself says nothing of how many.

        Source: Fujita & Maeda, "Clipped Action Policy Gradient", ICML 2018, the policy of the clipped action.
        Departs: Stable-Baselines3 judges the number before it was clipped, which nobody outside ever sees.
        """
        wide = outputs.astype(np.float64)
        mean, log_std = wide[:, : self._box.size], wide[:, self._box.size :]
        action, low, high = self._box.rows(actions), self._box.low, self._box.high
        std = np.exp(log_std)
        of_each = np.select(
            [
                (action == low) & (low == high),  # a dimension with one value
                action == low,
                action == high,
                (low < action) & (action < high),
            ],
            [
                np.zeros_like(action),
                normal.log_cdf((low - mean) / std),
                normal.log_cdf((mean - high) / std),
                normal.log_density(action, mean, log_std),
            ],
            default=-np.inf,
        )
        return np.asarray(of_each.sum(axis=1))
