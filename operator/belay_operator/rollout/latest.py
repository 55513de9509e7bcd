"""`spec.policy.latestOf`: which policy of a family shall serve, as the world is now.

Policies come when trainings end, and nobody waits between them. So a trial that has begun is ended first: else a family
that grows faster than it is judged would never promote one. A candidate that is not ready yet holds nobody up.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import nlargest
from typing import Any

from belay_api.rollout.status import RLRolloutStatus
from belay_operator.rollout.policy_view import PolicyView

# Of a family the youngest are looked at: one of thousands costs hardly more, and nothing that was rejected comes back.
# While it is among ten, at most twenty others are rejected, and so many rollbacks are remembered.
MEMBERS = 10
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def youngest(created: Iterable[tuple[Any, str]]) -> tuple[str, ...]:
    """Return the names of the members that are looked at, youngest first.

    Args:
        created: Of each member when it was created, as what can be compared, and its name.
    """
    return tuple(name for _, name in nlargest(MEMBERS, created))


def choose(members: Iterable[PolicyView], status: RLRolloutStatus, stable: PolicyView | None, *, older: bool) -> str:
    """Return the name of the member to serve; that of stable where none is to follow it, empty where there is neither.

    Args:
        stable: Of whichever family; None: nothing is stable, or neither its RLPolicy nor pods of it are there.
        older: Whether a member that is older than stable may follow it.
    """
    known = {member.name: member for member in members if not member.deleted}
    serving, trial = (side.policy if side is not None else "" for side in (status.stable, status.candidate))
    if trial in known and status.step is not None:
        return trial
    fit = [
        member
        for member in known.values()
        # Of one that was taken up it is the rollout that waits until its pods are ready.
        if (member.is_ready or member.name in (serving, trial)) and member.digest not in status.rejected_digests
    ]
    if not fit:
        return serving
    newest = max(fit, key=_age)
    if status.stable is None:
        return newest.name
    # Of one that is gone it is known when it was taken up, and it was created before that.
    gone = stable is None or stable.deleted
    too_old = _age(newest) < ((status.stable.since, serving) if gone or stable is None else _age(stable))
    return serving if newest.digest == status.stable.digest or (too_old and not older) else newest.name


def _age(policy: PolicyView) -> tuple[datetime, str]:
    """What orders a family: instants of creation are whole seconds, so names decide between equals."""
    return policy.created or _LONG_AGO, policy.name
