"""Networks of algorithms that learn from a dataset. They take flat or shaped observations, after the normaliser.

What a policy's network answers is what its head reads (`belay_heads`), in the units of the action space, so the policy
that is trained is the one that is served.
"""

import copy
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from belay_trainer.errors import BadConfiguration

LEAST_LOG_STD, MOST_LOG_STD = -5.0, 2.0  # where 1 is half of an action's range
_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


class Actor(Protocol):
    """A stochastic policy's network, that logged actions are likely under."""

    output: str
    """The head that reads what it answers."""

    def __call__(self, observation: torch.Tensor) -> torch.Tensor:
        """Return (batch, width)."""

    def log_likelihood(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Return (batch,): the log probability, or density in units of half the range, of logged actions."""


def perceptron(inputs: int, outputs: int, hidden: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Return a network from (batch, *observation) to (batch, outputs)."""
    layers: list[nn.Module] = [_Flat()]
    for size in hidden:
        layers += [nn.Linear(inputs, size), activation()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class Range(nn.Module):
    """Between numbers about -1 to 1 and actions in the units of a box."""

    def __init__(self, space: spaces.Box, logged: np.ndarray) -> None:
        """Take centre and half range from the bounds; where there are none, from the mean and deviation of the log.

        Args:
            logged: Actions, (timesteps, *action).
        """
        super().__init__()
        rows = logged.reshape(len(logged), -1).astype(np.float64)
        low, high = space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
        bounded = np.isfinite(low) & np.isfinite(high)
        with np.errstate(invalid="ignore"):
            centre = np.where(bounded, (low + high) / 2, rows.mean(axis=0))
            half = np.where(bounded, (high - low) / 2, np.maximum(rows.std(axis=0), 1e-3))
        self.size = len(low)
        self.all_bounded = bool(bounded.all())
        self.register_buffer("bounded", torch.from_numpy(bounded))
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32))
        self.register_buffer("half_range", torch.tensor(half, dtype=torch.float32))

    def to_units(self, number: torch.Tensor) -> torch.Tensor:
        """Return actions."""
        return self.centre + number * self.half_range

    def from_units(self, action: torch.Tensor) -> torch.Tensor:
        """Return numbers about -1 to 1."""
        return (action - self.centre) / self.half_range

    def require_bounds(self, algorithm: str) -> None:
        """Check that every number of an action has bounds. Raises: BadConfiguration."""
        if not self.all_bounded:
            raise BadConfiguration(
                f"algorithm.{algorithm} presses actions between bounds, and those of this dataset have none in some "
                "direction: say them in dataset.actions, or use bc or iql."
            )


class Categorical(nn.Module):
    """A probability for each choice. See `Actor`."""

    output = "logits"

    def __init__(self, inputs: int, choices: int, hidden: Sequence[int], activation: type[nn.Module]) -> None:
        super().__init__()
        self.network = perceptron(inputs, choices, hidden, activation)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.network(observation)

    def log_likelihood(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """See `Actor`."""
        return torch.log_softmax(self(observation), dim=1).gather(1, action.unsqueeze(1))[:, 0]


class Gaussian(nn.Module):
    """A normal number for each of an action's, with one spread for all observations. See `Actor`.

    Source: the policy of Kostrikov, Nair, Levine, "Offline Reinforcement Learning with Implicit Q-Learning", ICLR 2022:
        means pressed by tanh, deviations that do not depend on the observation.
    """

    output = "gaussian"

    def __init__(self, inputs: int, range_: Range, hidden: Sequence[int], activation: type[nn.Module]) -> None:
        super().__init__()
        self.range = copy.deepcopy(range_)
        self.network = perceptron(inputs, range_.size, hidden, activation)
        self.log_std = nn.Parameter(torch.zeros(range_.size))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return means, then logs of standard deviations, in the units of the space."""
        mean = self.range.to_units(self._mean(observation))
        log_std = self._log_std() + torch.log(self.range.half_range)
        return torch.cat([mean, log_std.expand_as(mean)], dim=1)

    def log_likelihood(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """See `Actor`."""
        log_std = self._log_std()
        apart = (self.range.from_units(action) - self._mean(observation)) / log_std.exp()
        return (-0.5 * apart**2 - log_std - _LOG_ROOT_2PI).sum(dim=1)

    def _mean(self, observation: torch.Tensor) -> torch.Tensor:
        found = self.network(observation)
        return torch.where(self.range.bounded, torch.tanh(found), found)

    def _log_std(self) -> torch.Tensor:
        return self.log_std.clamp(LEAST_LOG_STD, MOST_LOG_STD)


class Critics(nn.Module):
    """Two networks for the value of an action; where actions are choices, each answers for all of them at once."""

    def __init__(
        self, inputs: int, *, choices: int | None, numbers: int, hidden: Sequence[int], activation: type[nn.Module]
    ) -> None:
        """Set up.

        Args:
            choices: How many actions there are; None: an action is `numbers` numbers about -1 to 1.
        """
        super().__init__()
        self.choices = choices
        sizes = (inputs, choices) if choices is not None else (inputs + numbers, 1)
        self.networks = nn.ModuleList(perceptron(*sizes, hidden, activation) for _ in range(2))

    def all(self, observation: torch.Tensor) -> torch.Tensor:
        """Return (2, batch, choices)."""
        return torch.stack([network(observation) for network in self.networks])

    def forward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Return (2, batch): what each says of one action for each observation."""
        if self.choices is not None:
            chosen = action.unsqueeze(1)
            return torch.stack([network(observation).gather(1, chosen)[:, 0] for network in self.networks])
        both = torch.cat([observation.flatten(1), action], dim=1)
        return torch.stack([network(both)[:, 0] for network in self.networks])


def target_of(network: nn.Module) -> nn.Module:
    """Return a copy that is not trained, but follows."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(target: nn.Module, network: nn.Module, tau: float) -> None:
    """Move a target network towards the trained one: target <- target + tau (trained - target)."""
    for behind, ahead in zip(target.parameters(), network.parameters(), strict=True):
        behind.lerp_(ahead, tau)


class _Flat(nn.Module):
    """Observations as flat float32."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return observation.reshape(observation.shape[0], -1).to(torch.float32)
