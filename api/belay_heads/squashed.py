"""`squashed-gaussian`: independent normal numbers, pressed between the bounds by tanh. SAC, TQC and CrossQ have it.

The network answers the means of all dimensions before tanh and then the logs of their standard deviations, limited as
they were in training.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.artifact import ArtifactInvalid
from belay_api.spaces import Space
from belay_heads import normal
from belay_heads.spaces import Box


class SquashedGaussian:
    """See `Head`."""

    output = "squashed-gaussian"
    stochastic = True
    masks: tuple[int, ...] = ()

    def __init__(self, action: Space) -> None:
        self._box = box = Box(action, output=self.output)
        self.width = 2 * box.size
        self._span = box.high - box.low
        if not (np.isfinite(self._span) & (self._span > 0)).all():
            raise ArtifactInvalid(
                f"the manifest's output is {self.output} for a {action.kind} action space, {action}: a lower bound "
                "below an upper one is needed in every dimension"
            )
        # What comes nearer to a bound than half of the distance to the number next to it is rounded to the bound.
        low, high = box.low.astype(box.dtype), box.high.astype(box.dtype)
        next_to_low, next_to_high = (np.nextafter(*pair).astype(np.float64) for pair in ((low, high), (high, low)))
        self._least = _before_tanh(next_to_low - box.low, 2 * self._span)
        self._most = _before_tanh(2 * self._span, box.high - next_to_high)

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Return the means between the bounds: the action half of all draws lie above, in every dimension."""
        return self._between(outputs[:, : self._box.size])

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[Any]:
        """Return low + (tanh(mean + std · noise) + 1) / 2 · (high - low)."""
        mean, log_std = outputs[:, : self._box.size], outputs[:, self._box.size :]
        with np.errstate(over="ignore"):  # infinity, which tanh takes to a bound
            return self._between(mean + np.exp(log_std) * generator.standard_normal(mean.shape))

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return the sum over the dimensions: of a number between the bounds, its log density by change of variables.

        With z = atanh(2 (a - low) / (high - low) - 1) the density of a is that of z, divided by the slope
        da/dz = 2 (a - low) (high - a) / (high - low). A number at a bound has the log *probability* of all that is
        rounded to it: from about z = 9 on for float32, where a policy that drives at full power is most of the time.

        Source: Haarnoja, Zhou, Abbeel, Levine, "Soft Actor-Critic", ICML 2018, appendix C.
        Departs: In the units of the space; Stable-Baselines3 leaves it between -1 and 1, which is the log of half of
            high - low more per dimension, and adds 1e-6 to 1 - tanh² instead of telling the bounds apart.
        """
        wide = outputs.astype(np.float64)
        mean, log_std = wide[:, : self._box.size], wide[:, self._box.size :]
        action, std = self._box.rows(actions), np.exp(log_std)
        from_low, to_high = action - self._box.low, self._box.high - action
        inside = (from_low > 0) & (to_high > 0)
        with np.errstate(divide="ignore", invalid="ignore"):  # at the bounds and beyond, where it is not used
            z = _before_tanh(from_low, to_high)
            density = normal.log_density(z, mean, log_std) - np.log(2 * from_low * to_high / self._span)
        of_each = np.select(
            [inside, from_low == 0, to_high == 0],
            [density, normal.log_cdf((self._least - mean) / std), normal.log_cdf((mean - self._most) / std)],
            default=-np.inf,
        )
        return np.asarray(of_each.sum(axis=1))

    def _between(self, z: NDArray[np.floating[Any]]) -> NDArray[Any]:
        # (tanh(z) + 1) / 2 = 1 / (1 + exp(-2z)), taken from the nearer bound: 1 - tanh(z) itself is 0 from z = 19 on,
        # where numbers near a bound of 0 still differ.
        fading = np.exp(-2 * np.abs(z), dtype=np.float64)
        from_bound = self._span * fading / (1 + fading)
        return self._box.actions(np.where(z < 0, self._box.low + from_bound, self._box.high - from_bound))


def _before_tanh(from_low: NDArray[np.float64], to_high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the number that tanh takes to the place so far from both bounds; their ratio is enough."""
    return 0.5 * (np.log(from_low) - np.log(to_high))
