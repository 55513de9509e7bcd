"""`mean`: the outputs are the action itself. TD3 has it, and artifacts of PPO before `gaussian` was known."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.spaces import Space
from belay_heads.spaces import Box

TOLERANCE = 1e-4  # absolute and relative: what an exported network may differ from the model it was made of


class Mean:
    """See `Head`."""

    output = "mean"
    stochastic = False
    masks: tuple[int, ...] = ()

    def __init__(self, action: Space) -> None:
        self._box = Box(action, output=self.output)
        self.width = self._box.size

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Return the outputs, clipped to the bounds."""
        return self._box.actions(outputs)

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[Any]:
        """Return the same as `greedy`: nothing is known of a spread."""
        del generator
        return self.greedy(outputs)

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return 0 for the policy's action and -inf for any other: one action has all the probability, not a density.

        Equal means within TOLERANCE. Networks add up in another order in a batch of another size, so that the outputs
        of today differ in their last digits from those that an earlier action was served with.
        """
        wanted, found = self._box.rows(self.greedy(outputs)), self._box.rows(actions)
        same = np.isclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE).all(axis=1)
        return np.where(same, 0.0, -np.inf)
