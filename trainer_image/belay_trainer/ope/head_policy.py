"""A network behind its head, as a policy that is judged: wherever the network runs.

So propensities are those of served actions (decision 030). Without being asked otherwise a served policy is greedy
(`deterministic: true`), and then it has one action for an observation, whatever its network could draw.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_api.spaces import Space
from belay_heads import Head
from belay_heads.mean import TOLERANCE
from belay_trainer.datasets.dataset import Floats


class HeadPolicy:
    """See `TargetPolicy`."""

    def __init__(
        self, head: Head, action: Space, outputs: Callable[[NDArray[Any]], NDArray[Any]], *, greedy: bool
    ) -> None:
        """Set up.

        Args:
            outputs: The network: from observations (batch, *observation) to what the head reads.
            greedy: Its best action always, as it is served by default; False: drawn from its distribution.
        """
        self._head, self._outputs, self._greedy = head, outputs, greedy
        self.choices = np.arange(action.start, action.start + action.n) if action.kind == "discrete" else None
        self.stochastic = not greedy and head.stochastic

    def log_propensity(self, observations: NDArray[Any], actions: NDArray[Any]) -> Floats:
        """See `TargetPolicy`."""
        outputs = self._outputs(observations)
        if not self._greedy:
            return self._head.log_propensity(outputs, actions)
        best = self._head.greedy(outputs)
        if self.choices is not None:
            return np.where(best == actions, 0.0, -np.inf)
        same = np.isclose(best, actions, rtol=TOLERANCE, atol=TOLERANCE).reshape(len(best), -1).all(axis=1)
        return np.where(same, 0.0, -np.inf)

    def probabilities(self, observations: NDArray[Any]) -> Floats:
        """See `TargetPolicy`."""
        if self.choices is None:
            raise ValueError("continuous actions have no probability each: ask for log_propensity")
        outputs = self._outputs(observations)
        if self._greedy:
            return np.asarray(self._head.greedy(outputs)[:, None] == self.choices, dtype=np.float64)
        columns = [np.exp(self._head.log_propensity(outputs, np.full(len(outputs), one))) for one in self.choices]
        return np.stack(columns, axis=1)

    def sample(self, observations: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
        """See `TargetPolicy`."""
        outputs = self._outputs(observations)
        return self._head.greedy(outputs) if self._greedy else self._head.sample(outputs, generator)
