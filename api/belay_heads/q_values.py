"""`q-values`: the return to be expected of each of n actions; the policy takes the best. DQN and QR-DQN have it."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.spaces import Space
from belay_heads.spaces import discrete


class QValues:
    """See `Head`."""

    output = "q-values"
    stochastic = False
    masks: tuple[int, ...] = ()

    def __init__(self, action: Space) -> None:
        space = discrete(action, output=self.output)
        self.width = space.n
        self._start = space.start

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
        """Return the action of the highest value; of several, the first."""
        best: NDArray[np.intp] = outputs.argmax(axis=1) + self._start
        return best

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[np.intp]:
        """Return the best action: values are no probabilities."""
        del generator
        return self.greedy(outputs)

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return 0 for the best action and -inf for any other."""
        return np.where(np.asarray(actions) == self.greedy(outputs), 0.0, -np.inf)
