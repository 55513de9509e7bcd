"""`evaluateOffline`: what logged episodes of another policy say of the candidate, before it gets (more) traffic."""

from belay_api.judging import LogSpec
from belay_api.rollout.steps.undecided import UndecidedAction


class EvaluateOfflineStep(LogSpec):
    """Ask the estimators what logged episodes of another policy say of the candidate. `spec.judging` says where the pod
    runs, and which claims with data it has."""

    on_not_enough_samples: UndecidedAction = UndecidedAction.HOLD
    """What to do where the candidate cannot be judged by these episodes, or they do not tell whether `maxRegression` is
    kept."""
