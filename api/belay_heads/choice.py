"""`choice`: the output is the action itself, one of n. Controllers have it, and networks that end in an argmax."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.spaces import Space
from belay_heads.spaces import discrete


class Choice:
    """See `Head`."""

    output = "choice"
    stochastic = False
    masks: tuple[int, ...] = ()
    width = 1

    def __init__(self, action: Space) -> None:
        space = discrete(action, output=self.output)
        self._first, self._last = space.start, space.start + space.n - 1

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
        """Return the outputs as whole numbers, clipped to the space; for one that is no number, the first action."""
        rounded = np.rint(np.nan_to_num(outputs[:, 0].astype(np.float64), nan=self._first))
        return np.clip(rounded, self._first, self._last).astype(np.intp)

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[np.intp]:
        """Return the same as `greedy`: nothing is known of other actions."""
        del generator
        return self.greedy(outputs)

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return 0 for the policy's action and -inf for any other."""
        return np.where(np.asarray(actions) == self.greedy(outputs), 0.0, -np.inf)
