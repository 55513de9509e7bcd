"""`logits`: one of n actions, with the softmax of the outputs as probabilities. Actor-critic methods have it."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.spaces import Space
from belay_heads.spaces import discrete


class Categorical:
    """See `Head`."""

    output = "logits"
    stochastic = True
    masks: tuple[int, ...] = ()

    def __init__(self, action: Space) -> None:
        space = discrete(action, output=self.output)
        self.width = space.n
        self._start = space.start

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
        """Return the most likely action; of several, the first."""
        best: NDArray[np.intp] = outputs.argmax(axis=1) + self._start
        return best

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[np.intp]:
        """Return the argmax of logits plus Gumbel noise, which is a draw from their softmax.

        Source: Maddison, Tarlow, Minka, "A* Sampling", NIPS 2014, section 2 (the Gumbel-max trick).
        """
        noisy = outputs + generator.gumbel(size=outputs.shape)
        drawn: NDArray[np.intp] = noisy.argmax(axis=1) + self._start
        return drawn

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return the log of the softmax at each action."""
        logits = outputs.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        choice = np.asarray(actions) - self._start
        known = np.isin(choice, np.arange(self.width))
        chosen = logits[np.arange(len(logits)), np.where(known, choice, 0).astype(np.intp)]
        return np.where(known, chosen - np.log(np.exp(logits).sum(axis=1)), -np.inf)
