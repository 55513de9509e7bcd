"""Belay's side: what a training pod learns, without its evaluations and checkpoints."""

from typing import Any

from work import Learned, Work, timed

from belay_api.training import TrainingConfig
from belay_trainer.config import Run
from belay_trainer.learners import build_from_dataset


def learn(work: Work) -> Learned:
    """Return the policy after the last update. Beside all but `bc` its floor is trained, in the same steps."""
    spec: dict[str, Any] = {
        "dataset": {"path": str(work.path)},
        "algorithm": {work.algorithm: work.settings},
        "budget": {"steps": work.updates},
        "evaluation": {"environment": {"id": work.task}},
        "storage": {"pvc": {"claim": "bench"}},
    }
    config = {"namespace": "bench", "job": "offline", "uid": "bench", "attempt": 1, "configHash": "0", "spec": spec}
    learner = build_from_dataset(Run(TrainingConfig.model_validate(config), index=0, seed=work.seed))
    ms = timed(work, lambda: learner.advance(work.updates, leave=lambda: False, on_step=lambda: None))
    return Learned(learner.policy, ms)
