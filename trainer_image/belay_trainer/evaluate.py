"""How good a policy is: greedy episodes in environments of their own, on held-out seeds, without touching the training;
and how good random actions are, on the seeds after those.

Episode i always starts from reset seed `first_seed + i`, so two checkpoints are compared on the same starts. The best
of many such comparisons is the luckiest too: `Evaluator.fresh` measures it where nothing was chosen. Episodes are
played side by side and share each forward pass: most of the time of a small policy is spent calling it.
"""

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

from belay_api.artifact import EvaluationReport
from belay_api.environment import EnvironmentSpec
from belay_api.outcomes import CertainRange, KnownOutcome, Played, certain_return
from belay_api.spaces import space_model
from belay_api.training import MOST_EPISODES, EvaluationSpec
from belay_heads.observations import numbers, parts
from belay_trainer import environments, masks, states
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration, Diverged
from belay_trainer.randomness import untouched
from belay_trainer.wrapping.costs import Tally
from belay_trainer.wrapping.info import success

COPIES = 16  # where nobody asks for another number; more gain little and cost an environment each
ENDLESS = 100_000  # timesteps; an episode of an environment without a cap is cut there, and counts as it stands
RANDOM_EPISODES = 100
RANDOM_PART = 20  # random episodes begin within the budget's timesteps over this, and within RANDOM_S
RANDOM_S = 20.0  # wall clock; what has begun has as long again to end
FLOAT32 = 1e-6  # relative: a reward of 0.1 that was a float32 is that much larger
log = logging.getLogger(__name__)


class Policy(Protocol):
    """What can be evaluated."""

    def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, object]:
        """Return one action per observation of the batch, and what the policy remembers after each, or None.

        A policy that acts under masks is given `action_masks` (batch, outputs) as well, and one that remembers `state`
        (`states`).

        Args:
            observation: As networks take them (`belay_heads.observations`), (batch, *observation).
        """


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of an evaluation."""

    report: EvaluationReport | None  # None: nobody played
    played: dict[str, Played]  # by outcome: return, length, and the cost of each constraint
    score: float | None  # what checkpoints are compared by, the mean return where there is one; None: cannot be judged
    returns: np.ndarray | None = field(default=None, compare=False)  # (episodes,)
    success_rate: float | None = None  # of the episodes whose end says whether they were one; None: none does


class Chooser(Protocol):
    """What the loop chooses among checkpoints by."""

    environment: Environment
    """One like those that policies are played in, or one that shows what was logged."""

    def __call__(self, policy: Any, *, step: int | None, stop: Callable[[], bool]) -> Evaluation:
        """Return how `policy` does; see `Evaluator`."""

    def random(self, *, seed: int, budget: int, stop: Callable[[], bool]) -> dict[str, Played] | None:
        """Return what random actions come to; None: not known."""

    def known(
        self,
        played: dict[str, Played],
        *,
        random: dict[str, Played] | None,
        reach: dict[str, tuple[float, float]],
    ) -> dict[str, KnownOutcome]:
        """Return what is known of outcomes."""

    def close(self) -> None:
        """Free what it holds."""


class Uniform:
    """Draws every action uniformly from what is allowed."""

    def __init__(self, environment: Environment, seed: int) -> None:
        self._space = copy.deepcopy(environment.action_space)  # the environment's own generator is left alone
        self._space.seed(seed)
        self._generator = np.random.default_rng(seed)
        self._head = masks.masked_head(environment) if isinstance(environment, masks.Masking) else None

    def predict(
        self, observation: np.ndarray, *, deterministic: bool, action_masks: np.ndarray | None = None
    ) -> tuple[np.ndarray, object]:
        """Return one action per observation, which it does not look at."""
        del deterministic
        if self._head is not None and action_masks is not None:
            return masks.uniform(self._head, action_masks, self._generator), None
        return np.stack([self._space.sample() for _ in observation]), None


_UnderWay = tuple[Environment, int, np.ndarray, np.ndarray | None]
"""An episode: where it is played, its number, the newest observation, and what is remembered of those before."""


class _Unfinished(Exception):
    """Episodes take too long to be waited for."""


class Stopped(Exception):
    """The evaluation was left unfinished because the pod must go."""


class Evaluator:
    """Plays evaluations; keeps its environments between them."""

    def __init__(
        self,
        make: Callable[[], Environment],
        task: EnvironmentSpec,
        *,
        episodes: int,
        first_seed: int,
        copies: int | None = None,
    ) -> None:
        """Make the environments.

        Args:
            copies: Played side by side; None: the usual number.
        """
        self._seeds, self._declared = range(first_seed, first_seed + episodes), task.reward_range is not None
        self._constraints = task.constraints
        with untouched():
            self._environments = [make() for _ in range(min(copies or COPIES, episodes))]
        self._parts = parts(space_model(self._environments[0].observation_space))
        self.rewards = environments.reward_range(self._environments[0], task)
        self.cap = environments.cap(self._environments[0])

    @property
    def environment(self) -> Environment:
        """One of its environments."""
        return self._environments[0]

    @classmethod
    def held_out(cls, make: Callable[[], Environment], task: EnvironmentSpec, spec: EvaluationSpec) -> Self:
        """Return the one that chooses among checkpoints."""
        return cls(make, task, episodes=spec.episodes, first_seed=spec.first_seed, copies=spec.vector.count)

    @classmethod
    def fresh(cls, make: Callable[[], Environment], task: EnvironmentSpec, spec: EvaluationSpec) -> Self:
        """Return the one that measures what was chosen."""
        first = spec.first_seed + MOST_EPISODES
        return cls(make, task, episodes=spec.final_episodes, first_seed=first, copies=spec.vector.count)

    def __call__(self, policy: Policy, *, step: int | None, stop: Callable[[], bool] = lambda: False) -> Evaluation:
        """Return how `policy` does.

        Args:
            step: Timestep of the training the policy was taken at; None: not known.
            stop: Asked before every timestep.
        Raises: Stopped when `stop` says so; Diverged when a return is not a finite number; BadConfiguration when a
            reward lies outside environment.rewardRange.
        """
        with untouched():
            returns, lengths, costs, cut, won = self._play(policy, stop, self._seeds)
        _check_finite(returns, at="" if step is None else f" at timestep {step}")
        report = EvaluationReport(
            step=step,
            episodes=len(returns),
            first_seed=self._seeds.start,
            mean=float(returns.mean()),
            std=float(returns.std()),
            min=float(returns.min()),
            max=float(returns.max()),
            cut=cut,
            costs=costs.reports(self._seeds, timesteps=int(lengths.sum())),
        )
        return Evaluation(
            report,
            _played(returns, lengths, costs),
            score=report.mean,
            returns=returns,
            success_rate=sum(won) / len(won) if won else None,
        )

    def returns(self, policy: Policy, seeds: range, *, stop: Callable[[], bool] = lambda: False) -> np.ndarray:
        """Return the return of each episode that begins at one of these reset seeds, in their order.

        Raises: as a call.
        """
        with untouched():
            returns, *_ = self._play(policy, stop, seeds)
        _check_finite(returns)
        return returns

    def random(
        self,
        *,
        seed: int,
        budget: int,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> dict[str, Played] | None:
        """Return what random actions come to; None: not known, since such episodes do not end soon or give no numbers.

        RANDOM_EPISODES, or as many as begin within a small part of the training. Those that began are all waited for,
        or none counts: the short ones alone would be no fair sample.

        Args:
            seed: Of the actions.
            budget: Timesteps of the training.
        Raises: Stopped, BadConfiguration.
        """
        began, most = clock(), max(budget // RANDOM_PART, 1)
        first = self._seeds.start + 2 * MOST_EPISODES  # behind those of every evaluation

        def begins(steps: int) -> bool:
            return steps < most and clock() - began < RANDOM_S

        def waits(steps: int) -> bool:
            # An episode may well last as long as the cap says, on all copies.
            return steps < most + len(self._environments) * (self.cap or most) and clock() - began < 2 * RANDOM_S

        with untouched():
            try:
                returns, lengths, costs, *_ = self._play(
                    Uniform(self._environments[0], seed), stop, range(first, first + RANDOM_EPISODES), begins, waits
                )
            except _Unfinished:
                log.info("episodes of random actions do not end soon: what they return is not known")
                return None
        return _played(returns, lengths, costs) if np.isfinite(returns).all() else None

    def known(
        self,
        played: dict[str, Played],
        *,
        random: dict[str, Played] | None,
        reach: dict[str, tuple[float, float]],
    ) -> dict[str, KnownOutcome]:
        """Return what is known of the outcomes of a policy, for its artifact.

        Args:
            played: By the policy.
            random: By random actions; None: not known.
            reach: Lowest and highest of all that was played.
        """
        rewards = self.rewards
        certain = {
            "return": certain_return(rewards.low, rewards.high, self.cap) if rewards is not None else None,
            "length": CertainRange(low=1.0, high=self.cap),
        }
        return {
            name: KnownOutcome(
                random=random.get(name) if random else None,
                evaluated=one,
                low=reach[name][0],
                high=reach[name][1],
                certain=certain.get(name),
            )
            for name, one in played.items()
        }

    def close(self) -> None:
        """Free the environments."""
        for environment in self._environments:
            environment.close()

    def _play(
        self,
        policy: Policy,
        stop: Callable[[], bool],
        seeds: range,
        begins: Callable[[int], bool] = lambda _: True,
        waits: Callable[[int], bool] = lambda _: True,
    ) -> tuple[np.ndarray, np.ndarray, Tally, int, list[float]]:
        """Return the returns, lengths and costs of the episodes with these reset seeds, how many were cut, and 1 or 0
        for each that says whether it was a success.

        Args:
            begins: Whether another episode may begin after so many timesteps in all; the first ones always do.
            waits: Whether to go on after so many.
        Raises: _Unfinished when `waits` says no.
        """
        returns, lengths, steps, cut = [0.0] * len(seeds), [0] * len(seeds), 0, 0
        waiting, costs = iter(range(len(seeds))), Tally(self._constraints, len(seeds))
        won: list[float] = []
        under_way: list[_UnderWay] = [
            self._start(e, episode, seeds) for e, episode in zip(self._environments, waiting, strict=False)
        ]
        begun = len(under_way)
        while under_way:
            if stop():
                raise Stopped
            if not waits(steps):
                raise _Unfinished
            observed = np.stack([observation for _, _, observation, _ in under_way])
            allowed = masks.arguments([environment for environment, *_ in under_way])
            remembered = states.arguments([before for *_, before in under_way])
            actions, answered = policy.predict(observed, deterministic=True, **allowed, **remembered)
            after = states.of_each(answered, len(under_way))
            going_on = []
            for (environment, episode, *_), action, state in zip(under_way, actions, after, strict=True):
                observation, reward, terminated, truncated, info = environment.step(action)
                self._check(float(reward))
                costs.add(info, episode=episode, step=lengths[episode])
                returns[episode] += float(reward)
                lengths[episode] += 1
                steps += 1
                endless = not (terminated or truncated) and lengths[episode] >= ENDLESS and not self.cap
                cut += endless
                if not (terminated or truncated or endless):
                    going_on.append((environment, episode, numbers(observation, self._parts), state))
                    continue
                if not np.isnan(said := success(info)):
                    won.append(said)
                if begins(steps) and (following := next(waiting, None)) is not None:
                    going_on.append(self._start(environment, following, seeds))
                    begun += 1
            under_way = going_on
        return np.asarray(returns[:begun]), np.asarray(lengths[:begun]), costs, cut, won

    def _start(self, environment: Environment, episode: int, seeds: range) -> _UnderWay:
        observation, _ = environment.reset(seed=seeds[episode])
        return environment, episode, numbers(observation, self._parts), None

    def _check(self, reward: float) -> None:
        """Hold a reward against what is said of all of them. Raises: BadConfiguration."""
        said = self.rewards
        if said is None or not np.isfinite(reward):  # the latter is told as what it is
            return
        slack = FLOAT32 * max(abs(said.low or 0.0), abs(said.high or 0.0))
        below = said.low is not None and reward < said.low - slack
        if not below and not (said.high is not None and reward > said.high + slack):
            return
        low, high = ("?" if end is None else f"{end:g}" for end in (said.low, said.high))
        if self._declared:
            raise BadConfiguration(
                f"environment.rewardRange: a reward of {reward:g} was seen, wanted {low} to {high}. What returns are "
                "compared within follows from it: correct it, or leave it out."
            )
        log.warning(
            "the environment says that rewards lie within %s to %s, and one is %g: that is ignored", low, high, reward
        )
        self.rewards = None


def _check_finite(returns: np.ndarray, *, at: str = "") -> None:
    if not np.isfinite(returns).all():
        raise Diverged(f"an evaluation return{at} is not finite: look at the environment's rewards.")


def _played(returns: np.ndarray, lengths: np.ndarray, costs: Tally) -> dict[str, Played]:
    return {
        name: Played(
            episodes=len(values),
            mean=float(values.mean()),
            std=float(values.std()),
            min=float(values.min()),
            max=float(values.max()),
        )
        for name, values in {"return": returns, "length": lengths, **costs.totals(len(returns))}.items()
    }
