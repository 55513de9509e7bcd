"""`approve`: a person answers for a version. A step `approve` under way takes the command for itself, in its file."""

from datetime import datetime

from belay_api.reasons import EventReason
from belay_api.rollout.status import VersionStatus
from belay_operator.rollout.commands.command import Refusal
from belay_operator.rollout.move import Move, changed, note
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.ratchet import approval_in_place_of_the_anchor, approved


def approve(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """Take what serves now as the version that later ones are measured from.

    A step `approve` under way has been asked before, and takes it for itself. Where the steps list one that is not
    under way, whoever sends this on a trial may mean the candidate: that is said instead of guessed.
    """
    status, stable = observed.status, observed.status.stable
    if stable is None:
        return "no version is stable yet, so there is nothing to approve"
    listed = any(step.approve is not None for step in observed.spec.steps)
    if status.candidate is not None and listed and approval_in_place_of_the_anchor(observed, now) is None:
        return _not_asked(observed, status.candidate)
    words = f"{stable.policy} ({stable.digest[:19]}) is the version that later ones are measured from"
    return Move(changed(status, anchor=approved(stable, now)), (note(EventReason.APPROVED, words),))


def _not_asked(observed: Observed, candidate: VersionStatus) -> Refusal:
    if observed.rolling_back:
        return f"{candidate.policy} is being rolled back, and there is nothing to approve of it"
    return (
        f"no step approve is under way, so {candidate.policy} cannot be approved now; send approve with another id "
        "once the phase is WaitingForApproval"
    )
