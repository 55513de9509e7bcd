"""Where a question stands: what is so, what came of it, and whether its Job is to be made.

The chain below is read from top to bottom; the first function that recognises the situation names it. A question that
is answered stays answered, whatever becomes of its Job. One whose Job failed is asked again once that Job is deleted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from belay_api.conditions import ConditionStatus
from belay_api.judging import Judgement
from belay_api.reasons import PolicyReason
from belay_api.units import format_duration
from belay_operator.judging.kind import QuestionKind, Said
from belay_operator.judging.question import Question
from belay_operator.judging.view import JobView
from belay_operator.waiting import obstacle

REPORT_GRACE = timedelta(seconds=30)
"""How long after a Job's end its pod's last word may be on its way: each kind of object has a watch of its own."""
FAILED = frozenset(
    {
        PolicyReason.BAD_CONFIGURATION,
        PolicyReason.DEADLINE_EXCEEDED,
        PolicyReason.JOB_FAILED,
        PolicyReason.REPORT_LOST,
    }
)
"""The Job is over and did not answer."""
_UNKNOWN = ConditionStatus.UNKNOWN


class Told(Protocol):
    """What was said last of a question, as a condition or another record has it."""

    @property
    def reason(self) -> str | None:
        """Of `PolicyReason`; None: nothing was said."""

    @property
    def message(self) -> str:
        """The same for people."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and all that is known of it."""

    kind: QuestionKind
    question: Question
    job: JobView
    recorded: Judgement | None  # the last answer in status, to whichever question; None: there is none
    before: Told | None  # what was said last
    waits_for: str | None = None  # why it cannot be asked yet, as a sentence; None: it can


@dataclass(frozen=True, slots=True)
class QuestionStanding:
    """Where it stands."""

    said: Said
    result: Judgement | None = None  # what came of this very question; None: nothing yet
    missing: bool = False  # its Job is to be made
    give_up: bool = False  # its Job is to end, and does not know it
    recheck: timedelta | None = None  # look again after this long; None: only on events

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.result is not None or self.said.reason in FAILED


def standing(asked: Asked, now: datetime) -> QuestionStanding:
    """Return where a question stands."""
    chain = (
        _answered,
        _policy_missing,
        _old_job,
        _no_job,
        _last_word_on_its_way,
        _last_word_lost,
        _refused,
        _evicted_too_often,
        _out_of_time,
        _failed,
        _waiting,
        _store_unavailable,
    )
    return next((found for link in chain if (found := link(asked, now)) is not None), _judging(asked))


_Link = Callable[[Asked, datetime], QuestionStanding | None]


def _answered(asked: Asked, now: datetime) -> QuestionStanding | None:
    result = asked.recorded
    if result is None or result.question != asked.question.hash:
        result = asked.kind.answer(asked.job.report) if asked.job.report is not None else None
        if result is None or result.question != asked.question.hash:
            return None
        result = result.model_copy(update={"at": asked.job.end.at if asked.job.end is not None else now})
    return QuestionStanding(asked.kind.said(result), result)


def _policy_missing(asked: Asked, now: datetime) -> QuestionStanding | None:
    if asked.waits_for is None:
        return None
    message = f"{asked.waits_for} No pod is started. The gates run by themselves once it is there and whole."
    return QuestionStanding(Said(_UNKNOWN, PolicyReason.WAITING_FOR_POLICY, message))


def _old_job(asked: Asked, now: datetime) -> QuestionStanding | None:
    job = asked.job
    if not job.exists or (job.ours and not job.deleting):
        return None
    message = f"{job.title} is still being removed; a new one is made as soon as it is gone."
    return QuestionStanding(Said(_UNKNOWN, PolicyReason.JUDGING, message))


def _no_job(asked: Asked, now: datetime) -> QuestionStanding | None:
    if asked.job.exists:
        return None
    return QuestionStanding(Said(_UNKNOWN, PolicyReason.JUDGING, f"{asked.job.title} is to be made."), missing=True)


def _last_word_on_its_way(asked: Asked, now: datetime) -> QuestionStanding | None:
    end = asked.job.end
    if end is None or now - end.at >= REPORT_GRACE or (not end.complete and asked.job.failure is not None):
        return None
    message = f"{asked.job.title} is over; its pod's last word is on its way."
    return QuestionStanding(Said(_UNKNOWN, PolicyReason.JUDGING, message), recheck=REPORT_GRACE - (now - end.at))


def _last_word_lost(asked: Asked, now: datetime) -> QuestionStanding | None:
    if asked.job.end is None or not asked.job.end.complete:
        return None
    message = (
        f"{asked.job.title} succeeded, but its pod's last word cannot be read: the pod was removed before it was, or "
        f"the image is not a Belay trainer of this version. {_again(asked)}"
    )
    return QuestionStanding(Said(_UNKNOWN, PolicyReason.REPORT_LOST, message))


def _refused(asked: Asked, now: datetime) -> QuestionStanding | None:
    if asked.job.end is None or asked.job.end.reason != "PodFailurePolicy":
        return None
    message = (
        f"A pod of {asked.job.title} refused what it was asked: {_words(asked)}. Correct the spec; or mend what it "
        "found, and delete the Job: it is asked again."
    )
    return _over(asked, PolicyReason.BAD_CONFIGURATION, message)


def _evicted_too_often(asked: Asked, now: datetime) -> QuestionStanding | None:
    """Recognise a Job that would make pods without end: it takes evictions by the kubelet for disruptions."""
    if not asked.job.evicted_too_often(asked.question):
        return None
    most = asked.question.asked.retries
    message = (
        f"{asked.job.title} failed: {_words(asked)}. Its pods were evicted more often than retries ({most}) allows. "
        f"Give them more with runtime.resources. {_again(asked)}"
    )
    return replace(_over(asked, PolicyReason.JOB_FAILED, message), give_up=asked.job.ends_by_evictions(asked.question))


def _out_of_time(asked: Asked, now: datetime) -> QuestionStanding | None:
    deadline = asked.question.asked.deadline
    if asked.job.end is None or asked.job.end.reason != "DeadlineExceeded" or deadline is None:
        return None
    limit = format_duration(deadline)
    message = f"deadline: {limit} passed before {asked.job.title} was done. Give it more time. {_again(asked)}"
    return _over(asked, PolicyReason.DEADLINE_EXCEEDED, message)


def _failed(asked: Asked, now: datetime) -> QuestionStanding | None:
    if asked.job.end is None:
        return None
    message = f"{asked.job.title} failed: {_words(asked)}. {_again(asked)}"
    return _over(asked, PolicyReason.JOB_FAILED, message)


def _waiting(asked: Asked, now: datetime) -> QuestionStanding | None:
    job = asked.job
    found = obstacle(
        job.title, cannot_start=job.cannot_start, unschedulable=job.unschedulable, cannot_be_made=job.cannot_be_made
    )
    if found is None:
        return None
    reason = PolicyReason.UNSCHEDULABLE if found.without_room else PolicyReason.POD_START_FAILED
    return QuestionStanding(Said(_UNKNOWN, reason, found.message))


def _store_unavailable(asked: Asked, now: datetime) -> QuestionStanding | None:
    if asked.job.outage is None:
        return None
    message = f"{asked.job.outage.message} {asked.job.title} waits with what it needs from there, and with its report."
    return QuestionStanding(Said(_UNKNOWN, PolicyReason.STORE_UNAVAILABLE, message))


def _judging(asked: Asked) -> QuestionStanding:
    running = asked.job.started
    message = f"{asked.job.title} {asked.kind.DOING}." if running else f"No pod of {asked.job.title} runs yet."
    return QuestionStanding(Said(_UNKNOWN, PolicyReason.JUDGING, message))


def _over(asked: Asked, reason: PolicyReason, message: str) -> QuestionStanding:
    """Keep the words with which an end was first told: its pods, which know why, may be gone since."""
    before = asked.before
    if (
        asked.job.failure is None
        and before is not None
        and before.reason == reason
        and asked.job.name in before.message
    ):
        message = before.message
    return QuestionStanding(Said(_UNKNOWN, reason, message))


def _words(asked: Asked) -> str:
    end = asked.job.end
    return asked.job.failure or (end.message.rstrip(".") if end is not None else "") or "no pod of it left a word"


def _again(asked: Asked) -> str:
    return f"Delete {asked.job.title}, and it is asked again."
