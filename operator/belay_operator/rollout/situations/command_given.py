"""A person has given a command: `belay.dev/command: "<action>@<id>"`, each carried out once.

An annotation can live in Git, so it stays when it is done: action and id together are what makes it happen once, and
they are recorded in the same status write as what it does. One that cannot be carried out is recorded as well, with the
reason; it does not wait for a better moment, because nobody would know when that came.
"""

from datetime import datetime

from belay_api.names import COMMAND_ANNOTATION
from belay_api.reasons import EventReason
from belay_api.rollout.status import CommandStatus
from belay_operator.rollout.commands import ACTIONS
from belay_operator.rollout.commands.command import Refusal
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.stepping import kind_under_way, step_at

KEEP_COMMANDS = 10
MAX_ID = 128  # characters kept of an id
MAX_ACTION = 64  # of an action; whole annotations, of which ten are kept, would not fit into the object


def parse(text: str) -> Command:
    """Return the command an annotation names; its action is empty when the text is malformed."""
    action, at, identity = text.partition("@")
    if not at or not action or not identity:
        return Command(id=text[:MAX_ID], action="")
    return Command(id=identity[:MAX_ID], action=action[:MAX_ACTION])


def act(observed: Observed, now: datetime) -> Move | None:
    """Carry out a command that is not recorded yet."""
    command, recorded = observed.command, observed.status.commands
    if command is None or (recorded and _same(recorded[-1], command)):
        return None
    if again := [record for record in recorded if _same(record, command)]:
        # Git put it back after somebody annotated another. It moves up, or ten others later it would be forgotten, and
        # carried out once more.
        others = [record for record in recorded if not _same(record, command)]
        return Move(changed(observed.status, commands=[*others, *again]))
    done = _carry_out(command, observed, now)
    refusal = done if isinstance(done, str) else None
    move = done if isinstance(done, Move) else Move(observed.status)
    record = CommandStatus(id=command.id, action=command.action, at=instant(now), message=refusal)
    status = changed(move.status, commands=[*move.status.commands, record][-KEEP_COMMANDS:])
    name = f"{command.action}@{command.id}" if command.action else command.id
    event = (
        note(EventReason.COMMAND_REFUSED, f"{name}: {refusal}", warning=True)
        if refusal
        else note(EventReason.COMMAND_EXECUTED, name)
    )
    return Move(status, (event, *move.events))


def _same(record: CommandStatus, command: Command) -> bool:
    return (record.id, record.action) == (command.id, command.action)


def _carry_out(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """Ask the step under way first: a command may be its own."""
    kind, step = kind_under_way(observed), observed.status.step
    if kind is not None and step is not None and not observed.rolling_back:
        own = kind.on_command(command, step_at(observed.spec, step.index), observed, now)
        if own is not None:
            return own
    action = ACTIONS.get(command.action)
    return action(command, observed, now) if action else _unknown(command)


def _unknown(command: Command) -> Refusal:
    known = ", ".join(ACTIONS)
    if not command.action:
        return f"write the annotation {COMMAND_ANNOTATION} as <action>@<id>, with an action of {known}"
    return f"there is no action {command.action}; known are {known}"
