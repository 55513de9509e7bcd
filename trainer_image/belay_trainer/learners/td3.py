"""Twin delayed deep deterministic policy gradient."""

from typing import Any

import stable_baselines3
import torch

from belay_trainer.learners.off_policy import OffPolicy
from belay_trainer.presets import td3


class TD3(OffPolicy):
    """Stable-Baselines3's TD3."""

    algorithm = "td3"
    actions = frozenset({"box"})
    library = stable_baselines3.TD3
    settings = staticmethod(td3.model)
    output = "mean"

    def _exploration(self) -> float | None:
        model: Any = self.model
        return 0.0 if model.action_noise is None else None

    def _actor(self, policy: Any) -> torch.nn.Module:
        return _Actor(policy.actor, self.model.action_space)

    def _value(self, policy: Any) -> torch.nn.Module:
        return _Value(policy)


class _Actor(torch.nn.Module):
    """Observations to actions. The network's own lie within -1 and 1."""

    def __init__(self, actor: torch.nn.Module, space: Any) -> None:
        super().__init__()
        self.actor = actor
        low, high = (torch.as_tensor(end).flatten() for end in (space.low, space.high))
        self.register_buffer("low", low)
        self.register_buffer("half_range", (high - low) / 2)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.low + (self.actor(observation) + 1.0) * self.half_range


class _Value(torch.nn.Module):
    """What the first critic expects of the action, as in the policy's own gradient."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.policy.critic.q1_forward(observation, self.policy.actor(observation))[:, 0]
