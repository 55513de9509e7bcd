"""Implicit Q-learning: how good the better ones of the logged actions are, without ever asking for another one.

A network for the value of a state is fitted to a high expectile of Q over the logged actions, so it stands for the best
of them; Q is fitted to the reward and that value of what followed. The policy copies logged actions, the more often the
better they were than the state's value.
Source: Kostrikov, Nair, Levine, "Offline Reinforcement Learning with Implicit Q-Learning", ICLR 2022, equations 5 to 7;
    the policy is advantage-weighted regression (Peng, Kumar, Zhang, Levine, 2019).
"""

import torch
from torch import nn

from belay_api.algorithms.iql import IQLSettings
from belay_trainer.learners.offline.cloning import descend
from belay_trainer.learners.offline.learner import OfflineLearner
from belay_trainer.learners.offline.networks import follow, perceptron, target_of
from belay_trainer.learners.offline.transitions import Batch
from belay_trainer.presets import iql


class IQL(OfflineLearner[IQLSettings]):
    """Two critics of actions, one of states, and a policy that is drawn from."""

    algorithm = "iql"
    actions = frozenset({"discrete", "box"})
    presets = iql.PRESETS

    def _build(self) -> None:
        self.actor = self._actor().to(self.device)
        self.output = self.actor.output
        self.critics = self._critics()
        self.target_critics = target_of(self.critics)
        self.value = _Value(perceptron(self.inputs, 1, self._hidden, self._activation)).to(self.device)
        self.networks_by_name |= {
            "actor": self.actor,
            "critics": self.critics,
            "target_critics": self.target_critics,
            "value": self.value,
        }
        self.optimisers |= {
            "actor": self._adam(self.actor),
            "critics": self._adam(self.critics),
            "value": self._adam(self.value),
        }

    def _update(self, batch: Batch) -> dict[str, torch.Tensor]:
        settings = self.settings
        action = batch.action if self.range is None else self.range.from_units(batch.action)
        with torch.no_grad():
            quality = self.target_critics(batch.observation, action).min(dim=0).values
            target = batch.reward + self.discount * (1.0 - batch.ended) * self.value(batch.following)

        advantage = quality - self.value(batch.observation)
        value_loss = expectile_loss(advantage, settings.expectile)
        descend(self.optimisers["value"], value_loss)

        critic_loss = ((self.critics(batch.observation, action) - target) ** 2).mean(dim=1).sum()
        descend(self.optimisers["critics"], critic_loss)

        weight = torch.exp(settings.temperature * advantage.detach()).clamp(max=settings.max_weight)
        actor_loss = -(weight * self.actor.log_likelihood(batch.observation, batch.action)).mean()
        descend(self.optimisers["actor"], actor_loss)

        follow(self.target_critics, self.critics, settings.tau)
        losses = {"value_loss": value_loss, "critic_loss": critic_loss, "actor_loss": actor_loss}
        return {name: loss.detach() for name, loss in losses.items()}

    def _value(self) -> nn.Module:
        return self.value


def expectile_loss(apart: torch.Tensor, expectile: float) -> torch.Tensor:
    """Return mean |τ - 1(u < 0)| u²: least where the subtracted number is the τ-expectile of the others.

    Args:
        apart: u = Q - V, in this order: with the other sign it would be the (1 - τ)-expectile, the worse actions.
        expectile: τ; .5 gives half of the mean square, towards 1 what is above counts more.
    Source: Newey & Powell, "Asymmetric Least Squares Estimation and Testing", Econometrica 55 (1987).
    """
    return (torch.where(apart < 0, 1.0 - expectile, expectile) * apart**2).mean()


class _Value(nn.Module):
    """What a state is worth, (batch,)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.network(observation)[:, 0]
