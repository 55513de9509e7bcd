"""A reported return is not the best of many looks: sixteen trainings of what cannot be learned. Minutes of CPU."""

import math
from pathlib import Path

import numpy as np
from trainer_configs import make_config

from belay_api.training import TrainingReport
from belay_trainer.config import Run
from belay_trainer.session import train_and_publish
from belay_trainer.stop import Stop

SD = 100.0  # of the return of one episode of tasks:Luck
# Settings whose policy changes from look to look, though nothing can be learned.
WANDERS = {"learning_rate": 0.01, "n_steps": 32, "batch_size": 64, "n_epochs": 5, "ent_coef": 0.5}


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
