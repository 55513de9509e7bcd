"""The last evaluation: what the chosen checkpoint is worth, in episodes that had no part in choosing it.

They are played where that can be done. Else they are logged ones that were held back, and say no return.
"""

from collections.abc import Callable
from dataclasses import dataclass

from belay_api.artifact import EvaluationReport
from belay_api.dataset import ChosenBy, Floor, OfflineEstimate
from belay_api.environment import EnvironmentSpec
from belay_api.outcomes import KnownOutcome
from belay_trainer import environments
from belay_trainer.config import Run
from belay_trainer.evaluate import Evaluation, Evaluator
from belay_trainer.offline import floor, held_out
from belay_trainer.offline.from_dataset import FromDataset
from belay_trainer.stop import Stop
from belay_trainer.train import Trained


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of the chosen checkpoint."""

    report: EvaluationReport | None  # None: nobody plays it
    outcomes: dict[str, KnownOutcome]  # by name
    estimate: OfflineEstimate | None = None  # None: it was played
    floor: Floor | None = None  # None: it learned in an environment, or is behaviour cloning itself


def measure(trained: Trained, run: Run, *, stop: Stop) -> Measured:
    """Return how the chosen checkpoint does. The learner has its weights afterwards.

    Raises: Diverged, BadConfiguration, Stopped.
    """
    trained.learner.take(trained.best.weights)
    logged, task = trained.learner.from_dataset, run.spec.played_in
    if task is None and logged is not None:
        return _judged(trained, logged)
    return _played(trained, run, task, stop=lambda: stop.asked)


def _played(trained: Trained, run: Run, task: EnvironmentSpec, *, stop: Callable[[], bool]) -> Measured:
    learner = trained.learner
    evaluator = Evaluator.fresh(environments.maker_for(run.spec), task, run.spec.evaluation)
    try:
        found = evaluator(learner.policy, step=trained.best.step, stop=stop)
        floor_policy = learner.from_dataset.floor if learner.from_dataset else None
        cloned = evaluator(floor_policy, step=trained.best.step, stop=stop) if floor_policy else None
    finally:
        evaluator.close()
    return Measured(
        found.report,
        _with(found, trained.outcomes),
        floor=floor.by_returns(found.returns, cloned.returns) if cloned else None,
    )


def _judged(trained: Trained, logged: FromDataset) -> Measured:
    learner, episodes = trained.learner, logged.data.held_out.measuring
    chosen_by = logged.chosen_by if trained.best.score is not None else ChosenBy.LAST
    found = held_out.judged(episodes, learner.policy, discount=learner.discount)
    below = None
    if logged.floor is not None:
        below = floor.by_estimates(found, held_out.judged(episodes, logged.floor, discount=learner.discount))
    return Measured(None, {}, estimate=held_out.estimate(found, chosen_by=chosen_by), floor=below)


def _with(found: Evaluation, outcomes: dict[str, KnownOutcome]) -> dict[str, KnownOutcome]:
    """What the training knows, with the last evaluation in place of the one that chose."""
    result = {}
    for name, known in outcomes.items():
        played = found.played[name]
        reach = {"low": min(known.low, played.min), "high": max(known.high, played.max)}
        result[name] = known.model_copy(update={"evaluated": played, **reach})
    return result
