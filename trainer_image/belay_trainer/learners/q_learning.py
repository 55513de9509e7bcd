"""DQN and QR-DQN: a value for each action, and random actions to explore."""

from typing import Any

import torch

from belay_trainer.learners.off_policy import OffPolicy
from belay_trainer.learners.stable_baselines import COUNTERS


class QLearning(OffPolicy):
    """Algorithms whose policy takes the action of the highest value."""

    actions = frozenset({"discrete"})
    counters = (*COUNTERS, "_n_calls", "exploration_rate")
    output = "q-values"

    def _value(self, policy: Any) -> torch.nn.Module:
        return _Greedy(self._actor(policy))


class _Greedy(torch.nn.Module):
    """The value of the best action."""

    def __init__(self, q_values: torch.nn.Module) -> None:
        super().__init__()
        self.q_values = q_values

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.q_values(observation).max(dim=1).values
