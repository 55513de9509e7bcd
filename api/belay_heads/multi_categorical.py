"""`multi-categorical`: several choices at once, independent given the observation; each has its own softmax.

The network answers the logits of the first choice, then those of the second, and so on. Actor-critic methods have it.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.spaces import DiscreteSpace, Space
from belay_heads.categorical import Categorical
from belay_heads.spaces import Choices


class MultiCategorical:
    """See `Head`."""

    output = "multi-categorical"
    stochastic = True
    masks: tuple[int, ...] = ()

    def __init__(self, action: Space) -> None:
        self._choices = choices = Choices(action, output=self.output)
        self.width = sum(choices.sizes)
        self._ends = np.cumsum(choices.sizes)[:-1]
        self._heads = [
            Categorical(DiscreteSpace(n=n, start=start)) for n, start in zip(choices.sizes, choices.starts, strict=True)
        ]

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Return the most likely action of each choice, which together are the most likely action."""
        return self._choices.actions(np.stack([head.greedy(part) for head, part in self._each(outputs)], axis=1))

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[Any]:
        """Return a draw of each choice."""
        return self._choices.actions(
            np.stack([head.sample(part, generator) for head, part in self._each(outputs)], axis=1)
        )

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return the sum of the choices' own: they are independent."""
        columns = self._choices.rows(actions).T
        found = [
            head.log_propensity(part, column) for (head, part), column in zip(self._each(outputs), columns, strict=True)
        ]
        return np.asarray(np.sum(found, axis=0))

    def _each(self, outputs: NDArray[np.floating[Any]]) -> list[tuple[Categorical, NDArray[Any]]]:
        return list(zip(self._heads, np.split(outputs, self._ends, axis=1), strict=True))
