"""The spec wants a policy that is not stable: it becomes the candidate, unless it is missing or was rejected.

The spec says what shall serve, status says what does. A candidate exists only between the two, and only one at a time:
another wish waits until the one before is seen gone.
"""

from datetime import datetime

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.status import VersionStatus, WeightStatus
from belay_operator.rollout.gates import TAKING_UP, first_closed
from belay_operator.rollout.move import Move, changed, instant, note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stepping import kept_share
from belay_operator.rollout.taking_up import is_another_wanted, to_take_up
from belay_operator.rollout.wait import Wait
from belay_operator.rollout.words import meanwhile, nothing_to_serve


def act(observed: Observed, now: datetime) -> Move | None:
    """Take up the new candidate."""
    status, policy = observed.status, to_take_up(observed, now, TAKING_UP)
    if policy is None:
        return None
    candidate = VersionStatus(policy=observed.wanted, digest=policy.digest, since=instant(now))
    share = kept_share(observed.spec, status, observed.wanted)
    after = changed(
        status,
        candidate=candidate,
        arms=[arm for arm in status.arms if arm.policy != candidate.policy],  # its pods are the candidate's now
        step=None,
        paused=None,
        skipped=[],
        weight=None if share is None else WeightStatus(desired=share),  # of a winner, which goes on with it
        analysis_started_at=None,
        weight_changes=[],
        weight_history=[],
        verdicts=[],
        regret=None,
        judgements=[],
        shadow=None,
        rollback=None,
    )
    instead = f"instead of {status.stable.policy}" if status.stable else "as the first version"
    return Move(after, (note(EventReason.ROLLOUT_STARTED, f"{observed.wanted} is the candidate, {instead}"),))


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell why the policy of the spec is not taken up."""
    if not is_another_wanted(observed):
        return None
    policy, rollback = observed.policies.get(observed.wanted), observed.status.rollback
    if policy is None or policy.deleted:
        message = f"{nothing_to_serve(observed)}; {meanwhile(observed)}"
        return Wait(RolloutReason.POLICY_NOT_FOUND, message)
    if policy.digest not in observed.status.rejected_digests:
        return first_closed(TAKING_UP, observed, now)
    advice = f"{meanwhile(observed)}. Change spec.policy, or send the command retry"
    if rollback is not None and rollback.policy == observed.wanted:
        return Wait(RolloutReason.ROLLED_BACK, f"{observed.wanted}: {rollback.message}; {advice}", stalled=True)
    message = f"the digest of {observed.wanted} was rolled back before; {advice}"
    return Wait(RolloutReason.REJECTED, message, stalled=True)
