"""The commands of the annotation, each a function; a step under way is asked before (`StepKind.on_command`)."""

from belay_operator.rollout.commands.approve import approve
from belay_operator.rollout.commands.command import Action
from belay_operator.rollout.commands.fate import abort, promote, retry
from belay_operator.rollout.commands.hold import pause, resume, skip
from belay_operator.rollout.commands.undo import undo

ACTIONS: dict[str, Action] = {
    "promote": promote,
    "abort": abort,
    "retry": retry,
    "approve": approve,
    "pause": pause,
    "resume": resume,
    "skip": skip,
    "undo": undo,
}
"""Every action by its name, which is also that of the subresource on which RBAC is asked."""
