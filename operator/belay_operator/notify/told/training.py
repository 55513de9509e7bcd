"""What a training tells: that it succeeded or failed, and what it waits for that only people mend.

One that publishes has succeeded once its RLPolicy exists.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from belay_api.reasons import EventReason, TrainingReason
from belay_api.training import TrainingPhase
from belay_api.units import parse_instant
from belay_operator.notify.told.telling import Happened, Severity, Status, Telling, condition

_ENDS = (
    ("Ready", TrainingPhase.SUCCEEDED, EventReason.TRAINING_SUCCEEDED, Severity.INFO),
    ("Stalled", TrainingPhase.FAILED, EventReason.TRAINING_FAILED, Severity.ERROR),
)
"""Condition, phase, what is told."""


def happened(status: Status) -> Iterable[Happened]:
    """Return the end, counted from when it was recorded: pods may have ended long before, while nobody looked."""
    for kind, phase, reason, severity in _ENDS:
        one = condition(status, kind)
        if one is not None and status.get("phase") == str(phase):
            yield Happened(
                reason=str(reason),
                at=parse_instant(one["lastTransitionTime"]),
                severity=severity,
                message=one.get("message") or "",
                facts={**facts(status), "cause": one["reason"]},
            )


def facts(status: Status) -> Mapping[str, Any]:
    """Return the policy that was published."""
    return {"policy": status["publishedPolicy"]} if status.get("publishedPolicy") else {}


TELLING = Telling(
    kind="RLTrainingJob",
    plural="rltrainingjobs",
    word="training",
    happens=(str(EventReason.TRAINING_SUCCEEDED), str(EventReason.TRAINING_FAILED)),
    happened=happened,
    situations={
        "Ready": {
            str(TrainingReason.BUDGET_SPENT): Severity.WARNING,
            str(TrainingReason.STORE_UNAVAILABLE): Severity.WARNING,
            str(TrainingReason.INVALID_SPEC): Severity.ERROR,
            str(TrainingReason.CHILD_CONFLICT): Severity.ERROR,
            str(TrainingReason.CHILD_REFUSED): Severity.ERROR,
        },
    },
    facts=facts,
)
