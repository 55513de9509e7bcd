"""Behaviour cloning: the actions that were logged are made likely.

`bc` is this alone. Beside every other algorithm that learns from a dataset it is the floor, which that one has to be
better than.
"""

import torch

from belay_trainer.learners.offline.networks import Actor
from belay_trainer.learners.offline.transitions import Batch


class Cloning:
    """A policy's network, and what makes it a copy of whoever acted in the log."""

    def __init__(self, actor: Actor, *, learning_rate: float) -> None:
        self.actor = actor
        self.optimiser = torch.optim.Adam(actor.parameters(), lr=learning_rate)

    def update(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Make one step towards the most likely network: minimise -mean log π(a|s). Returns: losses by name.

        Source: Pomerleau, "Efficient Training of Artificial Neural Networks for Autonomous Navigation", Neural
            Computation 3 (1991); as maximum likelihood.
        """
        loss = -self.actor.log_likelihood(batch.observation, batch.action).mean()
        descend(self.optimiser, loss)
        return {"cloning_loss": loss.detach()}


def descend(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """Make one step of an optimiser."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
