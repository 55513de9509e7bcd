"""The policy that is judged, as estimators see it: what it does at an observation, with which probability."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.dataset import Floats


class TargetPolicy(Protocol):
    """Observations are (batch, *observation) and actions (batch, *action) as the dataset has them."""

    choices: NDArray[np.intp] | None
    """(actions,); the actions of a discrete space. None: actions are continuous."""
    stochastic: bool
    """False: it has one action for an observation."""

    def log_propensity(self, observations: NDArray[Any], actions: NDArray[Any]) -> Floats:
        """Return (batch,): the log of how likely it is to take these actions; -inf where it never does.

        For continuous actions the log of a density; of a policy that has one action only, 0 or -inf.
        """

    def probabilities(self, observations: NDArray[Any]) -> Floats:
        """Return (batch, actions): the probability of each of `choices`. Asked of discrete policies only."""

    def sample(self, observations: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
        """Return (batch, *action): one action for each. Asked of continuous policies only."""
