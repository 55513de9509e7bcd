"""`promote`, `abort`, `retry`: a person decides what becomes of a candidate, whatever its steps say."""

from datetime import datetime

from belay_operator.rollout import withdrawal
from belay_operator.rollout.arms import running
from belay_operator.rollout.commands.command import Refusal
from belay_operator.rollout.experiment import over
from belay_operator.rollout.move import Move, changed
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.stepping import enter
from belay_operator.rollout.steps import KINDS
from belay_operator.rollout.steps.promote import Promote
from belay_operator.rollout.winner import recorded
from belay_operator.rollout.words import nothing_to_serve


def promote(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """Skip the steps that are left: all traffic, then promotion."""
    if observed.status.candidate is None:
        return "there is no candidate to promote"
    if observed.rolling_back and not observed.stable_lost:
        return "the candidate is being rolled back; send retry when that is done"
    move = enter(observed, now, len(observed.spec.steps), KINDS[Promote.name])
    # With stable lost, the candidate that was to be withdrawn is all there is.
    rollback = None if observed.rolling_back else move.status.rollback
    return Move(changed(move.status, rollback=rollback, paused=None), move.events)


def abort(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """Take the candidate back, or all arms of an experiment."""
    status = observed.status
    if status.candidate is None and running(status) is not None:
        return over(observed, now, f"a person ended the experiment by abort@{command.id}: no arm has won")
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


def retry(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """Forget that the policy of the spec was rolled back, or arms of an experiment that has not begun.

    Taking them up again follows by itself.
    """
    if observed.rolling_back:
        return "a rollback is under way; send retry with another id when it is done"
    asked = observed.spec.policy.winner_of
    arms = [] if asked is None or recorded(asked, observed.status) else [arm.policy for arm in asked.arms]
    competing = {view.digest for name in arms if (view := observed.policies.get(name)) is not None}
    if competing & set(observed.status.rejected_digests):
        left = [digest for digest in observed.status.rejected_digests if digest not in competing]
        return Move(changed(observed.status, rejected_digests=left))
    wanted = observed.after(changed(observed.status, rejected_digests=[])).wanted  # of a family: were none rejected
    policy = observed.policies.get(wanted)
    if policy is None:
        return nothing_to_serve(observed)
    if policy.digest not in observed.status.rejected_digests:
        return _nothing_to_retry(wanted, observed)
    left = [digest for digest in observed.status.rejected_digests if digest != policy.digest]
    return Move(changed(observed.status, rejected_digests=left))


def _nothing_to_retry(wanted: str, observed: Observed) -> Refusal:
    found = recorded(observed.spec.policy.winner_of, observed.status)
    rejected = observed.status.rejected_digests
    out = [] if found is None else [arm.policy for arm in found.arms if arm.digest in rejected]
    if not out:
        return f"{wanted} has not been rolled back, so there is nothing to retry"
    return (
        f"{', '.join(out)} failed in the experiment that is on record, and an arm that is out stays out; for another "
        "try write another experiment in spec.policy.winnerOf, with other weights say, and send retry then"
    )
