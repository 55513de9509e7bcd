"""How far another rollout is, as a step `together` of this one asks: read from its resource, as far as that is legible.

Who waits for whom is in the steps of both. So that they meet, each counts the steps `together` of the other that name
it: the third of one waits for the third of the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from belay_api.rollout.status import RolloutPhase
from belay_api.rollout.steps import Step
from belay_operator.rollout.raw_status import is_rolling_back

KIND = "together"
AT_REST = frozenset({RolloutPhase.HEALTHY, RolloutPhase.DEGRADED})  # what its spec names is stable


@dataclass(frozen=True, slots=True)
class Peer:
    """Another rollout."""

    at_rest: bool  # it has nothing to roll out
    withdrawn: str | None  # the candidate that it has taken back, until it has another one; None: none
    reason: str  # why, as its status says it; empty: it has taken none back
    meetings: Mapping[str, int]  # its steps `together`, by whom they name
    reached: Mapping[str, int]  # of them, those that its candidate is at or past
    queues_in: str | None = None  # the group in which it waits for a place; None: it waits for none


def peer(rollout: Mapping[str, Any]) -> Peer:
    """Return what a rollout's spec and status say; a spec that it has not read yet may ask for anything."""
    meta, status, steps = rollout["metadata"], rollout.get("status") or {}, _steps(rollout)
    step, rollback, place = status.get("step"), status.get("rollback") or {}, status.get("group") or {}
    told = status.get("observedGeneration") == meta.get("generation")
    withdrawn = status.get("phase") == RolloutPhase.ROLLED_BACK or is_rolling_back(status)
    return Peer(
        at_rest=told and "candidate" not in status and status.get("phase") in AT_REST,
        withdrawn=rollback.get("policy", "its candidate") if withdrawn else None,
        reason=rollback.get("reason", "") if withdrawn else "",
        meetings=_named(steps),
        reached=_named(steps[: step["index"] + 1]) if step is not None and "candidate" in status else {},
        queues_in=None if "grantedAt" in place else place.get("name"),
    )


def meetings(steps: Sequence[Step], name: str) -> int:
    """Return how many steps `together` name a rollout."""
    return sum(step.together is not None and name in step.together.with_ for step in steps)


def meets(rollout: Mapping[str, Any], name: str) -> bool:
    """Return whether a rollout has a step `together` that names that one."""
    return name in _named(_steps(rollout))


def _steps(rollout: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    status, spec = rollout.get("status") or {}, rollout.get("spec") or {}
    return (status.get("progression") or {}).get("steps") or spec.get("steps") or ()


def _named(steps: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for step in steps:
        for name in (step.get(KIND) or {}).get("with") or ():
            found[name] = found.get(name, 0) + 1
    return found
