"""Searches in few words: a study on a file, and what a worker would do without training anything."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer_configs import make_config

from belay_api.training import RLTrainingJobSpec
from belay_trainer.search.journal import FileLines, Journal, Lines
from belay_trainer.search.spaces import space_of
from belay_trainer.search.study import Study
from belay_trainer.stop import Stop

BOWL_TRIALS = 40


def make_spec(*, algorithm: dict[str, Any] | None = None, **search: Any) -> RLTrainingJobSpec:
    """Return a spec with a search of the learning rate and the batch of PPO."""
    space = {"learning_rate": {"log": [1e-5, 1e-1]}, "batch_size": {"choices": [32, 64, 128]}}
    asked = {"trials": 10, "pruner": "none", "dimensions": 0, "space": space} | search
    return make_config(algorithm=algorithm or {"ppo": {}}, search=asked).spec


def make_study(
    where: Path | Lines, *, worker: int = 0, spec: RLTrainingJobSpec | None = None, key: bytes | None = None
) -> Study:
    """Return a worker's view of a search, as its process has it when it begins."""
    spec = spec or make_spec()
    assert spec.search is not None
    lines = FileLines(where) if isinstance(where, Path) else where
    return Study(
        spec.search,
        space_of(spec.search, spec.algorithm),
        type(spec.algorithm.settings),
        journal=Journal(lines, key=key, stop=Stop()),
        first_seed=spec.seeds.first,
        worker=worker,
    )


def work(study: Study, worth: Callable[[dict[str, Any]], float]) -> list[int]:
    """Do what is left of a search; return the numbers of the trials done."""
    done = []
    while (trial := study.next()) is not None:
        study.finish(trial, worth(trial.settings))
        done.append(trial.number)
    return done


def distance(settings: dict[str, Any]) -> float:
    """Best at a learning rate of 1e-3; the batch decides nothing."""
    return -((math.log10(settings["learning_rate"]) + 3) ** 2)


def missed_bowl_by(where: Path, sampler: str, *, first_seed: int) -> float:
    """Return what the best of a search's trials lacks to the bottom of a bowl of two settings, which is known."""
    space = {"learning_rate": {"log": [1e-7, 1.0]}, "gamma": {"range": [0.0, 1.0]}}
    spec = make_spec(trials=BOWL_TRIALS, sampler=sampler, space=space)
    spec = spec.model_copy(update={"seeds": spec.seeds.model_copy(update={"first": first_seed})})
    study = make_study(where, spec=spec)
    work(study, lambda settings: distance(settings) - 10 * (settings["gamma"] - 0.8) ** 2)
    best = study.status().best
    assert best is not None
    return -best.value
