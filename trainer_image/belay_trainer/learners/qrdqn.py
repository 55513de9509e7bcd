"""Deep Q-learning by quantile regression."""

from typing import Any

import sb3_contrib
import torch

from belay_trainer.learners.q_learning import QLearning
from belay_trainer.learners.stable_baselines import CONTRIB
from belay_trainer.presets import qrdqn


class QRDQN(QLearning):
    """Stable-Baselines3 Contrib's QR-DQN."""

    algorithm = "qrdqn"
    library = sb3_contrib.QRDQN
    settings = staticmethod(qrdqn.model)
    packages = CONTRIB

    def _actor(self, policy: Any) -> torch.nn.Module:
        return _Mean(policy.quantile_net)


class _Mean(torch.nn.Module):
    """Observations to the mean over the quantiles of each action, by which the policy chooses."""

    def __init__(self, quantile_net: torch.nn.Module) -> None:
        super().__init__()
        self.quantile_net = quantile_net

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.quantile_net(observation).mean(dim=1)  # of (batch, quantile, action)
