"""Deep Q-learning."""

from typing import Any

import stable_baselines3
import torch

from belay_trainer.learners.off_policy import OffPolicy
from belay_trainer.learners.stable_baselines import COUNTERS
from belay_trainer.presets import dqn


class DQN(OffPolicy):
    """Stable-Baselines3's DQN."""

    algorithm = "dqn"
    actions = frozenset({"discrete"})
    library = stable_baselines3.DQN
    settings = staticmethod(dqn.model)
    counters = (*COUNTERS, "_n_calls", "exploration_rate")
    output = "q-values"

    def _actor(self, policy: Any) -> torch.nn.Module:
        return policy.q_net

    def _value(self, policy: Any) -> torch.nn.Module:
        return _Greedy(policy.q_net)


class _Greedy(torch.nn.Module):
    """The value of the best action."""

    def __init__(self, q_net: torch.nn.Module) -> None:
        super().__init__()
        self.q_net = q_net

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.q_net(observation).max(dim=1).values
