"""What is left of the return where every number of every observation has noise?"""

from typing import Any

import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_api.gates import NoiseUnit, RobustnessGate
from belay_trainer.environments import Environment
from belay_trainer.evaluate import Policy
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.checks.performance import POLICY
from belay_trainer.validation.disturbed import held
from belay_trainer.validation.observations import Limits, require_numbers
from belay_trainer.validation.subject import Subject

TITLE = "Robustness"
SEED = 20_170_907  # of the noise; any constant


def fit(settings: RobustnessGate, environment: Environment, task: EnvironmentSpec) -> None:
    """See `Check`: observations must be numbers."""
    require_numbers(environment.observation_space, "noise")


def measure(settings: RobustnessGate, subject: Subject) -> CheckResult:
    """See `Check`."""
    std = subject.spread(settings.episodes)
    unit = std if settings.unit is NoiseUnit.STD else np.ones_like(std)
    limits = Limits.of(subject.artifact.manifest.observation)
    found = [
        held(f"noise {size:g}", subject.player(Noisy(subject.policy, size * unit, limits)), settings, subject)
        for size in settings.noise
    ]
    counted = "of each number's standard deviation" if settings.unit is NoiseUnit.STD else "in the observation's units"
    return CheckResult(
        tuple(one for part in found for one in part.measurements),
        (f"Noise is normal, {counted}, drawn anew at every timestep and cut at the bounds of the observation space.",),
        {POLICY: subject.reference.returns(settings.episodes)}
        | {k: v for part in found for k, v in part.returns.items()},
    )


class Noisy:
    """A policy that is shown observations with noise."""

    def __init__(self, policy: Policy, std: Floats, limits: Limits) -> None:
        """Args: std: Of the noise, for each number of an observation."""
        self._policy, self._std, self._limits = policy, std, limits
        self._generator = np.random.default_rng(SEED)

    def predict(self, observation: np.ndarray, **how: Any) -> tuple[np.ndarray, object]:
        """Act at what it is shown."""
        noise = self._std * self._generator.standard_normal(observation.shape)
        return self._policy.predict(self._limits.within(observation + noise), **how)
