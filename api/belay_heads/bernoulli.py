"""`bernoulli`: switches, independent given the observation; each output is the logit of one being on."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.spaces import Space
from belay_heads.spaces import switches


class Bernoulli:
    """See `Head`."""

    output = "bernoulli"
    stochastic = True
    masks: tuple[int, ...] = ()

    def __init__(self, action: Space) -> None:
        self._shape = tuple(switches(action, output=self.output).shape)
        self.width = math.prod(self._shape)

    def greedy(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
        """Return the likelier side of each switch; of two, off."""
        return self._on(outputs)

    def sample(self, outputs: NDArray[np.floating[Any]], generator: np.random.Generator) -> NDArray[np.int8]:
        """Return on where the logit plus logistic noise is above 0: the sigmoid is that noise's distribution."""
        return self._on(outputs + generator.logistic(size=outputs.shape))

    def log_propensity(self, outputs: NDArray[np.floating[Any]], actions: ArrayLike) -> NDArray[np.float64]:
        """Return the sum over the switches of log sigmoid(logit) where on, log(1 - sigmoid(logit)) where off."""
        logits = outputs.astype(np.float64)
        action = np.asarray(actions).reshape(-1, self.width)
        known = (action == 0) | (action == 1)
        with np.errstate(invalid="ignore"):  # of a logit that is none
            of_each = -np.logaddexp(0.0, np.where(action == 1, -logits, logits))
        return np.asarray(np.where(known, of_each, -np.inf).sum(axis=1))

    def _on(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
        return (logits > 0).astype(np.int8).reshape(-1, *self._shape)
