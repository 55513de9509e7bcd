"""What is left of the return where an adversary who knows the network changes each observation a little?

It is one attack, the usual one, not the worst that there is: what survives it may fall to another.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from belay_api.artifact import Manifest
from belay_api.environment import EnvironmentSpec
from belay_api.gates import WorstCaseGate
from belay_api.reasons import Verdict
from belay_api.spaces import BoxSpace
from belay_trainer import states
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Policy
from belay_trainer.export import TORCHSCRIPT
from belay_trainer.masks import Masking
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.checks.performance import POLICY
from belay_trainer.validation.disturbed import held
from belay_trainer.validation.measurement import Measurement
from belay_trainer.validation.observations import Limits, require_numbers
from belay_trainer.validation.subject import Subject

TITLE = "Worst case"
STRIDE = 2.5  # of several steps, in radii over their number: enough to reach the edge and to turn back
BY_CHOICE = ("logits", "q-values")  # outputs that are one number for each action
ATTACKED = (*BY_CHOICE, "mean", "gaussian", "squashed-gaussian")

Network = Callable[[torch.Tensor], torch.Tensor]
"""Observations (batch, *observation) to outputs."""
Harm = Callable[[torch.Tensor], torch.Tensor]
"""(batch, width) outputs to how much they differ from what the policy wants, (batch,)."""


def fit(settings: WorstCaseGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: there must be a gradient in the observation."""
    require_numbers(environment.observation_space, "epsilon", fractions=True)
    simple = isinstance(environment.action_space, gymnasium.spaces.Discrete | gymnasium.spaces.Box)
    if not simple or isinstance(environment, Masking):
        raise BadConfiguration(
            f"no attack is known on actions of {environment.action_space}"
            f"{' under masks' if isinstance(environment, Masking) else ''}: leave the gate out, or set robustness."
        )


def measure(settings: WorstCaseGate, subject: Subject) -> CheckResult:
    """See `Check`."""
    artifact = subject.artifact
    name = f"attack {settings.epsilon:g}"
    if not (artifact.folder / TORCHSCRIPT).exists() or artifact.manifest.output not in ATTACKED:
        message = (
            f"{name}: there is no network with a gradient ({TORCHSCRIPT}) in the artifact, or no attack on its output "
            f"`{artifact.manifest.output}`, and nothing was attacked."
        )
        return CheckResult((Measurement(name, Verdict.NO_DATA, message),))
    attacked = Attacked(
        subject.policy,
        artifact.manifest,
        artifact.folder / TORCHSCRIPT,
        radius=settings.epsilon * subject.spread(settings.episodes),
        steps=settings.steps,
    )
    found = held(name, subject.player(attacked), settings, subject)
    if attacked.without_gradient == attacked.shown:
        message = f"{name}: the network's gradient is 0 at every observation, so that nothing was attacked."
        return CheckResult((Measurement(name, Verdict.NO_DATA, message),))
    method = "fast gradient sign method" if settings.steps == 1 else f"projected gradient, {settings.steps} steps"
    notes = [
        f"Attack: {method}, each number by at most {settings.epsilon:g} of its standard deviation. It changed "
        f"{100 * attacked.changed / attacked.shown:.3g} % of the actions."
    ]
    if artifact.manifest.state is not None:
        notes.append(
            "The policy remembers: each observation was chosen against its next action alone, at what it remembered of "
            "those that it was shown before. What they did to its memory was not aimed at."
        )
    if attacked.without_gradient:
        share = 100 * attacked.without_gradient / attacked.shown
        notes.append(f"At {share:.3g} % of the observations the network has no gradient: they were left as they are.")
    return CheckResult(
        found.measurements,
        tuple(notes),
        {POLICY: subject.reference.returns(settings.episodes), **found.returns},
    )


class Attacked:
    """A policy that is shown observations which an adversary chose.

    Source: Goodfellow, Shlens & Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015, section 4 (one
        step); Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, section 2.1
        (several); Huang et al., "Adversarial attacks on neural network policies", 2017, for policies.
    Departs: What is raised is the margin of the best other action over the chosen one, whose sign decides, and not the
        cross entropy, whose gradient vanishes for a policy that is sure. Continuous actions are driven to the other
        side of the middle. Several steps begin at the observation itself, so that an attack repeats.
    """

    def __init__(self, policy: Policy, manifest: Manifest, network: Path, *, radius: Floats, steps: int) -> None:
        """Load the network.

        Args:
            network: TorchScript; its gradient is the attack's.
            radius: Largest change of each number of an observation.
        """
        self.shown = self.changed = self.without_gradient = 0  # observations
        self._policy, self._manifest, self._steps = policy, manifest, steps
        self._limits = Limits.of(manifest.observation)
        self._network = torch.jit.load(str(network), map_location="cpu").eval()
        self._radius = radius

    def predict(self, observation: np.ndarray, **how: Any) -> tuple[np.ndarray, object]:
        """Act at what it is shown."""
        wanted, _ = self._policy.predict(observation, **how)
        actions, state = self._policy.predict(self._attack(observation, how.get("state")), **how)
        self.shown += len(observation)
        self.changed += int((wanted != actions).reshape(len(observation), -1).any(axis=1).sum())
        return actions, state

    def _attack(self, observation: np.ndarray, state: np.ndarray | None) -> np.ndarray:
        low, high = (
            np.clip(observation + side * self._radius, self._limits.low, self._limits.high) for side in (-1, 1)
        )
        step = self._radius * (1.0 if self._steps == 1 else STRIDE / self._steps)
        network = self._knowing(state, len(observation))
        shown, harm = observation, self._harm(network, observation)
        for number in range(self._steps):
            gradient = _gradient(network, shown, harm)
            if number == 0:
                self.without_gradient += int((gradient.reshape(len(gradient), -1) == 0).all(axis=1).sum())
            shown = self._limits.within(np.clip(shown + step * np.sign(gradient), low, high))
        return shown

    def _knowing(self, state: np.ndarray | None, episodes: int) -> Network:
        """Return the network at what the policy remembers now. Args: state: None: nothing yet, or it never does."""
        shape = self._manifest.state.shape if self._manifest.state is not None else None
        remembered = states.beginning(shape, episodes) if state is None else state
        if remembered is None:
            return self._network
        before = torch.from_numpy(remembered)
        return lambda observation: self._network(observation, before)[0]

    def _harm(self, network: Network, observation: np.ndarray) -> Harm:
        """Return what the attack raises at these observations."""
        with torch.no_grad():
            outputs = network(torch.from_numpy(observation)).reshape(len(observation), -1)
        if self._manifest.output in BY_CHOICE:
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
        action = self._manifest.action
        if not isinstance(action, BoxSpace):
            raise ValueError(f"output {self._manifest.output} cannot name actions of {action}")
        if self._manifest.output == "squashed-gaussian":  # outputs stand before tanh
            return np.zeros(len(action.low))
        ends = zip(action.low, action.high, strict=True)
        return np.array([0.0 if low is None or high is None else (low + high) / 2 for low, high in ends])


def _gradient(network: Network, observation: np.ndarray, harm: Harm) -> np.ndarray:
    tensor = torch.from_numpy(observation).requires_grad_()
    (gradient,) = torch.autograd.grad(harm(network(tensor).reshape(len(tensor), -1)).sum(), tensor)
    return gradient.numpy()
