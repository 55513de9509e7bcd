"""`validate`: the candidate's gates, played through the network that serving pods load, and the candidate against
stable from the same starts.

What is asked is the step's own, over what the candidate's RLPolicy asks of itself (`spec.validation`). Where neither
lists gates, the pod takes those that the candidate was trained with: its artifact says. A first version is asked its
gates and compared with nobody.
"""

from typing import Any

from belay_api.judging import GatesSpec, PlaySpec, ValidationResult
from belay_api.judging_job import AgainstConfig
from belay_api.model import alternatives
from belay_api.rollout.status import StepJudgement
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.undecided import UndecidedAction
from belay_api.rollout.steps.validate import ValidateStep
from belay_operator.judging import validation
from belay_operator.judging.question import Question
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.policy_view import PolicyView
from belay_operator.rollout.steps.judged import JudgedStep, artifact_of, of_judging

_ASKED = frozenset({*alternatives(PlaySpec), "gates"})
"""The fields of the step that an RLPolicy's `validation` has as well."""


class Validate(JudgedStep):
    """The StepKind."""

    name = "validate"
    asks = validation

    def ask(self, step: Step, candidate: PolicyView, observed: Observed) -> Question | None:
        """Return what is asked of the candidate."""
        asked = step.validate_
        if asked is None:
            return None
        policys_own = candidate.asks.get("validation") or {}
        said = {name: value for name, value in asked.said().items() if name in _ASKED}
        played = {name: value for name, value in policys_own.items() if name in _ASKED} | said
        return Question(
            candidate.name,
            artifact_of(candidate.name, candidate.digest, observed),
            validation=GatesSpec.model_validate(played | of_judging(observed, policys_own)),
            against=_against(asked, observed),
            spared=observed.status.stable is None and asked.max_regression is not None,
            attempt=self.attempt(observed),
        )

    def judgement(self, result: Any, index: int, observed: Observed) -> StepJudgement:
        """Return what came of the gates and of the comparison."""
        return StepJudgement(
            step=index,
            kind=self.name,
            verdict=result.verdict,
            message=_words(result, observed),
            validation=result,
        )

    def undecided(self, step: Step) -> UndecidedAction:
        """Return the step's own."""
        return step.validate_.on_not_enough_samples if step.validate_ is not None else UndecidedAction.HOLD


def _against(asked: ValidateStep, observed: Observed) -> AgainstConfig | None:
    stable = observed.status.stable
    if stable is None:
        return None
    return AgainstConfig(
        policy=stable.policy,
        artifact=artifact_of(stable.policy, stable.digest, observed),
        episodes=asked.episodes,
        confidence=asked.confidence,
        max_regression=asked.max_regression,
    )


def _words(result: ValidationResult, observed: Observed) -> str:
    told = validation.words(result)
    if observed.status.stable is None:
        told = f"{told} It is the first version, so it was compared with nobody.".strip()
    return told


KIND = Validate()
