"""What logged episodes of another policy say of this one."""

from belay_api.conditions import ConditionStatus
from belay_api.judging import Judgement, OfflineResult
from belay_api.judging_job import JudgingReport
from belay_api.policy import RLPolicySpec
from belay_api.reasons import EventReason, PolicyReason, Verdict
from belay_operator.judging.kind import Said
from belay_operator.judging.question import Question

FIELD = "offline_evaluation"
CONDITION = "EvaluatedOffline"
EVENT = EventReason.EVALUATED_OFFLINE
DOING = "asks the estimators"

_HELD = {
    Verdict.PASS: (ConditionStatus.TRUE, PolicyReason.PASSED, "It returns no less than maxRegression allows"),
    Verdict.FAIL: (ConditionStatus.FALSE, PolicyReason.FAILED, "It returns less than maxRegression allows"),
    Verdict.NOT_ENOUGH_SAMPLES: (
        ConditionStatus.FALSE,
        PolicyReason.NOT_ENOUGH_SAMPLES,
        "The log does not tell whether that is as much as maxRegression allows",
    ),
}


def question(policy: str, spec: RLPolicySpec) -> Question | None:
    """See `QuestionKind`."""
    asked = spec.offline_evaluation
    return None if asked is None else Question(policy, spec.artifact, offline_evaluation=asked)


def answer(report: JudgingReport) -> Judgement | None:
    """See `QuestionKind`."""
    return report.offline_evaluation


def said(result: OfflineResult) -> Said:
    """See `QuestionKind`."""
    if not result.judged or result.return_ is None:
        message = (
            f"The policy cannot be judged by these episodes: {result.reason}. Try it on a small weight of traffic."
        )
        return Said(ConditionStatus.FALSE, PolicyReason.CANNOT_BE_JUDGED, message)
    told = (
        f"By {result.estimator} the policy's discounted return is {result.return_.words()}, that of the "
        f"{result.episodes} logged episodes {result.logged.words()}."
    )
    if result.verdict is None or result.margin is None:
        return Said(ConditionStatus.TRUE, PolicyReason.JUDGED, told)
    status, reason, words = _HELD[result.verdict]
    return Said(status, reason, f"{told} {words}: the difference to the least allowed is {result.margin.words()}.")
