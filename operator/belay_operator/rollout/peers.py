"""How far another rollout is, as a step `together` of this one asks: read from its resource, as far as that is legible.

Who waits for whom is in the steps of both. So that they meet, each counts the steps `together` of the other that name
it: the third of one waits for the third of the other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from belay_api.rollout.status import RolloutPhase
from belay_api.rollout.steps import Step
from belay_operator.engine.indexes import steps_of, together_with
from belay_operator.rollout.no_evidence import NO_EVIDENCE
from belay_operator.rollout.raw_status import is_rolling_back

KIND = "together"
AT_REST = frozenset({RolloutPhase.HEALTHY, RolloutPhase.DEGRADED})  # what its spec names is stable


@dataclass(frozen=True, slots=True)
class Peer:
    """Another rollout."""

    at_rest: bool  # it has nothing to roll out
    taken_back: str | None  # the candidate that it has taken back for being no good, until it has another; None: none
    meetings: Mapping[str, int]  # its steps `together`, by whom they name
    reached: Mapping[str, int]  # of them, those that its candidate is at or past
    queues_in: str | None = None  # the group in which it waits for a place; None: it waits for none


def peer(rollout: Mapping[str, Any]) -> Peer:
    """Return what a rollout's spec and status say; a spec that it has not read yet may ask for anything."""
    meta, status, steps = rollout["metadata"], rollout.get("status") or {}, steps_of(rollout)
    step, place, taken_back = status.get("step"), status.get("group") or {}, _taken_back(rollout)
    told = status.get("observedGeneration") == meta.get("generation")
    trial = "candidate" in status and not is_rolling_back(status)
    return Peer(
        at_rest=told and "candidate" not in status and status.get("phase") in AT_REST and taken_back is None,
        taken_back=taken_back,
        meetings=_named(steps),
        reached=_named(steps[: step["index"] + 1]) if step is not None and trial else {},
        queues_in=None if "grantedAt" in place else place.get("name"),
    )


def _taken_back(rollout: Mapping[str, Any]) -> str | None:
    """Whom it has taken back for being no good. Who is withdrawn for something else comes again, or another does.

    The record of a rollback stays until the next candidate, whatever was asked for since. So it counts while it is
    under way, and where a family is followed: there the rollout rests after it, until the family has another member,
    and its phase says nothing of it. One that does not rest wants another candidate, and two of those wait for nobody.
    """
    status = rollout.get("status") or {}
    rollback = status.get("rollback") or {}
    was_bad = bool(rollback) and rollback.get("reason") not in NO_EVIDENCE
    follows = "latestOf" in ((rollout.get("spec") or {}).get("policy") or {})
    rests = "candidate" not in status and status.get("phase") in AT_REST
    if was_bad and ((follows and rests) or is_rolling_back(status)):
        return str(rollback["policy"])
    if status.get("phase") == RolloutPhase.ROLLED_BACK:
        return str(rollback["policy"]) if was_bad else "its candidate"
    return None


def meetings(steps: Sequence[Step], name: str) -> int:
    """Return how many steps `together` name a rollout."""
    return sum(step.together is not None and name in step.together.with_ for step in steps)


def _named(steps: Iterable[Mapping[str, Any]]) -> Counter[str]:
    return Counter(name for step in steps for name in together_with(step))
