"""What is drawn for each episode: by seed, for training and evaluations alike, and without touching other chance."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from belay_api.environment import EnvironmentSpec
from belay_trainer.environments import Environment, maker, reset_seeds
from belay_trainer.errors import BadConfiguration
from belay_trainer.wrapping.randomized import INFO

GRAVITY = {"gravity": {"uniform": [5.0, 15.0]}}


def _made(randomize: dict[str, Any], id: str = "CartPole-v1") -> Environment:
    return maker(EnvironmentSpec.model_validate({"id": id, "randomize": randomize}))()


def _draws(environment: Environment, name: str, seeds: range) -> np.ndarray:
    return np.array([environment.reset(seed=seed)[1][INFO][name] for seed in seeds])


def test_draws_have_the_distributions_that_are_asked_for() -> None:
    asked = {
        "gravity": {"uniform": [5.0, 15.0]},
        "force_mag": {"log": [0.1, 10.0]},
        "tau": {"choice": [0.01, 0.02, 0.04]},
    }
    environment, count = _made(asked), 2000
    found = {name: _draws(environment, name, range(count)) for name in asked}
    # Kolmogorov-Smirnov at one in 10,000 by chance: sqrt(log(2 / 0.0001) / 2 / n).
    limit = np.sqrt(np.log(2e4) / 2 / count)
    for share in (np.sort((found["gravity"] - 5) / 10), np.sort(np.log(found["force_mag"] / 0.1) / np.log(100))):
        assert 0 <= share[0] <= share[-1] <= 1
        assert np.abs(share - (np.arange(count) + 0.5) / count).max() < limit
    values, counts = np.unique(found["tau"], return_counts=True)
    assert values.tolist() == [0.01, 0.02, 0.04]
    assert ((counts - count / 3) ** 2 / (count / 3)).sum() < 18.4  # chi-squared, 2 degrees: one in 10,000
    independent = np.corrcoef(found["gravity"], np.log(found["force_mag"]))[0, 1]
    assert abs(independent) < 4 / np.sqrt(count)


def test_a_value_is_set_before_the_episode_and_changes_it() -> None:
    environment, plain = _made(GRAVITY), gymnasium.make("CartPole-v1")
    began, info = environment.reset(seed=5)
    np.testing.assert_array_equal(began, plain.reset(seed=5)[0])  # its own chance is what it was
    assert environment.unwrapped.gravity == info[INFO]["gravity"] != plain.unwrapped.gravity
    plain.unwrapped.gravity = info[INFO]["gravity"]
    for action in (0, 1, 1, 0):
        np.testing.assert_array_equal(environment.step(action)[0], plain.step(action)[0])


def test_an_episode_of_a_seed_is_the_same_wherever_it_is_played() -> None:
    one, other = _made(GRAVITY), _made(GRAVITY)
    other.reset(seed=77)
    other.step(1)
    for _ in range(3):
        other.reset()
    assert one.reset(seed=9)[1] == other.reset(seed=9)[1]
    assert one.reset()[1] == other.reset()[1] != one.reset()[1]


def test_training_and_evaluations_draw_different_values() -> None:
    environment = _made(GRAVITY)
    evaluated = _draws(environment, "gravity", range(1_000_000, 1_000_020))
    trained = [environment.reset(seed=seed)[1][INFO]["gravity"] for seed in reset_seeds(0, 16)]
    assert not set(trained) & set(evaluated)


def test_a_keyword_of_the_environment_makes_it_anew() -> None:
    environment = _made({"drawn": {"choice": [1, 2, 3]}}, id="layered_tasks:Maze-v0")
    tables = {}
    for seed in range(20):
        drawn = environment.reset(seed=seed)[1][INFO]["drawn"]
        leads = environment.unwrapped.leads.tolist()
        assert tables.setdefault(drawn, leads) == leads, "what follows from the value follows from it"
    assert len(tables) == 3
    first = [environment.reset(seed=4)[1], *(environment.reset()[1] for _ in range(6))]
    again = [environment.reset(seed=4)[1], *(environment.reset()[1] for _ in range(6))]
    assert first == again, "without a seed it goes on from the seed before"


def test_the_chance_of_an_environment_that_is_made_anew_follows_from_the_seed_before() -> None:
    def rewards() -> list[float]:
        environment = _made({"spread": {"uniform": [1, 2]}}, id="layered_tasks:Noise-v0")
        environment.reset(seed=4)
        found = []
        for _ in range(3):
            environment.reset()
            found.append(float(environment.step(0)[1]))
        return found

    assert rewards() == rewards()
    assert len(set(rewards())) == 3


@pytest.mark.parametrize(
    ("randomize", "wanted"),
    [
        ({"gravty": {"uniform": [1, 2]}}, "randomize.gravty: CartPoleEnv has no such .*did you mean 'gravity'"),
        ({"reset": {"uniform": [1, 2]}}, "randomize.reset: CartPoleEnv has no such"),
        ({"gravity": {"uniform": [2, 1]}}, "randomize.gravity.uniform: 2 is above 1: exchange them"),
        ({"gravity": {"uniform": [1, 2], "choice": [1]}}, "has uniform, choice, wanted exactly one"),
        ({"gravity": {}}, "has nothing, wanted exactly one of uniform, log, choice"),
    ],
)
def test_bad_input_is_told(randomize: dict[str, Any], wanted: str) -> None:
    with pytest.raises(BadConfiguration, match=wanted):
        _made(randomize)


def test_draws_that_change_a_space_are_refused() -> None:
    environment = _made({"side": {"choice": [40]}}, id="tasks:Picture-v0")
    with pytest.raises(BadConfiguration, match="the observation_space is Box.*one policy has one space"):
        environment.reset(seed=0)
