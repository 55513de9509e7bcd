"""`approve`: stay at this weight until a person says that the candidate may go on.

What counts is the command `approve` given while the step is under way. One given before it was about something else,
and one given at another step, or for other bytes, answers another question. Silence never approves: past the timeout
the candidate is taken back, or waits on. It is judged meanwhile as at any other step.
"""

from datetime import datetime

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.status import ApprovalStatus
from belay_api.rollout.steps import Step
from belay_api.rollout.steps.approve import OnTimeout
from belay_api.units import format_instant
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.steps.step import Failure, StepKind, over_at
from belay_operator.rollout.wait import Wait

NOT_APPROVED = "NotApproved"


class Approve(StepKind):
    """The StepKind."""

    name = "approve"

    def wait(self, step: Step, observed: Observed, now: datetime) -> Wait | None:
        """Wait for the command. Told is what it would approve, and what follows without it."""
        started, candidate, due = observed.status.step, observed.status.candidate, _due(step, observed)
        if started is None or candidate is None or _approved(observed):
            return None
        message = (
            f"{candidate.policy} ({candidate.digest[:19]}) waits for a person at step {started.index + 1}: look at how "
            "it does, then send the command approve, or abort"
        )
        if due is None:
            return Wait(RolloutReason.APPROVAL_NEEDED, message)
        if now >= due:
            words = f"It was to be approved by {format_instant(due)}, and waits on"
            return Wait(RolloutReason.APPROVAL_NEEDED, f"{message}. {words}")
        consequence = "it waits on" if _holds(step) else "it is taken back"
        words = f"If nobody has by {format_instant(due)}, {consequence}"
        return Wait(RolloutReason.APPROVAL_NEEDED, f"{message}. {words}", due - now)

    def deadline(self, step: Step, observed: Observed) -> datetime | None:
        """Return when the candidate is taken back."""
        return None if _holds(step) or _approved(observed) else _due(step, observed)

    def failure(self, step: Step, observed: Observed, now: datetime) -> Failure | None:
        """Return that nobody has approved in time."""
        due, started = self.deadline(step, observed), observed.status.step
        if due is None or started is None or now < due:
            return None
        return Failure(NOT_APPROVED, f"nobody approved it at step {started.index + 1} by {format_instant(due)}")

    def on_command(self, command: Command, step: Step, observed: Observed, now: datetime) -> Move | str | None:
        """Record the approval. Nothing else stands for one, so the step is not skipped."""
        started, candidate = observed.status.step, observed.status.candidate
        if started is None or candidate is None:
            return None
        if command.action == "skip":
            return "a step approve is not skipped: send approve, promote or abort"
        if command.action != "approve":
            return None
        if _approved(observed):
            return f"{candidate.policy} is approved at this step already"
        approval = ApprovalStatus(command=command.id, step=started.index, digest=candidate.digest, at=instant(now))
        words = f"{candidate.policy} ({candidate.digest[:19]}) may go on from step {started.index + 1}"
        recorded = started.model_copy(update={"approval": approval})
        return Move(changed(observed.status, step=recorded), (note(EventReason.APPROVED, words),))


def _approved(observed: Observed) -> bool:
    """Whether these bytes were approved at this step."""
    started, candidate = observed.status.step, observed.status.candidate
    approval = started.approval if started is not None else None
    if approval is None or started is None or candidate is None:
        return False
    return (approval.step, approval.digest) == (started.index, candidate.digest)


def _due(step: Step, observed: Observed) -> datetime | None:
    """When patience ends; None: it has no end."""
    return None if step.approve is None else over_at(observed, step.approve.timeout)


def _holds(step: Step) -> bool:
    """Whether the candidate waits on past the timeout."""
    return step.approve is not None and step.approve.on_timeout is OnTimeout.HOLD


KIND = Approve()
