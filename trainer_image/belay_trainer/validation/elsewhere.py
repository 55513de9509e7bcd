"""The same policy in a world that begins or behaves otherwise: what edge cases and shifted dynamics share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from belay_api.environment import EnvironmentSpec
from belay_api.gates import DisturbedGate
from belay_trainer import environments
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration, own_error
from belay_trainer.validation.check import CheckResult
from belay_trainer.validation.checks.performance import POLICY
from belay_trainer.validation.disturbed import held, unchanged
from belay_trainer.validation.subject import Subject, with_kwargs


@dataclass(frozen=True, slots=True)
class World:
    """How a world differs from the task's."""

    name: str
    kwargs: dict[str, Any] | None = None  # of `gymnasium.make`, over the task's
    options: dict[str, Any] | None = None  # of every reset


def fit_worlds(worlds: Sequence[World], environment: Environment, task: EnvironmentSpec) -> None:
    """Check that each world can be made and begun, and that the policy fits in. Raises: BadConfiguration."""
    for world in worlds:
        try:
            made = environments.maker(with_kwargs(task, world.kwargs or {}))()
        except BadConfiguration as error:
            raise BadConfiguration(f"{world.name}: {error}") from error
        try:
            made.reset(seed=0, options=world.options)
        except Exception as failed:  # whatever the environment makes of options that it does not like
            error = own_error(failed) or failed
            raise BadConfiguration(
                f"{world.name}: reset(options={world.options}) failed: {type(error).__name__}: {error}."
            ) from error
        finally:
            made.close()
        if (made.observation_space, made.action_space) != (environment.observation_space, environment.action_space):
            raise BadConfiguration(
                f"{world.name}: its spaces are {made.observation_space} and {made.action_space}, the policy is for "
                f"{environment.observation_space} and {environment.action_space}."
            )


def measure_worlds(worlds: Sequence[World], settings: DisturbedGate, subject: Subject) -> CheckResult:
    """Hold the returns in each world to the limits of the gate."""
    measurements, returns = [], {POLICY: subject.reference.returns(settings.episodes)}
    for world in worlds:
        player = subject.player(subject.policy, kwargs=world.kwargs, options=world.options)
        given = "options" if world.options is not None and not world.kwargs else "kwargs"
        nothing = unchanged(
            world.name, player, settings, subject, why=f"the environment takes no notice of its {given}"
        )
        if nothing is not None:
            measurements.append(nothing)
            continue
        found = held(world.name, player, settings, subject)
        measurements += found.measurements
        returns |= found.returns
    return CheckResult(tuple(measurements), returns=returns)
