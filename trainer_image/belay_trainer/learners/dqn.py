"""Deep Q-learning."""

from typing import Any

import stable_baselines3
import torch

from belay_trainer.learners.q_learning import QLearning
from belay_trainer.presets import dqn


class DQN(QLearning):
    """Stable-Baselines3's DQN."""

    algorithm = "dqn"
    library = stable_baselines3.DQN
    settings = staticmethod(dqn.model)

    def _actor(self, policy: Any) -> torch.nn.Module:
        return policy.q_net
