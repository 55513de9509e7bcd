"""Numbers that users act on: seeds share no episodes, and what measures a choice begins where nothing was chosen.

That choosing does not raise a reported return is shown in tests/long/trainer.
"""

import numpy as np
import tasks
from hypothesis import given
from hypothesis import strategies as st
from trainer_configs import make_config

from belay_api.environment import MOST_COPIES, EnvironmentSpec
from belay_api.training import MOST_EPISODES, EvaluationSpec
from belay_trainer.config import Run
from belay_trainer.environments import TRAINING_SEEDS, reset_seeds
from belay_trainer.evaluate import RANDOM_EPISODES, Evaluator
from belay_trainer.train import build


def test_no_copy_of_any_seed_begins_where_another_does() -> None:
    starts = []
    for seed in range(4):
        learner = build(Run(make_config(), index=0, seed=seed))
        starts += [tuple(row) for row in learner.model.env.reset()]
    assert len(starts) == 32
    assert len(set(starts)) == len(starts), "two copies play the same episodes"


@given(first=st.integers(0, 2_000_000_000), apart=st.integers(1, 999), at=st.integers(0, 2_000_000_000))
def test_training_and_evaluations_never_begin_at_the_same_seed(first: int, apart: int, at: int) -> None:
    one, other = (set(reset_seeds(seed, MOST_COPIES)) for seed in (first, first + apart))
    assert len(one | other) == 2 * MOST_COPIES
    assert min(one | other) >= TRAINING_SEEDS
    assert max(one | other) < 2**32
    evaluation = EvaluationSpec(first_seed=at, episodes=MOST_EPISODES, final_episodes=MOST_EPISODES)
    of_random_actions = 2 * MOST_EPISODES + RANDOM_EPISODES
    assert evaluation.first_seed + of_random_actions <= TRAINING_SEEDS


def test_what_measures_a_choice_begins_where_nothing_was_chosen() -> None:
    class First:
        def predict(self, observation: np.ndarray, *, deterministic: bool) -> tuple[np.ndarray, None]:
            return np.zeros(len(observation), dtype=int), None

    spec, task = EvaluationSpec(episodes=3, final_episodes=50, first_seed=5), EnvironmentSpec(id="tasks:Luck-v0")
    chosen, measured = Evaluator.held_out(tasks.Luck, task, spec), Evaluator.fresh(tasks.Luck, task, spec)
    report = measured(First(), step=0).report
    assert (report.first_seed, report.episodes) == (5 + MOST_EPISODES, 50)
    assert chosen(First(), step=0).report.first_seed == 5
