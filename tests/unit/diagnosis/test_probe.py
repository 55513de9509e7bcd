"""The probe on environments that keep their contract and on ones that break one part of it."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from belay_trainer.diagnosis.evidence import Contract
from belay_trainer.diagnosis.probe import STEPS, probe
from belay_trainer.masks import Masking

Step = tuple[np.ndarray, float, bool, bool, dict[str, Any]]


class Walk(gymnasium.Env[np.ndarray, int]):
    """A walk on a line, pushed by noise; it ends at either side."""

    observation_space: spaces.Space[Any] = spaces.Box(-5.0, 5.0, (1,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = float(self.np_random.normal())
        return self.seen(), {}

    def step(self, action: int) -> Step:
        self.place += (2 * action - 1) * 0.3 + float(self.np_random.normal()) * 0.1
        return self.seen(), -abs(self.place), abs(self.place) > 4, False, {}

    def seen(self) -> np.ndarray:
        return np.array([self.place], np.float32)


class Leaking(Walk):
    """Forgets to set its wear back."""

    wear = 0.0

    def step(self, action: int) -> Step:
        self.wear += 0.01
        observation, reward, terminated, truncated, more = super().step(action)
        return observation, reward - self.wear, terminated, truncated, more


class Chancy(Walk):
    """Draws from a generator that no seed reaches."""

    rng = np.random.default_rng(5)

    def step(self, action: int) -> Step:
        self.place += float(self.rng.normal()) * 1e-3
        return super().step(action)


class Deaf(Walk):
    def step(self, action: int) -> Step:
        return super().step(1)


class Rewarded(Walk):
    """Actions change the reward alone."""

    def step(self, action: int) -> Step:
        observation, _, terminated, truncated, more = super().step(1)
        return observation, float(action), terminated, truncated, more


class Alone(Walk):
    action_space = spaces.Discrete(1)

    def step(self, action: int) -> Step:
        return super().step(1)


@pytest.mark.parametrize(
    ("environment", "broken"),
    [
        (Walk, None),
        (Rewarded, None),
        (Alone, None),
        (Leaking, "reset_differs"),
        (Chancy, "copies_differ"),
        (Deaf, "ignores_actions"),
    ],
)
def test_each_part_of_the_contract_is_told_apart(environment: type[Walk], broken: str | None) -> None:
    found = probe(environment, seed=7)
    assert found is not None
    assert found.steps == STEPS
    parts = {
        "reset_differs": found.reset_differs,
        "copies_differ": found.copies_differ,
        "ignores_actions": found.ignores_actions,
    }
    assert [name for name, value in parts.items() if value] == ([broken] if broken else [])


def test_the_first_difference_is_named() -> None:
    found = probe(Leaking, seed=7)
    assert found is not None
    assert (found.reset_differs or "").startswith("after 1 timesteps in the reward")
    found = probe(Chancy, seed=7)
    assert found is not None
    assert (found.copies_differ or "").startswith("after 1 timesteps by 0.00")


@pytest.mark.parametrize(
    "task", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "FrozenLake-v1", "Taxi-v3"]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_usual_tasks_keep_their_contract(task: str, seed: int) -> None:
    assert probe(lambda: gymnasium.make(task), seed=seed) == Contract(steps=STEPS)


def test_what_acts_under_masks_is_not_compared_and_both_copies_are_closed() -> None:
    closed = []

    def make() -> Walk:
        environment = Walk()
        environment.close = lambda: closed.append(environment)  # type: ignore[method-assign]
        return environment

    assert probe(lambda: Masking(make()), seed=0) is None
    assert probe(make, seed=0) is not None
    assert len(closed) == 4


def test_a_slow_environment_is_compared_over_few_timesteps() -> None:
    ticks = iter(range(1_000))
    found = probe(Walk, seed=0, clock=lambda: 0.1 * next(ticks))
    assert found is not None
    assert found.steps == 11, "the first that ends after a second"
