"""Numbers that users act on: seeds that share no episodes, and a reported return that choosing has not raised."""

import math
from pathlib import Path

import numpy as np
import tasks
from hypothesis import given
from hypothesis import strategies as st
from trainer_support import make_config

from belay_api.environment import MOST_COPIES, EnvironmentSpec
from belay_api.training import MOST_EPISODES, EvaluationSpec, TrainingReport
from belay_trainer.config import Run
from belay_trainer.environments import TRAINING_SEEDS, reset_seeds
from belay_trainer.evaluate import RANDOM_EPISODES, Evaluator
from belay_trainer.session import train_and_publish
from belay_trainer.stop import Stop
from belay_trainer.train import build

SD = 100.0  # of the return of one episode of tasks:Luck
# Settings whose policy changes from look to look, though nothing can be learned.
WANDERS = {"learning_rate": 0.01, "n_steps": 32, "batch_size": 64, "n_epochs": 5, "ent_coef": 0.5}


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


def test_policies_worth_nothing_report_nothing(tmp_path: Path) -> None:
    """The best of twenty looks at the same four starts is well above 0; what is reported is 0 within its error."""
    seeds, episodes = 16, 100
    reports = [_report(tmp_path / str(seed), seed, episodes) for seed in range(seeds)]
    chosen = np.mean([report.selection_return for report in reports])
    reported = np.mean([report.return_ for report in reports])
    bound = 3.3 * SD / math.sqrt(episodes * seeds)
    assert chosen > 1.5 * bound, "nothing was chosen by luck: this shows nothing"
    assert abs(reported) < bound


def _report(root: Path, seed: int, episodes: int) -> TrainingReport:
    config = make_config(
        environment={"id": "tasks:Luck-v0"},
        algorithm={"ppo": WANDERS},
        budget={"steps": 5120},
        evaluation={"every": 256, "episodes": 4, "finalEpisodes": episodes, "firstSeed": 50_000 * seed},
        checkpoint={"every": 100_000},
    )
    root.mkdir()
    run = Run(config, index=0, seed=seed)
    return train_and_publish(run, work_dir=root, pvc_dir=root, initial_dir=root, logbook=None, stop=Stop())
