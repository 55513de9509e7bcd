"""Gates that are played in the policy's environment."""

from belay_api.conditions import ConditionStatus
from belay_api.judging import Judgement, ValidationResult
from belay_api.judging_job import JudgingReport
from belay_api.policy import RLPolicySpec
from belay_api.reasons import EventReason, PolicyReason, Verdict
from belay_operator.judging.kind import Said
from belay_operator.judging.question import Question

FIELD = "validation"
CONDITION = "Validated"
EVENT = EventReason.VALIDATED
DOING = "runs the gates"

_REASONS = {
    Verdict.FAIL: PolicyReason.FAILED,
    Verdict.NOT_ENOUGH_SAMPLES: PolicyReason.NOT_ENOUGH_SAMPLES,
    Verdict.NO_DATA: PolicyReason.NO_DATA,
}


def question(policy: str, spec: RLPolicySpec) -> Question | None:
    """See `QuestionKind`."""
    return None if spec.validation is None else Question(policy, spec.artifact, validation=spec.validation)


def answer(report: JudgingReport) -> Judgement | None:
    """See `QuestionKind`."""
    return report.validation


def said(result: ValidationResult) -> Said:
    """See `QuestionKind`."""
    told = words(result)
    if result.verdict is Verdict.PASS:
        message = f"{told.rstrip('.')}; status.validation has the numbers."
        return Said(ConditionStatus.TRUE, PolicyReason.PASSED, message)
    message = f"{told} status.validation has all of them."
    return Said(ConditionStatus.FALSE, _REASONS.get(result.verdict, PolicyReason.NOT_ENOUGH_SAMPLES), message)


def words(result: ValidationResult) -> str:
    """Return what came of it, without where the numbers are."""
    missed = [one for one in result.gates if one.verdict is not Verdict.PASS]
    count = len(result.gates)
    if not missed:
        passed = "its gate" if count == 1 else f"all {count} gates"
        found = [f"The policy passed {passed} in {result.environment}."] if count else []
    else:
        gravest = next((one for one in missed if one.verdict is result.verdict), missed[0])
        found = [
            f"The policy did not pass {len(missed)} of {count} gates in {result.environment}. {gravest.gate}: "
            f"{gravest.message.rstrip('.')}."
        ]
    return " ".join([*found, *([result.compared.message] if result.compared is not None else [])])
