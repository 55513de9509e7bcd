"""Which rollouts need which bytes under a policy's name: all that the policy kind reads of an RLRollout.

    status.stable · candidate · previous · servedAnchor · kept    policy and digest; `until`, where it has one
    status.arms[]                                                 the same
    status.rollback                                               policy, endpointsClosedAt, drainedAt, weightZeroAt
    status.replicas, spec.replicas, metadata                      the larger number: the pods of each version

A rollout's *status* counts, not its spec: what it serves is decided there, and is recorded before traffic moves. A
demand is for bytes, not for a name: an RLPolicy deleted and made again with another digest is not what a rollout that
names the old digest asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api.rollout.status import VERSION_ROLES
from belay_api.units import parse_instant


@dataclass(frozen=True, slots=True)
class Demand:
    """What one rollout asks of a policy."""

    rollout: str
    uid: str  # of the rollout
    digest: str  # of the bytes it asks for
    replicas: int
    until: datetime | None  # kept warm until then; None: as long as the rollout names it
    stable: bool  # the rollout's promoted version: its traffic has nowhere else to go
    closing: bool  # the rollout withdraws it, and wants its endpoints gone

    def holds(self, now: datetime) -> bool:
        """Whether the rollout still asks."""
        return self.until is None or self.until > now


def demands(policy: str, rollouts: Iterable[Mapping[str, Any]]) -> tuple[Demand, ...]:
    """Return what each rollout asks of the policy, by rollout: one demand for each digest, on however many sides."""
    found = [demand for rollout in rollouts for demand in _of(policy, rollout)]
    return tuple(sorted(found, key=lambda demand: (demand.rollout, demand.digest)))


def closed_by(policy: str, rollouts: Iterable[Mapping[str, Any]], asked: Iterable[Demand]) -> str | None:
    """Return the rollout whose rollback is overdue and wants this policy's endpoints gone.

    They come back once the route without them is in force: until then the Gateway may still send requests here, though
    the rollback is over and has let the policy go. Another rollout's stable version is never closed: there is no other
    version for its traffic to go to.
    """
    for rollout in rollouts:
        name = rollout["metadata"]["name"]
        if closes(rollout, policy) and not any(demand.stable and demand.rollout != name for demand in asked):
            return str(name)
    return None


def closes(rollout: Mapping[str, Any], policy: str) -> bool:
    """Whether a rollback of this policy is overdue, and the route without it not in force yet."""
    rollback = (rollout.get("status") or {}).get("rollback") or {}
    over = rollback.get("drainedAt") and rollback.get("weightZeroAt")
    return bool(rollback.get("policy") == policy and rollback.get("endpointsClosedAt") and not over)


def _of(policy: str, rollout: Mapping[str, Any]) -> Iterator[Demand]:
    if "deletionTimestamp" in rollout["metadata"]:
        return
    status = rollout.get("status") or {}
    said = {side: status.get(side) or {} for side in VERSION_ROLES}
    said |= {f"arm {arm.get('policy')}": arm for arm in status.get("arms") or ()}
    ours = {side: version for side, version in said.items() if version.get("policy") == policy}
    for digest in {version["digest"] for version in ours.values()}:
        sides = {side for side, version in ours.items() if version["digest"] == digest}
        yield Demand(
            rollout=rollout["metadata"]["name"],
            uid=rollout["metadata"]["uid"],
            digest=digest,
            replicas=max(int(rollout.get("spec", {}).get("replicas", 1)), int(status.get("replicas") or 0)),
            until=_until(ours[side] for side in sides),
            stable="stable" in sides,
            closing=sides == {"candidate"} and closes(rollout, policy),
        )


def _until(sides: Iterable[Mapping[str, Any]]) -> datetime | None:
    """When the last of them lets go; None: one has no end yet."""
    ends = [side.get("until") for side in sides]
    return None if None in ends else max(parse_instant(end) for end in ends if end is not None)
