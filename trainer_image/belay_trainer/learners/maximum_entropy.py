"""SAC, TQC and CrossQ: a Gaussian policy between the bounds of its actions, paid for its entropy as well."""

from typing import Any

import torch

from belay_trainer.learners.off_policy import OffPolicy


class MaximumEntropy(OffPolicy):
    """Algorithms with a squashed Gaussian policy and critics of its actions."""

    actions = frozenset({"box"})
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


class GreedyCritics(torch.nn.Module):
    """The critics' path from observations over the greedy action."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def critics(self, observation: torch.Tensor) -> Any:
        """Return what the library's critics answer."""
        mean, _, _ = self.policy.actor.get_action_dist_params(observation)
        return self.policy.critic(observation, torch.tanh(mean))


class _Value(GreedyCritics):
    """What the more cautious critic expects of the greedy action."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.critics(observation), dim=1).min(dim=1).values
