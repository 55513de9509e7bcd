"""A rollout of a group asks for a place before it takes up a candidate, and leaves it when the trial has ended."""

from datetime import datetime

from belay_api.rollout.group import GroupStatus
from belay_operator.rollout import group
from belay_operator.rollout.gates import BEFORE_A_PLACE, group_to_wait_for
from belay_operator.rollout.move import Move, changed, instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.taking_up import to_take_up


def act(observed: Observed, now: datetime) -> Move | None:
    """Record what the rollout has or asks for."""
    place = _place(observed, instant(now))
    return None if place == observed.status.group else Move(changed(observed.status, group=place))


def _place(observed: Observed, now: datetime) -> GroupStatus | None:
    status, asked = observed.status, observed.spec.group
    if status.candidate is not None or observed.rolling_back:
        if status.group is not None or asked is None or status.stable is None:
            return status.group
        # It was on trial before it was in the group, or went back to a warm version: the others wait for it as well.
        return GroupStatus(name=asked.name, asked_at=now, granted_at=now)
    spec = group_to_wait_for(observed)
    if spec is None or to_take_up(observed, now, BEFORE_A_PLACE) is None:
        return None
    return group.next_place(spec, status.group, observed.group, observed.owner.name, now)
