"""Episodes of a policy, played as they are asked for. Episode i begins at the same reset seed whatever is disturbed, so
that two kinds of episodes are compared start by start.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from belay_api.environment import EnvironmentSpec
from belay_api.spaces import space_model
from belay_heads.observations import numbers, parts
from belay_trainer import environments
from belay_trainer.environments import Environment
from belay_trainer.evaluate import Evaluator, Policy
from belay_trainer.masks import Masking
from belay_trainer.validation.bounds import Floats
from belay_trainer.wrapping.info import number


@dataclass(slots=True)
class Trace:
    """What one episode showed, beside its return."""

    checksum: int = 0  # of all observations: equal traces are equal episodes
    violations: dict[str, list[int]] = field(default_factory=dict)  # timesteps, from 0, with a cost above 0, by its key


class Recorded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that keeps the trace of every episode by its reset seed."""

    def __init__(
        self,
        environment: Environment,
        *,
        options: dict[str, Any] | None,
        costs: Sequence[str],
        traces: dict[int, Trace],
        keys: set[str],
    ) -> None:
        """Begin every episode with `options`, and note which `keys` any `info` had."""
        super().__init__(environment)
        self._options, self._costs, self._traces, self._keys = options, costs, traces, keys
        self._trace, self._step = Trace(), 0
        self._parts = parts(space_model(environment.observation_space))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=self._options if options is None else options)
        self._trace, self._step = Trace(), 0
        if seed is not None:
            self._traces[seed] = self._trace
        self._see(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a timestep."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._see(observation)
        self._keys.update(info)
        for key in self._costs:
            if number(info, key, field="constraints.costs") > 0:
                self._trace.violations.setdefault(key, []).append(self._step)
        self._step += 1
        return observation, reward, terminated, truncated, info

    def _see(self, observation: Any) -> None:
        self._trace.checksum = zlib.crc32(
            np.ascontiguousarray(numbers(observation, self._parts)).tobytes(), self._trace.checksum
        )


class Player:
    """Plays one policy in one environment; keeps what it played."""

    def __init__(
        self,
        task: EnvironmentSpec,
        policy: Policy,
        *,
        first_seed: int,
        stop: Callable[[], bool],
        options: dict[str, Any] | None = None,
        costs: Sequence[str] = (),
        copies: int | None = None,
        masked: bool = False,
    ) -> None:
        """Set up; environments are made with the first episode.

        Args:
            masked: The policy has to be told which actions are allowed.
            copies: Of the environment, played side by side; None: the usual number.
            options: Of every reset; None: none.
            costs: Keys of `info` whose positive values are violations.
        """
        self.first_seed = first_seed
        self.keys: set[str] = set()  # of every info seen
        self._task, self._policy, self._stop, self._options, self._costs = task, policy, stop, options, costs
        self._copies, self._masked = copies, masked
        self._returns: Floats = np.empty(0)
        self._traces: dict[int, Trace] = {}
        self._evaluator: Evaluator | None = None

    def returns(self, count: int) -> Floats:
        """Return the returns of the first `count` episodes.

        Raises: Stopped, Diverged, BadConfiguration; NotFinite when the policy has no action.
        """
        played = len(self._returns)
        if count > played:
            seeds = range(self.first_seed + played, self.first_seed + count)
            found = self._playing(len(seeds)).returns(self._policy, seeds, stop=self._stop)
            self._returns = np.concatenate([self._returns, found])
        return self._returns[:count]

    def traces(self, count: int) -> list[Trace]:
        """Return what the first `count` episodes showed; they were played."""
        return [self._traces[self.first_seed + episode] for episode in range(count)]

    def close(self) -> None:
        """Free the environments; what was played stays, and further episodes make new ones."""
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None

    def _playing(self, episodes: int) -> Evaluator:
        if self._evaluator is None:
            make = environments.maker(self._task)

            def recorded() -> Environment:
                kept = {"costs": self._costs, "traces": self._traces, "keys": self.keys}
                environment = Recorded(make(), options=self._options, **kept)
                return Masking(environment) if self._masked else environment

            self._evaluator = Evaluator(
                recorded, self._task, episodes=episodes, first_seed=self.first_seed, copies=self._copies
            )
        return self._evaluator
