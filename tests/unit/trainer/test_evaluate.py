"""Evaluations on an environment whose returns are known, and their innocence of the training's randomness."""

import random

import numpy as np
import pytest
import tasks  # noqa: F401 - registers its environments
import torch
from trainer_configs import make_config

from belay_api.environment import EnvironmentSpec
from belay_api.training import MOST_EPISODES, EvaluationSpec
from belay_trainer import evaluate
from belay_trainer.config import Run
from belay_trainer.environments import Environment, maker
from belay_trainer.errors import BadConfiguration, Diverged
from belay_trainer.evaluate import Evaluator, Stopped
from belay_trainer.randomness import random_state, set_random_state
from belay_trainer.train import build


class Always:
    """Answers one action."""

    def __init__(self, action: int) -> None:
        self.action = action

    def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, None]:
        assert deterministic
        return np.full(len(observation), self.action), None


def _evaluator(task: str, episodes: int, first_seed: int = 0, **environment: object) -> Evaluator:
    named = EnvironmentSpec.model_validate({"id": f"tasks:{task}-v0", **environment})
    return Evaluator(maker(named), named, episodes=episodes, first_seed=first_seed)


@pytest.mark.parametrize("episodes", [1, 7, 40])  # fewer and more than are played side by side
def test_every_held_out_seed_is_played_once(episodes: int) -> None:
    report = _evaluator("Countdown", episodes, first_seed=3)(Always(1), step=10).report
    wanted = [(3 + episode) % 7 + 1 for episode in range(episodes)]
    assert (report.mean, report.min, report.max) == (np.mean(wanted), min(wanted), max(wanted))
    assert (report.std, report.episodes, report.first_seed, report.step) == (np.std(wanted), episodes, 3, 10)


def test_a_success_is_what_the_environment_calls_so() -> None:
    assert _evaluator("Graded", 40)(Always(1), step=0).success_rate == 22 / 40, "4 of 7, and 2 of the last 5"
    assert _evaluator("Countdown", 40)(Always(1), step=0).success_rate is None


@pytest.mark.parametrize(("asked", "made"), [({}, 16), ({"count": 3}, 3), ({"count": 100}, 40)])
def test_as_many_copies_are_played_side_by_side_as_asked_for(asked: dict[str, int], made: int) -> None:
    spec = EvaluationSpec.model_validate({"episodes": 40, "finalEpisodes": 40, "vector": asked})
    task, copies = EnvironmentSpec(id="tasks:Countdown-v0"), []

    def make() -> Environment:
        copies.append(1)
        return maker(task)()

    for of in (Evaluator.held_out, Evaluator.fresh):
        copies.clear()
        of(make, task, spec)
        assert len(copies) == made


def test_a_policy_that_earns_nothing_has_a_return_of_zero() -> None:
    assert _evaluator("Countdown", 5)(Always(0), step=0).report.mean == 0


def test_repeating_an_evaluation_repeats_its_result() -> None:
    evaluator = _evaluator("Countdown", 20)
    assert evaluator(Always(1), step=1) == evaluator(Always(1), step=1)


def test_an_evaluation_leaves_the_trainings_randomness_alone() -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), np.random.random(), float(torch.rand(1))

    state = random_state()
    undisturbed = draws()
    set_random_state(state)
    _evaluator("Countdown", 5)(Always(1), step=0)
    assert draws() == undisturbed


def test_side_by_side_is_as_one_by_one() -> None:
    learner = build(_run())
    together = _evaluator("Countdown", 6)(learner.policy, step=0).report
    alone = [_evaluator("Countdown", 1, first_seed=seed)(learner.policy, step=0).report.mean for seed in range(6)]
    assert together.mean == np.mean(alone)


def test_a_return_that_is_no_number_is_a_divergence() -> None:
    with pytest.raises(Diverged, match="rewards"):
        _evaluator("Explosive", 2)(Always(1), step=0)


def test_an_episode_that_never_ends_counts_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "ENDLESS", 40)
    report = _evaluator("Endless", 3)(Always(1), step=0).report
    assert (report.mean, report.cut) == (40, 3)
    assert _evaluator("Countdown", 20)(Always(1), step=0).report.max <= 7, "long evaluations of short episodes are none"


def test_a_pod_that_must_go_leaves_its_evaluation() -> None:
    with pytest.raises(Stopped):
        _evaluator("Countdown", 2)(Always(1), step=0, stop=lambda: True)


def test_random_actions_are_played_on_the_seeds_after_the_evaluations() -> None:
    evaluator = _evaluator("Countdown", 10, first_seed=3)
    found = evaluator.random(seed=1, budget=10_000)
    assert found is not None
    lengths = [(3 + 2 * MOST_EPISODES + episode) % 7 + 1 for episode in range(100)]
    assert (found["length"].episodes, found["length"].mean) == (100, np.mean(lengths))
    assert 0.4 < found["return"].mean / np.mean(lengths) < 0.6, "every action is drawn"
    assert found == evaluator.random(seed=1, budget=10_000)
    assert found != evaluator.random(seed=2, budget=10_000)


def test_random_episodes_cost_a_small_part_of_the_training() -> None:
    found = _evaluator("Countdown", 2).random(seed=1, budget=400)
    assert found is not None
    assert 2 <= found["length"].episodes * found["length"].mean <= 400 / 20 + 2 * 7


def test_random_episodes_that_do_not_end_are_given_up() -> None:
    assert _evaluator("Endless", 2).random(seed=1, budget=1_000) is None
    with pytest.raises(Stopped):
        _evaluator("Endless", 2).random(seed=1, budget=1_000, stop=lambda: True)
    ticks = iter(range(0, 10_000, 30))  # seconds at each look
    assert _evaluator("Countdown", 1).random(seed=1, budget=10**9, clock=lambda: float(next(ticks))) is None
    assert _evaluator("Explosive", 2).random(seed=1, budget=1_000) is None


def test_random_actions_leave_the_trainings_randomness_alone() -> None:
    state = random_state()
    undisturbed = (random.random(), np.random.random(), float(torch.rand(1)))
    set_random_state(state)
    _evaluator("Countdown", 5).random(seed=1, budget=1_000)
    assert (random.random(), np.random.random(), float(torch.rand(1))) == undisturbed


def test_rewards_are_held_against_what_is_said_of_them() -> None:
    assert _evaluator("Countdown", 2, rewardRange={"low": 0, "high": 1})(Always(1), step=0).report.mean > 0
    for said in ({"low": 0, "high": 0.5}, {"low": 1.5}):
        with pytest.raises(BadConfiguration, match=r"rewardRange: a reward of 1 was seen"):
            _evaluator("Countdown", 2, rewardRange=said)(Always(1), step=0)
    with pytest.raises(BadConfiguration, match="low 2 is above high 1"):
        _evaluator("Countdown", 2, rewardRange={"low": 2, "high": 1})


def test_an_environment_may_say_what_its_rewards_are(caplog: pytest.LogCaptureFixture) -> None:
    for said, kept in (((0, 1), (0, 1)), ((0, float("inf")), (0, None)), ((-float("inf"), float("inf")), None)):
        found = _evaluator("Promising", 1, kwargs={"reward_range": list(said)}).rewards
        assert (None if found is None else (found.low, found.high)) == kept
    evaluator = _evaluator("Promising", 1, kwargs={"reward_range": [2, 3]})
    evaluator(Always(1), step=0)
    assert evaluator.rewards is None
    assert "that is ignored" in caplog.text
    declared = _evaluator("Promising", 1, kwargs={"reward_range": [2, 3]}, rewardRange={"low": 0})
    assert (declared.rewards.low, declared.rewards.high) == (0, None)


def _run() -> Run:
    return Run(config=make_config(environment={"id": "tasks:Countdown-v0"}), index=0, seed=0)
