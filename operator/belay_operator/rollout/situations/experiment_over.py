"""Arms that take part in no experiment any more: off the route, their episodes end, their pods go. A winner may wait.

Asked after `policy_wanted`: a winner that is taken up in the pass that ends the experiment keeps its share. Pods go
when a route that gives the arm no new episode is in force, and not before its episodes had their time to end.
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
    """Take arms off the route, give those that are off it their time, and drop those whose time is over."""
    status, found = observed.status, arms.running(observed.status)
    taking_part = {arm.policy for arm in found.arms if arm.outcome is None} if found is not None else set()
    left = [
        arm if arm.policy in taking_part else _leaving(arm, observed, now)
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


def _leaving(arm: ServedArmStatus, observed: Observed, now: datetime) -> ServedArmStatus:
    """The arm one step further on its way out."""
    if arm.on_route:
        episodes = instant(now) + observed.spec.analysis.grace
        return arm.model_copy(update={"on_route": False, "accepted": False, "episodes_until": episodes})
    if arm.accepted and arm.until is None:
        return _with_end(arm, observed, now)
    if arm.episodes_until is not None and now >= arm.episodes_until:
        return arm.model_copy(update={"episodes_until": None})  # its place on the route is free
    return arm


def _with_end(arm: ServedArmStatus, observed: Observed, now: datetime) -> ServedArmStatus:
    """The arm with the time when its pods go: a route that gives it no new episode is in force."""
    asked, at = observed.spec.policy.winner_of, instant(now)
    found = observed.status.experiment
    lost = found is None or found.winner != arm.policy
    keep = (asked.keep_losers if asked is not None and lost else None) or timedelta()
    # One that was taken out has no episodes any more: they go on with stable.
    episodes = max(arm.episodes_until or at, at) + route.WARM_LEAD
    return arm.model_copy(update={"until": max(episodes, at + keep)})
