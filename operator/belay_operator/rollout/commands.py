"""Commands by annotation: `belay.dev/command: "<action>@<id>"`, each id carried out once.

An annotation can live in Git, so it stays when it is done: the id is what makes it happen once, and it is recorded in
the same status write as what it does. One that cannot be carried out is recorded as well, with the reason; it does not
wait for a better moment, because nobody would know when that came.
"""

from collections.abc import Callable
from datetime import datetime

from belay_api.names import COMMAND_ANNOTATION
from belay_api.reasons import EventReason
from belay_api.rollout import CommandStatus, StepStatus
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.rollback import begin

KEEP_COMMANDS = 10
MAX_ID = 128  # characters kept of an id

Answer = Move | str
"""What a command does, or why it cannot be done."""


def parse(text: str) -> Command:
    """Return the command an annotation names; its action is empty when the text is malformed."""
    action, at, identity = text.partition("@")
    if not at or not action or not identity:
        return Command(id=text[:MAX_ID], action="")
    return Command(id=identity[:MAX_ID], action=action)


def decide_command(observed: Observed, now: datetime) -> Move | None:
    """Return what a command not seen before does, its record included."""
    command, seen = observed.command, observed.status.commands
    if command is None or (seen and seen[-1].id == command.id):
        return None
    if again := [record for record in seen if record.id == command.id]:
        # Git put it back after somebody annotated another. It moves up, or ten others later it would be forgotten, and
        # carried out once more.
        return Move(changed(observed.status, commands=[*(r for r in seen if r.id != command.id), *again]))
    action = ACTIONS.get(command.action)
    answer = action(observed, now) if action else _unknown(command)
    refusal = answer if isinstance(answer, str) else None
    move = answer if isinstance(answer, Move) else Move(observed.status)
    record = CommandStatus(id=command.id, action=command.action, at=instant(now), message=refusal)
    status = changed(move.status, commands=[*move.status.commands, record][-KEEP_COMMANDS:])
    name = f"{command.action}@{command.id}" if command.action else command.id
    told = (
        note(EventReason.COMMAND_REFUSED, f"{name}: {refusal}", warning=True)
        if refusal
        else note(EventReason.COMMAND_EXECUTED, name)
    )
    return Move(status, (told, *move.events))


def _promote(observed: Observed, now: datetime) -> Answer:
    """Skip the steps that are left: all traffic, then promotion."""
    if observed.status.candidate is None:
        return "there is no candidate to promote"
    if observed.rolling_back:
        return "the candidate is being rolled back; send retry when that is done"
    step = StepStatus(index=len(observed.spec.steps), kind="promote", started_at=instant(now))
    return Move(changed(observed.status, step=step))


def _abort(observed: Observed, now: datetime) -> Answer:
    """Take the candidate back."""
    if observed.status.candidate is None:
        return "there is no candidate to take back"
    if observed.rolling_back:
        return "the candidate is being rolled back already"
    return begin(observed, now, reason="Command", message="the command abort was given")


def _retry(observed: Observed, _now: datetime) -> Answer:
    """Forget that the policy of the spec was rolled back; taking it up again follows by itself."""
    wanted = observed.spec.policy.name
    if observed.rolling_back:
        return "a rollback is under way; send retry with another id when it is done"
    policy = observed.policies.get(wanted)
    if policy is None:
        return f"spec.policy.name: there is no RLPolicy {wanted} in this namespace"
    if policy.digest not in observed.status.rejected_digests:
        return f"{wanted} has not been rolled back, so there is nothing to retry"
    left = [digest for digest in observed.status.rejected_digests if digest != policy.digest]
    return Move(changed(observed.status, rejected_digests=left))


def _unknown(command: Command) -> str:
    known = ", ".join(ACTIONS)
    if not command.action:
        return f"write the annotation {COMMAND_ANNOTATION} as <action>@<id>, with an action of {known}"
    return f"there is no action {command.action}; known are {known}"


ACTIONS: dict[str, Callable[[Observed, datetime], Answer]] = {"promote": _promote, "abort": _abort, "retry": _retry}
