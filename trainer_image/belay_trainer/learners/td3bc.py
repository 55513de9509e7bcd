"""TD3 with behaviour cloning: the best action that does not stray far from the logged one.

Source: Fujimoto & Gu, "A Minimalist Approach to Offline Reinforcement Learning", NeurIPS 2021, equations 3 and 5; TD3:
    Fujimoto, van Hoof, Meger, "Addressing Function Approximation Error in Actor-Critic Methods", ICML 2018.
"""

import torch
from torch import nn
from torch.nn import functional

from belay_api.algorithms.td3bc import TD3BCSettings
from belay_trainer.learners.offline.cloning import descend
from belay_trainer.learners.offline.learner import OfflineLearner
from belay_trainer.learners.offline.networks import Critics, Range, follow, perceptron, target_of
from belay_trainer.learners.offline.transitions import Batch
from belay_trainer.presets import td3bc


class TD3BC(OfflineLearner[TD3BCSettings]):
    """Two critics, a deterministic policy, and a weight between what they want and what was logged."""

    algorithm = "td3bc"
    actions = frozenset({"box"})
    presets = td3bc.PRESETS
    output = "mean"

    def _build(self) -> None:
        self.range.require_bounds(self.algorithm)
        self.actor = _Actor(self.inputs, self.range, self._hidden, self._activation).to(self.device)
        self.critics = self._critics()
        self.target_actor, self.target_critics = target_of(self.actor), target_of(self.critics)
        self.networks_by_name |= {
            "actor": self.actor,
            "critics": self.critics,
            "target_actor": self.target_actor,
            "target_critics": self.target_critics,
        }
        self.optimisers |= {"actor": self._adam(self.actor), "critics": self._adam(self.critics)}

    def _update(self, batch: Batch) -> dict[str, torch.Tensor]:
        settings = self.settings
        logged = self.range.from_units(batch.action)
        with torch.no_grad():
            noise = settings.target_policy_noise * torch.randn_like(logged)
            noise = noise.clamp(-settings.target_noise_clip, settings.target_noise_clip)
            following = (self.target_actor.pressed(batch.following) + noise).clamp(-1.0, 1.0)
            ahead = self.target_critics(batch.following, following).min(dim=0).values
            target = batch.reward + self.discount * (1.0 - batch.ended) * ahead
        critic_loss = ((self.critics(batch.observation, logged) - target) ** 2).mean(dim=1).sum()
        descend(self.optimisers["critics"], critic_loss)
        losses = {"critic_loss": critic_loss.detach()}
        if (self.timesteps + 1) % settings.policy_delay:
            return losses

        action = self.actor.pressed(batch.observation)
        value = self.critics(batch.observation, action)[0]
        weight = settings.alpha / value.abs().mean().detach().clamp(min=1e-6)
        actor_loss = functional.mse_loss(action, logged) - weight * value.mean()
        descend(self.optimisers["actor"], actor_loss)
        follow(self.target_critics, self.critics, settings.tau)
        follow(self.target_actor, self.actor, settings.tau)
        return losses | {"actor_loss": actor_loss.detach()}

    def _value(self) -> nn.Module:
        return _Value(self.actor, self.critics)


class _Actor(nn.Module):
    """Observations to actions."""

    def __init__(self, inputs: int, range_: Range, hidden: list[int], activation: type[nn.Module]) -> None:
        super().__init__()
        self.network, self.range = perceptron(inputs, range_.size, hidden, activation), range_

    def pressed(self, observation: torch.Tensor) -> torch.Tensor:
        """Return actions between -1 and 1."""
        return torch.tanh(self.network(observation))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return actions in the units of the space."""
        return self.range.to_units(self.pressed(observation))


class _Value(nn.Module):
    """What the first critic expects of the policy's action."""

    def __init__(self, actor: _Actor, critics: Critics) -> None:
        super().__init__()
        self.actor, self.critics = actor, critics

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.critics(observation, self.actor.pressed(observation))[0]
