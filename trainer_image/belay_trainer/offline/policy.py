"""A network under training as the policy that would be served: greedy, behind its head."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from belay_api.spaces import Space
from belay_heads import Head
from belay_trainer.datasets.dataset import Dataset, Floats
from belay_trainer.ope.head_policy import HeadPolicy

ROWS = 8_192  # observations in one forward pass


class NetworkPolicy(HeadPolicy):
    """See `evaluate.Policy`, and `ope.TargetPolicy`."""

    def __init__(self, network: nn.Module, head: Head, action: Space, *, device: torch.device) -> None:
        """Take a network from raw observations to what the head reads; it acts as the network is at any time."""
        super().__init__(head, action, self._run, greedy=True)
        self._network, self._device, self._draws = network, device, np.random.default_rng(0)

    def predict(self, observation: NDArray[Any], *, deterministic: bool) -> tuple[NDArray[Any], object]:
        """Return one action per observation."""
        outputs = self._run(observation)
        if deterministic:
            return self._head.greedy(outputs), None
        return self._head.sample(outputs, self._draws), None

    def log_likelihood(self, dataset: Dataset) -> Floats:
        """Return (timesteps,): how likely logged actions are where the policy is drawn from."""
        return self._head.log_propensity(self._run(dataset.observations), dataset.actions)

    def _run(self, observations: NDArray[Any]) -> NDArray[Any]:
        parts = []
        with torch.no_grad():
            for first in range(0, len(observations), ROWS):
                rows = np.ascontiguousarray(observations[first : first + ROWS])
                parts.append(self._network(torch.from_numpy(rows).to(self._device)).cpu().numpy())
        return np.concatenate(parts)
