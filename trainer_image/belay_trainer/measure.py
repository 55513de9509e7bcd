"""The last evaluation: what the chosen checkpoint is worth, in episodes that had no part in choosing it."""

from belay_api.artifact import EvaluationReport
from belay_trainer import checkpoint, environments
from belay_trainer.config import Run
from belay_trainer.errors import Interrupted
from belay_trainer.evaluate import Evaluator, Stopped
from belay_trainer.stop import Stop
from belay_trainer.train import Trained


def measure(trained: Trained, run: Run, *, stop: Stop) -> EvaluationReport:
    """Return how the chosen checkpoint does. The model has its weights afterwards.

    Raises: Diverged, BadConfiguration, Interrupted.
    """
    checkpoint.set_weights(trained.model, trained.best.weights)
    evaluator = Evaluator.fresh(environments.maker(run.spec.environment), run.spec.evaluation)
    try:
        return evaluator(trained.model.policy, step=trained.best.report.step, stop=lambda: stop.asked)
    except Stopped as error:
        raise Interrupted(
            "asked to stop during the last evaluation; the next pod goes on from a checkpoint."
        ) from error
    finally:
        evaluator.close()
