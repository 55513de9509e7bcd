"""What an environment does from one seed with one sequence of actions, played in copies of its own before training.

    a new copy · another new copy · the first one again · the other one again, with other actions

The first two differ where seeds do not say what happens, the first and third where reset leaves something behind; the
first and the last are alike where actions do nothing. Differences are findings, not errors: hardware has them, and some
simulators.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from belay_api.spaces import space_model
from belay_heads.observations import Part, numbers, parts
from belay_trainer.diagnosis.evidence import Contract
from belay_trainer.masks import Masking

Environment = gymnasium.Env[Any, Any]
STEPS = 64  # timesteps of one course
FEWEST = 8  # actions that differ between two courses, for these to have to differ
SECONDS = 1.0  # of the first course; a slow environment is compared over fewer timesteps
CLOSE = 1e-6  # absolute and relative: float32 sums in another order are no difference


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was seen after one action, or after a reset."""

    steps: int  # timesteps before
    observation: np.ndarray
    reward: float = 0.0
    ended: tuple[bool, bool] = (False, False)


def probe(
    make: Callable[[], Environment], *, seed: int, clock: Callable[[], float] = time.monotonic
) -> Contract | None:
    """Return what was found; None: which actions are allowed is known only on the way, so no course can be planned.

    Args:
        make: Makes one copy.
        seed: Reset seed of the first episode; the following ones take the next.
    """
    one, other = make(), make()
    try:
        if isinstance(one, Masking):
            return None
        actions, *others = (_actions(one, seed=number) for number in range(3))
        deadline = clock() + SECONDS
        first = _course(one, actions, seed, lambda: clock() > deadline)
        steps = first[-1].steps
        actions = actions[:steps]
        if copies_differ := _difference(first, _course(other, actions, seed)):
            return Contract(steps, copies_differ=copies_differ)
        if reset_differs := _difference(first, _course(one, actions, seed)):
            return Contract(steps, reset_differs=reset_differs)
        ignores = all(
            _differ(actions, second[:steps]) and _difference(first, _course(other, second[:steps], seed)) is None
            for second in others
        )
        return Contract(steps, ignores_actions=ignores)
    finally:
        one.close()
        other.close()


def _actions(environment: Environment, *, seed: int) -> list[Any]:
    space = copy.deepcopy(environment.action_space)  # the environment's own generator is left alone
    space.seed(seed)
    return [space.sample() for _ in range(STEPS)]


def _differ(one: list[Any], other: list[Any]) -> bool:
    """Whether two sequences of actions differ so often that their courses should: not where there is no choice."""
    return sum(not np.array_equal(a, b) for a, b in zip(one, other, strict=True)) >= FEWEST


def _course(
    environment: Environment, actions: list[Any], seed: int, stop: Callable[[], bool] = lambda: False
) -> list[_Moment]:
    """Play the actions, in as many episodes as it takes."""
    found = parts(space_model(environment.observation_space))
    observation, _ = environment.reset(seed=seed)
    moments = [_Moment(0, _copied(observation, found))]
    for steps, action in enumerate(actions, start=1):
        observation, reward, terminated, truncated, _ = environment.step(action)
        ended = bool(terminated), bool(truncated)
        moments.append(_Moment(steps, _copied(observation, found), float(reward), ended))
        if terminated or truncated:
            seed += 1
            observation, _ = environment.reset(seed=seed)
            moments.append(_Moment(steps, _copied(observation, found)))
        if stop():
            break
    return moments


def _copied(observation: Any, found: list[Part]) -> np.ndarray:
    return np.array(numbers(observation, found))  # a copy: an environment may hand out the same array again


def _difference(one: list[_Moment], other: list[_Moment]) -> str | None:
    """Return the first difference in words; None: there is none."""
    for a, b in zip(one, other, strict=False):  # of unequal length only after one of them ended an episode
        if not _close(a.observation, b.observation):
            by = float(np.nanmax(np.abs(a.observation.astype(float) - b.observation)))
            return f"after {a.steps} timesteps by {by:.2g} in an observation"
        if not math.isclose(a.reward, b.reward, rel_tol=CLOSE, abs_tol=CLOSE):
            return f"after {a.steps} timesteps in the reward, {a.reward:.3g} and {b.reward:.3g}"
        if a.ended != b.ended:
            return f"after {a.steps} timesteps in whether the episode is over"
    return None


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    # Nearly always they are equal, which is seen ten times sooner.
    return np.array_equal(one, other) or np.allclose(one, other, rtol=CLOSE, atol=CLOSE, equal_nan=True)
