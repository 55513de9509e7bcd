"""A person has given a command: `belay.dev/command: "<action>@<id>"`, each carried out once.

An annotation can live in Git, so it stays when it is done: action and id together are what makes it happen once, and
they are recorded in the same status write as what it does. One that cannot be carried out is recorded as well, with the
reason; it does not wait for a better moment, because nobody would know when that came.
"""

from collections.abc import Callable
from datetime import datetime

from belay_api.names import COMMAND_ANNOTATION
from belay_api.reasons import EventReason
from belay_api.rollout.status import CommandStatus
from belay_operator.rollout import withdrawal
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.ratchet import approved
from belay_operator.rollout.stepping import enter, kind_under_way, step_at
from belay_operator.rollout.steps import KINDS
from belay_operator.rollout.steps.promote import Promote

KEEP_COMMANDS = 10
MAX_ID = 128  # characters kept of an id
MAX_ACTION = 64  # of an action; whole annotations, of which ten are kept, would not fit into the object

Refusal = str
"""Why a command cannot be carried out."""


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
        own = kind.on_command(command.action, step_at(observed.spec, step.index), observed, now)
        if own is not None:
            return own
    action = ACTIONS.get(command.action)
    return action(observed, now) if action else _unknown(command)


def _promote(observed: Observed, now: datetime) -> Move | Refusal:
    """Skip the steps that are left: all traffic, then promotion."""
    if observed.status.candidate is None:
        return "there is no candidate to promote"
    if observed.rolling_back and not observed.stable_lost:
        return "the candidate is being rolled back; send retry when that is done"
    move = enter(observed, now, len(observed.spec.steps), KINDS[Promote.name])
    # With stable lost, the candidate that was to be withdrawn is all there is.
    return Move(changed(move.status, rollback=None if observed.rolling_back else move.status.rollback), move.events)


def _abort(observed: Observed, now: datetime) -> Move | Refusal:
    """Take the candidate back."""
    status = observed.status
    if status.candidate is None:
        return "there is no candidate to take back"
    if observed.rolling_back:
        return "the candidate is being rolled back already"
    if observed.stable_lost and status.stable is not None and not withdrawal.somebody_else_answers(observed):
        return (
            f"{status.stable.policy}, which was stable, is lost, and only {status.candidate.policy} answers; create "
            f"{status.stable.policy} again as it was, or send promote"
        )
    return withdrawal.begin(observed, now, reason="Command", message="the command abort was given")


def _retry(observed: Observed, _now: datetime) -> Move | Refusal:
    """Forget that the policy of the spec was rolled back; taking it up again follows by itself."""
    if observed.rolling_back:
        return "a rollback is under way; send retry with another id when it is done"
    policy = observed.policies.get(observed.wanted)
    if policy is None:
        return f"spec.policy.name: there is no RLPolicy {observed.wanted} in this namespace"
    if policy.digest not in observed.status.rejected_digests:
        return f"{observed.wanted} has not been rolled back, so there is nothing to retry"
    left = [digest for digest in observed.status.rejected_digests if digest != policy.digest]
    return Move(changed(observed.status, rejected_digests=left))


def _approve(observed: Observed, now: datetime) -> Move | Refusal:
    """Take what serves now as the version that later ones are measured from."""
    stable = observed.status.stable
    if stable is None:
        return "no version is stable yet, so there is nothing to approve"
    return Move(changed(observed.status, anchor=approved(stable, now)))


def _unknown(command: Command) -> Refusal:
    known = ", ".join(ACTIONS)
    if not command.action:
        return f"write the annotation {COMMAND_ANNOTATION} as <action>@<id>, with an action of {known}"
    return f"there is no action {command.action}; known are {known}"


ACTIONS: dict[str, Callable[[Observed, datetime], Move | Refusal]] = {
    "promote": _promote,
    "abort": _abort,
    "retry": _retry,
    "approve": _approve,
}
