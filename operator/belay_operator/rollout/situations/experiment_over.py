"""Arms that take part in no experiment any more: they have their time, then their pods go. And a winner may wait.

Pods go only when a route that gives the arm no new episode is in force, and its episodes had their time to end.
"""

from datetime import datetime, timedelta

from belay_api.reasons import RolloutReason
from belay_api.rollout.experiment import OnWinner
from belay_api.rollout.status import ServedArmStatus
from belay_operator.rollout import arms, route, winner
from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait


def act(observed: Observed, now: datetime) -> Move | None:
    """Give arms that are off the route for good their time, and drop those whose time is over."""
    status, found = observed.status, arms.running(observed.status)
    taking_part = {arm.policy for arm in found.arms if arm.outcome is None} if found is not None else set()
    left = [
        _with_ends(arm, observed, now) if arm.policy not in taking_part and arm.until is None else arm
        for arm in status.arms
        if not (arm.until is not None and now >= arm.until)
        and (arm.policy in observed.policies or arm.policy in taking_part)
    ]
    return Move(changed(status, arms=left)) if left != status.arms else None


def times(observed: Observed, now: datetime) -> list[timedelta]:
    """Return when rules and pods of arms go."""
    return [end - now for arm in observed.status.arms for end in (arm.episodes_until, arm.until) if end is not None]


def explain(observed: Observed, now: datetime) -> Wait | None:
    """Tell that an arm has won, where a person is to say what follows."""
    status, asked = observed.status, observed.spec.policy.winner_of
    found = winner.recorded(asked, status)
    if asked is None or found is None or status.candidate is not None or status.stable is None:
        return None
    if found.winner is None or asked.on_winner is OnWinner.PROMOTE or found.winner == status.stable.policy:
        return None
    message = f"{found.message}. {status.stable.policy} serves on: name {found.winner} in spec.policy.name"
    return Wait(RolloutReason.HOLDING, f"{message}, or write onWinner: Promote", stalled=True)


def _with_ends(arm: ServedArmStatus, observed: Observed, now: datetime) -> ServedArmStatus:
    """The arm with its ends, once a route that gives it no new episode is in force."""
    if arm.on_route or not arm.accepted:
        return arm
    asked, at = observed.spec.policy.winner_of, instant(now)
    found = observed.status.experiment
    lost = found is None or found.winner != arm.policy
    keep = (asked.keep_losers if asked is not None and lost else None) or timedelta()
    # One that was taken out has no episodes any more: they go on with stable.
    episodes = max(arm.episodes_until or at, at) + route.WARM_LEAD
    return arm.model_copy(update={"until": max(episodes, at + keep)})
