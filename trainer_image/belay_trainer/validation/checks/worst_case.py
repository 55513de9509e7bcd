"""What is left of the return where an adversary who knows the network changes each observation a little?

It is one attack, the usual one, not the worst that there is: what survives it may fall to another.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from belay_api.artifact import Manifest
from belay_api.environment import EnvironmentSpec
from belay_api.gates import WorstCaseGate
from belay_api.reasons import Verdict
from belay_trainer import states
from belay_trainer.attack import ATTACKED, Attack, Network, require_attackable
from belay_trainer.environments import Environment
from belay_trainer.evaluate import Policy
from belay_trainer.export import TORCHSCRIPT
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.checks.performance import POLICY
from belay_trainer.validation.disturbed import held
from belay_trainer.validation.measurement import Measurement
from belay_trainer.validation.observations import Limits
from belay_trainer.validation.subject import Subject

TITLE = "Worst case"


def fit(settings: WorstCaseGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: there must be a gradient in the observation."""
    require_attackable(environment, "epsilon", instead="leave the gate out, or set robustness")


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
    """A policy that is shown observations which an adversary chose."""

    def __init__(self, policy: Policy, manifest: Manifest, network: Path, *, radius: Floats, steps: int) -> None:
        """Load the network.

        Args:
            network: TorchScript; its gradient is the attack's.
            radius: Largest change of each number of an observation.
        """
        self.shown = self.changed = self.without_gradient = 0  # observations
        self._policy, self._state = policy, manifest.state
        self._attack = Attack(str(manifest.output), manifest.action, Limits.of(manifest.observation), steps)
        self._network = torch.jit.load(str(network), map_location="cpu").eval()
        self._radius = radius

    def predict(self, observation: np.ndarray, **how: Any) -> tuple[np.ndarray, object]:
        """Act at what it is shown."""
        wanted, _ = self._policy.predict(observation, **how)
        network = self._knowing(how.get("state"), len(observation))
        shown, steep = self._attack.changed(network, observation, self._radius)
        actions, state = self._policy.predict(shown, **how)
        self.shown += len(observation)
        self.without_gradient += int((~steep).sum())
        self.changed += int((wanted != actions).reshape(len(observation), -1).any(axis=1).sum())
        return actions, state

    def _knowing(self, state: np.ndarray | None, episodes: int) -> Network:
        """Return the network at what the policy remembers now. Args: state: None: nothing yet, or it never does."""
        shape = self._state.shape if self._state is not None else None
        remembered = states.beginning(shape, episodes) if state is None else state
        if remembered is None:
            return self._network
        before = torch.from_numpy(remembered)
        return lambda observation: self._network(observation, before)[0]
