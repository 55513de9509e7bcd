"""How good a policy is: greedy episodes in environments of their own, on held-out seeds, without touching the training.

Episode i always starts from reset seed `first_seed + i`, so two checkpoints are compared on the same starts. The best
of many such comparisons is the luckiest too: `Evaluator.fresh` measures it where nothing was chosen. Episodes are
played side by side and share each forward pass: most of the time of a small policy is spent calling it.
"""

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np

from belay_api.artifact import EvaluationReport
from belay_api.training import MOST_EPISODES, EvaluationSpec
from belay_trainer.environments import Environment
from belay_trainer.errors import Diverged
from belay_trainer.randomness import untouched

COPIES = 16  # side by side; more gain little and cost an environment each
ENDLESS = 100_000  # timesteps; an episode of an environment without a cap is cut there, and counts as it stands


class Policy(Protocol):
    """What can be evaluated."""

    def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, object]:
        """Return one action per observation of the batch, and what we do not use."""


class Stopped(Exception):
    """The evaluation was left unfinished because the pod must go."""


class Evaluator:
    """Plays evaluations; keeps its environments between them."""

    def __init__(self, make: Callable[[], Environment], *, episodes: int, first_seed: int) -> None:
        self._episodes, self._first_seed = episodes, first_seed
        with untouched():
            self._environments = [make() for _ in range(min(COPIES, episodes))]

    @classmethod
    def held_out(cls, make: Callable[[], Environment], spec: EvaluationSpec) -> Self:
        """Return the one that chooses among checkpoints."""
        return cls(make, episodes=spec.episodes, first_seed=spec.first_seed)

    @classmethod
    def fresh(cls, make: Callable[[], Environment], spec: EvaluationSpec) -> Self:
        """Return the one that measures what was chosen."""
        return cls(make, episodes=spec.final_episodes, first_seed=spec.first_seed + MOST_EPISODES)

    def __call__(self, policy: Policy, *, step: int, stop: Callable[[], bool] = lambda: False) -> EvaluationReport:
        """Return how `policy` does.

        Args:
            step: Timestep of the training the policy was taken at.
            stop: Asked before every timestep.
        Raises: Stopped when `stop` says so; Diverged when a return is not a finite number.
        """
        with untouched():
            played, cut = self._play(policy, stop)
        returns = np.asarray(played)
        if not np.isfinite(returns).all():
            raise Diverged(f"an evaluation return at timestep {step} is not finite: look at the environment's rewards.")
        return EvaluationReport(
            step=step,
            episodes=len(returns),
            first_seed=self._first_seed,
            mean=float(returns.mean()),
            std=float(returns.std()),
            min=float(returns.min()),
            max=float(returns.max()),
            cut=cut,
        )

    def close(self) -> None:
        """Free the environments."""
        for environment in self._environments:
            environment.close()

    def _play(self, policy: Policy, stop: Callable[[], bool]) -> tuple[list[float], int]:
        """Play every episode; return their returns, and how many were cut."""
        cut = 0
        returns, lengths = [0.0] * self._episodes, [0] * self._episodes
        waiting = iter(range(self._episodes))
        under_way = [_start(environment, next(waiting), self._first_seed) for environment in self._environments]
        while under_way:
            if stop():
                raise Stopped
            actions, _ = policy.predict(np.stack([observation for _, _, observation in under_way]), deterministic=True)
            going_on = []
            for (environment, episode, _), action in zip(under_way, actions, strict=True):
                observation, reward, terminated, truncated, _ = environment.step(action)
                returns[episode] += float(reward)
                lengths[episode] += 1
                endless = not (terminated or truncated) and lengths[episode] >= ENDLESS and not _cap(environment)
                cut += endless
                if not (terminated or truncated or endless):
                    going_on.append((environment, episode, observation))
                elif (following := next(waiting, None)) is not None:
                    going_on.append(_start(environment, following, self._first_seed))
            under_way = going_on
        return returns, cut


def _cap(environment: Environment) -> int | None:
    return environment.spec.max_episode_steps if environment.spec else None


def _start(environment: Environment, episode: int, first_seed: int) -> tuple[Environment, int, np.ndarray]:
    observation, _ = environment.reset(seed=first_seed + episode)
    return environment, episode, observation
