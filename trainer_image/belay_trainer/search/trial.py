"""One trial: a training with other settings, a smaller budget and a seed of its own, evaluated ten times.

It keeps no checkpoint, because it is short; it publishes nothing. Its evaluations start where neither those that choose
a checkpoint do nor those that measure it: settings are chosen by what is then never looked at again.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from belay_api.search import FIRST_TRIAL_SEED, trial_steps
from belay_api.searched import with_settings
from belay_api.training import MOST_EPISODES, RLTrainingJobSpec
from belay_api.wire import RunEvaluation, RunProgress
from belay_trainer.config import Run
from belay_trainer.errors import Diverged
from belay_trainer.fetched import Source
from belay_trainer.history import History
from belay_trainer.keeper import Keeper
from belay_trainer.search.study import EVALUATIONS, Study, Trial
from belay_trainer.stop import Stop
from belay_trainer.store.local import LocalStore
from belay_trainer.train import train

PRUNED = "pruned"


@dataclass(slots=True)
class Watch:
    """Tells the study how a trial's evaluations go, and asks it whether to go on; see `trackers.Tracker`."""

    study: Study
    trial: Trial
    every: int  # timesteps
    means: list[float] = field(default_factory=list)  # of the evaluations so far

    def begin(self, step: int) -> None:
        """Nothing is kept."""

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take an evaluation; updates have no return."""
        if "return" in metrics:
            self.means.append(metrics["return"])
            self.study.report(self.trial, min(max(1, step // self.every), EVALUATIONS), metrics["return"])

    def close(self) -> None:
        """Nothing waits."""

    def verdict(self, evaluation: RunEvaluation) -> str | None:
        """Return why the trial ends now; None: it goes on."""
        return PRUNED if self.study.hopeless(self.trial) else None


class Silent:
    """Hears no heartbeat: who searches tells of trials, not of timesteps. See `heartbeat.ProgressSink`."""

    def tell(self, progress: RunProgress) -> None:
        """Drop it."""

    def close(self) -> None:
        """Nothing waits."""


def play(
    run: Run, study: Study, trial: Trial, *, work_dir: Path, stop: Stop, initial: Source | None = None
) -> float | None:
    """Return what a trial is worth: see `worth`. None: it was pruned.

    Raises: BadConfiguration, Diverged, Interrupted; Stopped in its last evaluation; whatever the environment raises.
    """
    spec = trial_spec(run.spec, trial.settings)
    seed = run.spec.seeds.first + FIRST_TRIAL_SEED + trial.number
    config = run.config.model_copy(update={"spec": spec})
    watch = Watch(study, trial, spec.evaluation.every)
    with tempfile.TemporaryDirectory(dir=work_dir, prefix=f"trial-{trial.number}-") as folder:
        store = LocalStore(Path(folder), address="")
        keeper = Keeper(Path(folder) / "checkpoints", store, keep=1)
        try:
            trained = train(
                replace(run, config=config, seed=seed),
                keeper=keeper,
                heartbeat=Silent(),
                stop=stop,
                history=History([watch], budget=spec.budget.steps),
                verdict=watch.verdict,
                initial=initial,
                beside_random=False,
            )
        finally:
            keeper.close()
    if trained.ended_early == PRUNED:
        return None
    if trained.ended_early:  # a seed would publish the best it had before; its settings are no good all the same
        raise Diverged(trained.ended_early)
    return worth(watch.means)


def trial_spec(spec: RLTrainingJobSpec, settings: dict[str, Any]) -> RLTrainingJobSpec:
    """Return what a trial trains. Raises: ValueError when the algorithm does not take the settings."""
    made = with_settings(spec, settings)
    steps = trial_steps(spec.search, spec.budget.steps) if spec.search else spec.budget.steps
    evaluation = spec.evaluation.model_copy(
        update={
            "every": max(1, steps // EVALUATIONS),
            "first_seed": spec.evaluation.first_seed + 2 * MOST_EPISODES,  # beyond those of checkpoints and measurement
            "target": None,
            "patience": None,
            "stop_loss": None,
        }
    )
    return made.model_copy(
        update={
            "budget": spec.budget.model_copy(update={"steps": steps}),
            "evaluation": evaluation,
            "checkpoint": spec.checkpoint.model_copy(update={"every": steps + 1, "environment": False}),
        }
    )


def worth(means: list[float]) -> float:
    """Return the mean of the second half of a trial's evaluations.

    The last one alone is noise, and the best one is luck and forgives a collapse. Of an odd number the one in the
    middle counts.

    >>> worth([1.0, 2.0, 3.0, 5.0]), worth([1.0, 2.0, 6.0]), worth([7.0])
    (4.0, 4.0, 7.0)
    """
    return fmean(means[len(means) // 2 :])
