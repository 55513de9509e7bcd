"""Conservative Q-learning: Q-learning in which actions that nobody has tried are worth less than they seem.

Each update pulls down the log-sum-exp of Q over all actions and pushes up Q of the logged ones, so that values lie
below what the log can promise. With choices it is double Q-learning and the policy takes the highest value; with
numbers it is soft actor-critic, where the sum is taken over drawn actions.
Source: Kumar, Zhou, Tucker, Levine, "Conservative Q-Learning for Offline Reinforcement Learning", NeurIPS 2020: CQL(H),
    equation 4, and appendix F for the draws.
"""

import math

import torch
from torch import nn

from belay_api.algorithms.cql import CQLSettings
from belay_trainer.learners.offline.cloning import descend
from belay_trainer.learners.offline.learner import OfflineLearner
from belay_trainer.learners.offline.networks import Critics, Range, follow, perceptron, target_of
from belay_trainer.learners.offline.transitions import Batch
from belay_trainer.presets import cql

LEAST_LOG_STD, MOST_LOG_STD = -20.0, 2.0  # before tanh, as soft actor-critic has them


class CQL(OfflineLearner[CQLSettings]):
    """Two critics, and for numbers a policy whose entropy is kept."""

    algorithm = "cql"
    actions = frozenset({"discrete", "box"})
    presets = cql.PRESETS

    def _build(self) -> None:
        self.critics = self._critics()
        self.target_critics = target_of(self.critics)
        self.networks_by_name |= {"critics": self.critics, "target_critics": self.target_critics}
        self.optimisers["critics"] = self._adam(self.critics)
        if self.range is None:
            self.actor, self.output = _Lower(self.critics), "q-values"
            return
        self.range.require_bounds(self.algorithm)
        self.actor = _Actor(self.inputs, self.range, self._hidden, self._activation).to(self.device)
        self.output = "squashed-gaussian"
        self.temperature = _Temperature().to(self.device)
        self.networks_by_name |= {"actor": self.actor, "temperature": self.temperature}
        rate = self.settings.actor_learning_rate
        self.optimisers |= {
            "actor": self._adam(self.actor, learning_rate=rate),
            "temperature": self._adam(self.temperature, learning_rate=rate),
        }

    def _update(self, batch: Batch) -> dict[str, torch.Tensor]:
        losses = self._update_choices(batch) if self.range is None else self._update_numbers(batch)
        follow(self.target_critics, self.critics, self.settings.tau)
        return {name: loss.detach() for name, loss in losses.items()}

    def _update_choices(self, batch: Batch) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            best = self.actor(batch.following).argmax(dim=1)
            target = self._target(batch, self.target_critics(batch.following, best))
        of_all = self.critics.all(batch.observation)
        taken = of_all.gather(2, batch.action.expand(2, -1).unsqueeze(2))[:, :, 0]
        gap = torch.logsumexp(of_all, dim=2) - taken
        return self._update_critics(taken, target, gap)

    def _update_numbers(self, batch: Batch) -> dict[str, torch.Tensor]:
        logged = self.range.from_units(batch.action)
        action, log_probability = self.actor.draw(batch.observation)
        entropy = -log_probability.detach().mean()
        # Trained towards an entropy of one nat less than none for each number (Haarnoja et al., 2018).
        temperature_loss = self.temperature() * (entropy + self.range.size)
        descend(self.optimisers["temperature"], temperature_loss)
        weight = self.temperature().detach()
        actor_loss = (weight * log_probability - self.critics(batch.observation, action).min(dim=0).values).mean()
        descend(self.optimisers["actor"], actor_loss)

        with torch.no_grad():
            following, _ = self.actor.draw(batch.following)
            target = self._target(batch, self.target_critics(batch.following, following))
        taken = self.critics(batch.observation, logged)
        losses = self._update_critics(taken, target, self._log_sum_exp(batch) - taken)
        return losses | {"actor_loss": actor_loss, "temperature_loss": temperature_loss}

    def _target(self, batch: Batch, ahead: torch.Tensor) -> torch.Tensor:
        return batch.reward + self.discount * (1.0 - batch.ended) * ahead.min(dim=0).values

    def _update_critics(self, taken: torch.Tensor, target: torch.Tensor, gap: torch.Tensor) -> dict[str, torch.Tensor]:
        """Step, and return the losses.

        Args:
            taken: (2, batch) Q of logged actions.
            gap: (2, batch) what is pulled down, less `taken`.
        """
        critic_loss = 0.5 * ((taken - target) ** 2).mean(dim=1).sum()
        conservative_loss = gap.mean(dim=1).sum()
        descend(self.optimisers["critics"], critic_loss + self.settings.alpha * conservative_loss)
        return {"critic_loss": critic_loss, "conservative_loss": conservative_loss}

    def _log_sum_exp(self, batch: Batch) -> torch.Tensor:
        """Return (2, batch): log of the integral of exp Q over all actions.

        As a mean over actions drawn evenly, from the policy here, and from the policy at what followed, each divided by
        its density.
        """
        count, size, rows = self.settings.n_actions, self.range.size, len(batch.observation)
        observation = batch.observation.repeat_interleave(count, dim=0)
        even = 2.0 * torch.rand(rows * count, size, device=self.device) - 1.0
        drawn = [(even, torch.full((rows * count,), -size * math.log(2.0), device=self.device))]
        with torch.no_grad():
            drawn += [
                self.actor.draw(one.repeat_interleave(count, dim=0)) for one in (batch.observation, batch.following)
            ]
        values = [self.critics(observation, action) - density for action, density in drawn]
        by_row = torch.cat([value.reshape(2, rows, count) for value in values], dim=2)
        return torch.logsumexp(by_row, dim=2) - math.log(by_row.shape[2])

    def _value(self) -> nn.Module:
        return _BestValue(self.actor) if self.range is None else _Value(self.actor, self.critics)


class _Lower(nn.Module):
    """Of each choice the lower of both critics' values, (batch, choices)."""

    def __init__(self, critics: Critics) -> None:
        super().__init__()
        self.critics = critics

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        first, second = (network(observation) for network in self.critics.networks)
        return torch.minimum(first, second)


class _BestValue(nn.Module):
    """The value of the best choice, (batch,)."""

    def __init__(self, values: _Lower) -> None:
        super().__init__()
        self.values = values

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.values(observation).amax(dim=1)


class _Actor(nn.Module):
    """Observations to normal numbers, pressed between the bounds by tanh."""

    def __init__(self, inputs: int, range_: Range, hidden: list[int], activation: type[nn.Module]) -> None:
        super().__init__()
        self.network, self.size = perceptron(inputs, 2 * range_.size, hidden, activation), range_.size

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return means before tanh, then logs of standard deviations."""
        mean, log_std = self.network(observation).split(self.size, dim=1)
        return torch.cat([mean, log_std.clamp(LEAST_LOG_STD, MOST_LOG_STD)], dim=1)

    def draw(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return actions between -1 and 1, and (batch,) the logs of their densities there."""
        mean, log_std = self(observation).split(self.size, dim=1)
        noise = torch.randn_like(mean)
        before = mean + log_std.exp() * noise
        # log of the slope of tanh, 1 - tanh², in the form that does not cancel.
        slope = 2.0 * (math.log(2.0) - before - nn.functional.softplus(-2.0 * before))
        density = -0.5 * noise**2 - log_std - 0.5 * math.log(2.0 * math.pi) - slope
        return torch.tanh(before), density.sum(dim=1)


class _Temperature(nn.Module):
    """The weight of the entropy."""

    def __init__(self) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.zeros(()))

    def forward(self) -> torch.Tensor:
        return self.log.exp()


class _Value(nn.Module):
    """What the lower critic expects of the policy's middle action."""

    def __init__(self, actor: _Actor, critics: Critics) -> None:
        super().__init__()
        self.actor, self.critics = actor, critics

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        middle = torch.tanh(self.actor(observation)[:, : self.actor.size])
        first, second = self.critics(observation, middle)
        return torch.minimum(first, second)
