"""The arms of an experiment on the route: what part of the traffic each gets, and which still answer their episodes.

An arm gets its share only while no candidate is on trial. What each of them gets is taken from stable.
"""

from datetime import datetime

from belay_api.rollout.experiment import MAX_CHANGES, ExperimentStatus
from belay_api.rollout.status import RLRolloutStatus, ServedArmStatus

# Coming and going each cuts a window; beyond this the changes before would begin to be forgotten.
MOST_CHANGES = MAX_CHANGES * 3 // 4


def running(status: RLRolloutStatus) -> ExperimentStatus | None:
    """Return the experiment under way; None: there is none."""
    found = status.experiment
    return found if found is not None and found.decided_at is None else None


def compared(status: RLRolloutStatus) -> ExperimentStatus | None:
    """Return the experiment whose arms are compared: all had their shares at once, and no candidate is on trial."""
    found = running(status) if status.candidate is None else None
    return found if found is not None and found.started_at is not None else None


def shares(status: RLRolloutStatus) -> list[tuple[str, float]]:
    """Return the arms on the route with their percent of new episodes."""
    if status.candidate is not None:
        return []
    return [(arm.policy, float(arm.weight)) for arm in status.arms if arm.on_route]


def answers_its_episodes(arm: ServedArmStatus, now: datetime) -> bool:
    """Return whether the episodes that an arm began may go on with it."""
    return arm.on_route or (arm.episodes_until is not None and now < arm.episodes_until)
