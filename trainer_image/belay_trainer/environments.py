"""The task as the spec names it: made, checked, and ready to be stepped by Stable-Baselines3."""

import math
from collections.abc import Callable
from typing import Any

import gymnasium
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from belay_api.artifact import space_model
from belay_api.training import AlgorithmName, EnvironmentSpec, RewardRange
from belay_trainer.errors import BadConfiguration

Environment = gymnasium.Env[Any, Any]

# What a wrong id, module or keyword raises while an environment is made. Anything else may be the machine's fault and
# is worth another pod.
_USER_FAULTS = (gymnasium.error.Error, ImportError, TypeError, ValueError, AttributeError, KeyError, AssertionError)


def maker(spec: EnvironmentSpec) -> Callable[[], Environment]:
    """Return what makes one copy of the environment.

    Its Raises: BadConfiguration when the id, its module or its keyword arguments do not give an environment.
    """

    def make() -> Environment:
        try:
            return gymnasium.make(spec.id, **spec.kwargs)  # `package.module:Id-v0` imports the module first
        except _USER_FAULTS as error:
            raise BadConfiguration(
                f"environment.id {spec.id!r} with kwargs {spec.kwargs} cannot be made: "
                f"{type(error).__name__}: {error}. The ids in this image: `python3 -c 'import gymnasium; "
                "gymnasium.pprint_registry()'`; ids of your own need the form `package.module:Id-v0` and the package "
                "in runtime.image."
            ) from error

    return make


def check_spaces(environment: Environment, algorithm: AlgorithmName) -> None:
    """Check that what goes in and out can be learned and served. Raises: BadConfiguration."""
    try:
        space_model(environment.observation_space)
        action = space_model(environment.action_space)
    except ValueError as error:
        raise BadConfiguration(f"environment.id: {error}") from error
    if algorithm is AlgorithmName.DQN and action.kind != "discrete":
        raise BadConfiguration(f"algorithm.name dqn wants Discrete actions, this task has {action}: use ppo.")
    if action.kind == "discrete" and action.start != 0:
        raise BadConfiguration(
            f"actions start at {action.start}, wanted 0: shift them in a wrapper of the environment."
        )


def cap(environment: Environment) -> int | None:
    """Return the most timesteps an episode can last; None: there is no cap."""
    return environment.spec.max_episode_steps if environment.spec else None


def reward_range(environment: Environment, spec: EnvironmentSpec) -> RewardRange | None:
    """Return between what every reward lies, as the spec says, or else the environment's attribute; None: nobody says.

    Raises: BadConfiguration when the spec contradicts itself.
    """
    said = spec.reward_range
    if said is not None:
        if said.low is not None and said.high is not None and said.low > said.high:
            raise BadConfiguration(
                f"environment.rewardRange: low {said.low:g} is above high {said.high:g}: exchange them."
            )
        return said
    # Gymnasium had this attribute until version 1, infinite where nobody set it.
    found = getattr(environment.unwrapped, "reward_range", None)
    try:
        low, high = (float(end) for end in found)
    except (TypeError, ValueError):
        return None
    if not low <= high or not (math.isfinite(low) or math.isfinite(high)):
        return None
    return RewardRange(low=low if math.isfinite(low) else None, high=high if math.isfinite(high) else None)


def vectorised(make: Callable[[], Environment], copies: int) -> DummyVecEnv:
    """Return `copies` environments stepped one after the other, each counting its episode returns."""
    return DummyVecEnv([lambda: Monitor(make()) for _ in range(copies)])
