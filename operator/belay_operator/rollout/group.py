"""Who of a group may have a candidate: places that rollouts take in their own status, where all others see them.

Nobody hands places out. A rollout writes that it takes one, and takes up its candidate in a later pass, once it sees
that written and no more than `limit` places taken. Two that write at once each see the other's afterwards: of those who
take, one is the later to be seen, and whoever sees its own sees all that were seen before it. So no order of passes and
writes lets more than `limit` through. Who asked last gives its place back and waits again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api.rollout.group import GroupSpec, GroupStatus
from belay_api.units import parse_instant
from belay_operator.rollout.raw_status import is_rolling_back

Order = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Member:
    """A rollout with a place in a group, or one that asks for it."""

    group: str
    order: Order  # when it asked, and its name
    granted: bool
    on_trial: bool  # it has a candidate, or takes one back


def member(rollout: Mapping[str, Any] | None) -> Member | None:
    """Return what a rollout's status says of its place; None: it has none and asks for none, or is being deleted."""
    status = {} if rollout is None else rollout.get("status") or {}
    place = status.get("group")
    if rollout is None or place is None or "deletionTimestamp" in rollout["metadata"]:
        return None
    return Member(
        group=place["name"],
        order=(parse_instant(place["askedAt"]), rollout["metadata"]["name"]),
        granted="grantedAt" in place,
        on_trial="candidate" in status or is_rolling_back(status),
    )


def others(group: str, name: str, rollouts: Iterable[Mapping[str, Any]]) -> tuple[Member, ...]:
    """Return who of a namespace's rollouts has a place in the group or asks for one, but for `name` itself."""
    found = (member(one) for one in rollouts if one["metadata"]["name"] != name)
    return tuple(one for one in found if one is not None and one.group == group)


def is_free(spec: GroupSpec, group: tuple[Member, ...]) -> bool:
    """Whether who has a place may take up its candidate: not too many others have one."""
    return sum(one.granted for one in group) < spec.limit


def next_place(
    spec: GroupSpec, held: GroupStatus | None, group: tuple[Member, ...], name: str, now: datetime
) -> GroupStatus:
    """Return the place of a rollout that would take up a candidate: asked for, taken, or given back."""
    if held is None or held.name != spec.name:
        held = GroupStatus(name=spec.name, asked_at=now)
    before = [one for one in group if one.order < (held.asked_at, name)]
    if held.granted_at is None:
        ahead = sum(one.granted for one in group) + sum(not one.granted for one in before)
    else:
        ahead = sum(one.on_trial for one in group) + sum(one.granted and not one.on_trial for one in before)
    granted_at = (held.granted_at or now) if ahead < spec.limit else None
    return held.model_copy(update={"granted_at": granted_at})
