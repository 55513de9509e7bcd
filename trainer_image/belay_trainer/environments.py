"""The task as the spec names it: made, checked, and ready to be stepped by Stable-Baselines3.

Who starts where: no two copies of any seed of a job collect in the same episodes, and nothing is evaluated in episodes
that were trained on. Evaluations begin at reset seeds below 2^31, copies at one of their own from there on.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from belay_api.artifact import space_model
from belay_api.training import MOST_COPIES, AlgorithmName, EnvironmentSpec
from belay_trainer.errors import BadConfiguration

Environment = gymnasium.Env[Any, Any]

TRAINING_SEEDS = 2**31  # from here on; NumPy's older generators take 32 bits and no more

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


class Copies(DummyVecEnv):
    """Environments stepped one after the other; each begins at a reset seed that no copy of another seed begins at."""

    def seed(self, seed: int | None = None) -> list[int]:
        """Seed the next reset. Stable-Baselines3's own gives copy i + 1 of seed s what copy i of seed s + 1 has."""
        if seed is None:
            return super().seed(seed)
        self._seeds = reset_seeds(seed, self.num_envs)
        return self._seeds


def reset_seeds(seed: int, copies: int) -> list[int]:
    """Return the reset seeds of a training seed's copies, all at least 2^31.

    Those of the up to 1,000 neighbouring seeds of a job all differ.
    """
    return [TRAINING_SEEDS + (seed * MOST_COPIES + copy) % TRAINING_SEEDS for copy in range(copies)]


def vectorised(make: Callable[[], Environment], copies: int) -> Copies:
    """Return `copies` environments, each counting its episode returns."""
    return Copies([lambda: Monitor(make()) for _ in range(copies)])
