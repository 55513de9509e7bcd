"""The last evaluation: what the chosen checkpoint is worth, in episodes that had no part in choosing it."""

from dataclasses import dataclass

from belay_api.artifact import EvaluationReport
from belay_api.outcomes import KnownOutcome
from belay_trainer import environments
from belay_trainer.config import Run
from belay_trainer.evaluate import Evaluation, Evaluator
from belay_trainer.stop import Stop
from belay_trainer.train import Trained


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of the chosen checkpoint."""

    report: EvaluationReport
    outcomes: dict[str, KnownOutcome]  # by name


def measure(trained: Trained, run: Run, *, stop: Stop) -> Measured:
    """Return how the chosen checkpoint does. The learner has its weights afterwards.

    Raises: Diverged, BadConfiguration, Stopped.
    """
    trained.learner.take(trained.best.weights)
    task = run.spec.environment
    evaluator = Evaluator.fresh(environments.maker_for(run.spec), task, run.spec.evaluation)
    try:
        found = evaluator(trained.learner.policy, step=trained.best.report.step, stop=lambda: stop.asked)
    finally:
        evaluator.close()
    return Measured(found.report, _with(found, trained.outcomes))


def _with(found: Evaluation, outcomes: dict[str, KnownOutcome]) -> dict[str, KnownOutcome]:
    """What the training knows, with the last evaluation in place of the one that chose."""
    result = {}
    for name, known in outcomes.items():
        played = found.played[name]
        reach = {"low": min(known.low, played.min), "high": max(known.high, played.max)}
        result[name] = known.model_copy(update={"evaluated": played, **reach})
    return result
