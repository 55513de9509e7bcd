"""Soft actor-critic."""

from typing import Any

import stable_baselines3
import torch

from belay_trainer.learners.off_policy import OffPolicy
from belay_trainer.presets import sac


class SAC(OffPolicy):
    """Stable-Baselines3's SAC."""

    algorithm = "sac"
    actions = frozenset({"box"})
    library = stable_baselines3.SAC
    settings = staticmethod(sac.model)
    output = "squashed-gaussian"

    def _actor(self, policy: Any) -> torch.nn.Module:
        return _Actor(policy.actor)

    def _value(self, policy: Any) -> torch.nn.Module:
        return _Value(policy)


class _Actor(torch.nn.Module):
    """Observations to means and logarithms of standard deviations, both before the tanh."""

    def __init__(self, actor: Any) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        mean, log_std, _ = self.actor.get_action_dist_params(observation)
        return torch.cat([mean, log_std], dim=1)


class _Value(torch.nn.Module):
    """What the more cautious critic expects of the greedy action."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        mean, _, _ = self.policy.actor.get_action_dist_params(observation)
        values = torch.cat(self.policy.critic(observation, torch.tanh(mean)), dim=1)
        return values.min(dim=1).values
