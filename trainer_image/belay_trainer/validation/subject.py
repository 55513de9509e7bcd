"""The policy that is validated, where it acts, and what all checks share: its undisturbed episodes, played once."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_api.outcomes import KnownOutcome
from belay_api.spaces import space_model
from belay_api.training import MOST_EPISODES, EvaluationSpec
from belay_heads.observations import numbers, parts
from belay_trainer import environments
from belay_trainer.environments import Environment
from belay_trainer.evaluate import Policy
from belay_trainer.masks import Masking
from belay_trainer.randomness import untouched
from belay_trainer.served import Artifact, ServedPolicy
from belay_trainer.validation.bounds import Floats
from belay_trainer.validation.episodes import Player

BEHIND = 3 * MOST_EPISODES
"""Reset seeds between the first one of the last evaluation and ours. Evaluations, the last one and random actions have
10,000 each behind `evaluation.firstSeed`, and training begins at 2^31: no start is any of theirs."""


class Subject:
    """One policy in one environment."""

    def __init__(
        self,
        artifact: Artifact,
        task: EnvironmentSpec,
        *,
        stop: Callable[[], bool] = lambda: False,
        costs: Sequence[str] = (),
        copies: int | None = None,
        baseline: Artifact | None = None,
    ) -> None:
        """Load the policy.

        Args:
            baseline: That of the RLPolicy which gates compare with; None: they compare with none.
            copies: Of the environment, played side by side; None: the usual number.
            stop: Asked before every timestep.
            costs: Keys of `info` whose positive values are violations.
        Raises: BadConfiguration.
        """
        self.artifact, self.task, self.stop, self.baseline = artifact, task, stop, baseline
        self._copies, self._masked = copies, bool(artifact.head.masks)
        self.first_seed = first_seed(artifact)
        self.policy = ServedPolicy(artifact)
        self._watched = _Watched(self.policy)
        self._players: list[Player] = []
        self.reference = self.player(self._watched, costs=costs)

    def player(
        self,
        policy: Policy,
        *,
        kwargs: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        costs: Sequence[str] = (),
        masked: bool | None = None,
    ) -> Player:
        """Return what plays `policy` from the same starts.

        Args:
            masked: It has to be told which actions are allowed; None: as the subject's own has.
            kwargs: Of `gymnasium.make`, over those of the task.
            options: Of every reset.
        """
        made = Player(
            with_kwargs(self.task, kwargs or {}),
            policy,
            first_seed=self.first_seed,
            stop=self.stop,
            options=options,
            costs=costs,
            copies=self._copies,
            masked=self._masked if masked is None else masked,
        )
        self._players.append(made)
        return made

    @cached_property
    def environment(self) -> Environment:
        """A copy that nothing is played in."""
        with untouched():
            environment = environments.maker(self.task)()
            return Masking(environment) if self._masked else environment

    @property
    def observation(self) -> np.ndarray:
        """One observation as the environment shows it, as a batch of one."""
        observation, _ = self.environment.reset(seed=self.first_seed)
        return np.stack([numbers(observation, parts(space_model(self.environment.observation_space)))])

    def spread(self, episodes: int) -> Floats:
        """Return the standard deviation of each number of an observation, in its shape, over undisturbed episodes."""
        self.reference.returns(episodes)
        return self._watched.std

    def reach(self, *played: Floats, beside: Artifact | None = None) -> tuple[float, float]:
        """Return the lowest and the highest return seen of any policy: in training, of random actions, and here.

        Args:
            beside: Of whose training counts as well.
        """
        known = (self._known_of(one) for one in (self.artifact, beside) if one is not None)
        ends = [end for one in known if one is not None for end in (one.low, one.high)]
        ends += [float(end) for one in played for end in (one.min(), one.max())]
        return min(ends), max(ends)

    @property
    def foreseen(self) -> bool:
        """Whether anything but the policy's own episodes tells how far returns reach."""
        return self._known_of(self.artifact) is not None

    def end_gate(self) -> None:
        """Free the environments of all players but the reference: a simulator may fill the memory with a few."""
        for player in self._players:
            if player is not self.reference:
                player.close()

    def close(self) -> None:
        """Free all environments."""
        for player in self._players:
            player.close()
        if "environment" in vars(self):
            self.environment.close()

    def _known_of(self, artifact: Artifact) -> KnownOutcome | None:
        manifest = artifact.manifest
        return manifest.outcomes.get("return") if manifest.environment == self.task.id else None


def first_seed(artifact: Artifact) -> int:
    """Return the reset seed of the first episode of a validation."""
    measured = artifact.manifest.evaluation
    # What nobody measured was imported, and an import would have measured it from there.
    begun = measured.first_seed if measured is not None else EvaluationSpec().first_seed + MOST_EPISODES
    return begun + BEHIND


def with_kwargs(task: EnvironmentSpec, kwargs: dict[str, Any]) -> EnvironmentSpec:
    """Return the task made with further keyword arguments. What is said of its rewards need not hold there."""
    if not kwargs:
        return task
    return task.model_copy(update={"kwargs": {**task.kwargs, **kwargs}, "reward_range": None})


class _Watched:
    """A policy that keeps mean and variance of what it is shown.

    Source: Chan, Golub & LeVeque, "Algorithms for computing the sample variance", The American Statistician 37 (1983),
        the pairwise update.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._count, self._mean, self._squares = 0, np.zeros(()), np.zeros(())

    @property
    def std(self) -> Floats:
        return np.sqrt(self._squares / self._count)

    def predict(self, observation: np.ndarray, **how: Any) -> tuple[np.ndarray, object]:
        batch, count = observation.astype(np.float64), len(observation)
        mean = batch.mean(axis=0)
        apart, total = mean - self._mean, self._count + count
        self._squares = self._squares + ((batch - mean) ** 2).sum(axis=0) + apart**2 * (self._count * count / total)
        self._mean, self._count = self._mean + apart * (count / total), total
        return self._policy.predict(observation, **how)
