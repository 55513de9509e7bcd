"""Observations that an adversary changed a little, in the direction of a network's gradient that hurts its policy.

It is one attack, the usual one, not the worst that there is: what survives it may fall to another. The gate `worstCase`
shows them to a policy that is done, `spec.adversary` to one that learns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium
import numpy as np
import torch

from belay_api.spaces import BoxSpace, Space
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.masks import Masking
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.observations import Limits, require_numbers

STRIDE = 2.5  # of several steps, in radii over their number: enough to reach the edge and to turn back
BY_CHOICE = ("logits", "q-values")  # outputs that are one number for each action
ATTACKED = (*BY_CHOICE, "mean", "gaussian", "squashed-gaussian")

Network = Callable[[torch.Tensor], torch.Tensor]
"""Observations (batch, *observation) to outputs."""
Harm = Callable[[torch.Tensor], torch.Tensor]
"""(batch, width) outputs to how much they differ from what the policy wants, (batch,)."""


def require_attackable(environment: Environment, what: str, *, instead: str) -> None:
    """Check that there is a gradient in the observation, and that it is known where it leads.

    Args:
        what: Needs it.
        instead: What else the user can do.
    Raises: BadConfiguration.
    """
    require_numbers(environment.observation_space, what, fractions=True)
    simple = isinstance(environment.action_space, gymnasium.spaces.Discrete | gymnasium.spaces.Box)
    if not simple or isinstance(environment, Masking):
        raise BadConfiguration(
            f"no attack is known on actions of {environment.action_space}"
            f"{' under masks' if isinstance(environment, Masking) else ''}: {instead}."
        )


@dataclass(frozen=True, slots=True)
class Attack:
    """What is done to observations of one task.

    Source: Goodfellow, Shlens & Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015, section 4 (one
        step); Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, section 2.1
        (several); Huang et al., "Adversarial attacks on neural network policies", 2017, for policies.
    Departs: What is raised is the margin of the best other action over the chosen one, whose sign decides, and not the
        cross entropy, whose gradient vanishes for a policy that is sure. Continuous actions are driven to the other
        side of the middle. Several steps begin at the observation itself, so that an attack repeats.
    """

    output: str  # of the network, as in the manifest; one of ATTACKED
    action: Space
    limits: Limits  # of observations
    steps: int

    def changed(self, network: Network, observation: np.ndarray, radius: Floats) -> tuple[np.ndarray, np.ndarray]:
        """Return what is shown instead, and (batch,) whether the network has a gradient there.

        Args:
            observation: (batch, *observation).
            radius: Largest change of each number of an observation.
        """
        low, high = (np.clip(observation + side * radius, self.limits.low, self.limits.high) for side in (-1, 1))
        step = radius * (1.0 if self.steps == 1 else STRIDE / self.steps)
        shown, harm = observation, self._harm(network, observation)
        for number in range(self.steps):
            gradient = _gradient(network, shown, harm)
            if number == 0:
                steep = (gradient.reshape(len(gradient), -1) != 0).any(axis=1)
            shown = self.limits.within(np.clip(shown + step * np.sign(gradient), low, high))
        return shown, steep

    def _harm(self, network: Network, observation: np.ndarray) -> Harm:
        """Return what the attack raises at these observations."""
        with torch.no_grad():
            outputs = network(torch.from_numpy(observation)).reshape(len(observation), -1)
        if self.output in BY_CHOICE:
            chosen = outputs.argmax(dim=1, keepdim=True)
            others = torch.ones_like(outputs).scatter(1, chosen, 0.0).bool()

            def margin(found: torch.Tensor) -> torch.Tensor:
                best = found.masked_fill(~others, -torch.inf).amax(dim=1)
                return best - found.gather(1, chosen).squeeze(1)

            return margin
        middle = torch.as_tensor(self._middle(), dtype=outputs.dtype)
        side = torch.where(outputs[:, : len(middle)] >= middle, 1.0, -1.0)
        return lambda found: -(side * found[:, : len(middle)]).sum(dim=1)

    def _middle(self) -> Floats:
        """Return the output in the middle of each dimension's actions; 0 where they have no bounds."""
        if not isinstance(self.action, BoxSpace):
            raise ValueError(f"output {self.output} cannot name actions of {self.action}")
        if self.output == "squashed-gaussian":  # outputs stand before tanh
            return np.zeros(len(self.action.low))
        ends = zip(self.action.low, self.action.high, strict=True)
        return np.array([0.0 if low is None or high is None else (low + high) / 2 for low, high in ends])


def _gradient(network: Network, observation: np.ndarray, harm: Harm) -> np.ndarray:
    tensor = torch.from_numpy(observation).requires_grad_()
    (gradient,) = torch.autograd.grad(harm(network(tensor).reshape(len(tensor), -1)).sum(), tensor)
    return gradient.numpy()
