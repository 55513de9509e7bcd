"""What policies return in the real simulator, and what that counts: 0 as random actions, 100 as the expert."""

from importlib import import_module

import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_trainer.environments import maker
from belay_trainer.evaluate import Evaluator, Policy, Uniform

FIRST_SEED = 1_000_000  # of resets; logs are collected on others
REFERENCE = 100  # episodes of random actions, and of an expert that is a controller


class Played:
    """A simulator, and who stands beside what was learned."""

    def __init__(self, task: str, expert: str | float, *, episodes: int) -> None:
        spec = EnvironmentSpec(id=task)
        self._evaluator = Evaluator(maker(spec), spec, episodes=episodes, first_seed=FIRST_SEED)
        self._starts = range(FIRST_SEED, FIRST_SEED + episodes)
        self.random = self._reference(Uniform(self._evaluator.environment, seed=0))
        self.expert = self._reference(Controller(expert)) if isinstance(expert, str) else float(expert)

    def returns(self, policy: Policy) -> float:
        """Return the mean return of a policy, greedy, on starts that are the same for all."""
        return float(self._evaluator.returns(policy, self._starts).mean())

    def score(self, mean: float) -> float:
        """Return what a mean return counts.

        Source: Fu, Kumar, Nachum, Tucker, Levine, "D4RL: Datasets for Deep Data-Driven Reinforcement Learning" (2020),
            section 4.
        """
        return 100 * (mean - self.random) / (self.expert - self.random)

    def _reference(self, policy: Policy) -> float:
        return float(self._evaluator.returns(policy, range(FIRST_SEED, FIRST_SEED + REFERENCE)).mean())


class Controller:
    """A function of one observation, `module:name`, as a policy."""

    def __init__(self, name: str) -> None:
        module, _, attribute = name.partition(":")
        self._act = getattr(import_module(module), attribute)

    def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, object]:
        """See `Policy`."""
        del deterministic
        return np.array([self._act(one) for one in observation]), None
