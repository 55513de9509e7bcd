"""The protocol of a kind of question, and what is said of one that is answered."""

from dataclasses import dataclass
from typing import Any, Protocol

from belay_api.conditions import ConditionStatus
from belay_api.judging import Judgement
from belay_api.judging_job import JudgingReport
from belay_api.policy import RLPolicySpec
from belay_api.reasons import EventReason, PolicyReason
from belay_operator.judging.question import Question


@dataclass(frozen=True, slots=True)
class Said:
    """A condition, as far as it does not depend on time."""

    status: ConditionStatus
    reason: PolicyReason
    message: str


class QuestionKind(Protocol):
    """One kind of question, written as a module."""

    FIELD: str
    """Where its answer stands, in a status and in a pod's last word."""
    CONDITION: str
    """Which condition of an RLPolicy tells it."""
    EVENT: EventReason
    """What is posted once it is answered, or cannot be."""
    DOING: str
    """What its Job does, as the end of a sentence."""

    def question(self, policy: str, spec: RLPolicySpec) -> Question | None:
        """Return what the spec of an RLPolicy asks; None: nothing."""

    def answer(self, report: JudgingReport) -> Judgement | None:
        """Return what came of it, from a pod's last word; None: nothing did."""

    def said(self, result: Any) -> Said:
        """Return what is said of a question with that answer."""
