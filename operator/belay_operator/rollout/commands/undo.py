"""`undo`: back to the version before, while that is warm, in one step.

The promotion is taken back as a candidate is: the version before is stable again, and what was promoted is withdrawn
from it, with the same record and the same proof (`situations/rollback_under_way`). Its digest is rejected at the end,
so it is not taken up again although the spec still names it. Where Git is to say the same, a commit that names the
version before does (`situations/candidate_loading`), and rejects nothing.
"""

from datetime import datetime

from belay_api.conditions import clear_condition
from belay_api.rollout.status import AnchorStatus, RLRolloutStatus, VersionStatus, WarmStatus, WeightStatus
from belay_operator.rollout import withdrawal
from belay_operator.rollout.commands.command import Refusal
from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.observed import Command, Observed
from belay_operator.rollout.ratchet import approved
from belay_operator.rollout.watch import DEGRADED

UNDONE = "Undone"


def undo(command: Command, observed: Observed, now: datetime) -> Move | Refusal:
    """Swap stable and the version before, and withdraw what was stable."""
    previous = observed.status.previous
    who = previous.policy if previous is not None else ""
    message = f"a person sent undo@{command.id}, and {who} is stable again"
    return back(observed, now, reason=UNDONE, message=message)


def back(observed: Observed, now: datetime, *, reason: str, message: str) -> Move | Refusal:
    """Return the way back to the version before stable, and what was stable withdrawn for that reason."""
    status, stable, previous = observed.status, observed.status.stable, observed.status.previous
    if status.candidate is not None:
        return _on_trial(observed, status.candidate)
    if stable is None or previous is None:
        return "no version before is kept warm any more; name the one to go back to in spec.policy"
    policy = observed.policies.get(previous.policy)
    if policy is None or policy.digest != previous.digest:
        return f"RLPolicy {previous.policy} is not there as it was; name another version in spec.policy"
    if policy.ready_replicas == 0:
        words = f" ({policy.message.rstrip('.')})" if policy.message else ""
        return f"{previous.policy} has no ready pod{words}; send undo with another id when it has"
    at = instant(now)
    swapped = changed(
        status,
        stable=VersionStatus(policy=previous.policy, digest=previous.digest, since=at),
        candidate=VersionStatus(policy=stable.policy, digest=stable.digest, since=stable.since),
        previous=None,
        anchor=_anchor(status, stable, previous, now),
        weight=WeightStatus(desired=100, applied=100),
        verdicts=[],
        regret=None,
        watch=[],
        conditions=clear_condition(list(status.conditions), DEGRADED),
    )
    return withdrawal.begin(observed.after(swapped), now, reason=reason, message=message)


def _on_trial(observed: Observed, candidate: VersionStatus) -> Refusal:
    previous = observed.status.previous
    if observed.rolling_back:
        return "a rollback is under way; send undo with another id when it is done"
    if previous is not None and candidate.policy == previous.policy:
        return f"{candidate.policy}, the version before, is on its way back already"
    return f"{candidate.policy} is on trial: send abort to take it back; undo is for a version that was promoted"


def _anchor(status: RLRolloutStatus, left: VersionStatus, back: WarmStatus, now: datetime) -> AnchorStatus | None:
    """The anchor without the promotion that is taken back; what is rejected is nobody's measure."""
    anchor, returned = status.anchor, VersionStatus(policy=back.policy, digest=back.digest, since=instant(now))
    if anchor is None or anchor.digest == left.digest:
        return approved(returned, now)
    promotions = 0 if anchor.digest == back.digest else max(anchor.promotions - 1, 0)
    return anchor.model_copy(update={"promotions": promotions})
