"""`evaluateOffline`: what logged episodes of another policy say of the candidate, before it gets traffic or more of it.

Logged episodes often cannot tell, and then no number is made up of them: that is NotEnoughSamples here, with the reason
in the estimators' words.
"""

from typing import Any

from belay_api.judging import OfflineEvaluationSpec
from belay_api.reasons import Verdict
from belay_api.rollout.status import StepJudgement
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.undecided import UndecidedAction
from belay_operator.judging import offline
from belay_operator.judging.question import Question
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.policy_view import PolicyView
from belay_operator.rollout.steps.judged import JudgedStep, artifact_of, of_judging

_OWN = "onNotEnoughSamples"  # what the step does with the answer is no part of the question


class EvaluateOffline(JudgedStep):
    """The StepKind."""

    name = "evaluateOffline"
    asks = offline

    def ask(self, step: Step, candidate: PolicyView, observed: Observed) -> Question | None:
        """Return what is asked of the log."""
        asked = step.evaluate_offline
        if asked is None:
            return None
        policys_own = candidate.asks.get("offlineEvaluation") or {}
        said = {name: value for name, value in asked.said().items() if name != _OWN}
        return Question(
            candidate.name,
            artifact_of(candidate.name, candidate.digest, observed),
            offline_evaluation=OfflineEvaluationSpec.model_validate(said | of_judging(observed, policys_own)),
            attempt=self.attempt(observed),
        )

    def judgement(self, result: Any, index: int, observed: Observed) -> StepJudgement:
        """Return what the log says."""
        return StepJudgement(
            step=index,
            kind=self.name,
            verdict=result.verdict if result.judged else Verdict.NOT_ENOUGH_SAMPLES,
            message=offline.said(result).message,
            offline_evaluation=result,
        )

    def undecided(self, step: Step) -> UndecidedAction:
        """Return the step's own."""
        return step.evaluate_offline.on_not_enough_samples if step.evaluate_offline else UndecidedAction.HOLD


KIND = EvaluateOffline()
