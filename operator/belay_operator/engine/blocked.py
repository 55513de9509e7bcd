"""What keeps a child from being as we want it until people do something, said in its owner's Ready condition.

Somebody else has made an object of that name (`ChildConflict`, see `foreign.py`), or the API server refuses ours
(`ChildRefused`): it is not valid, or a quota, an admission policy or RBAC says no. Everything else in the plan is done
all the same, and the child is tried again with the queue's back-off.

The decision knows nothing of this and goes on saying what it would say otherwise. So a Ready condition that names what
is blocked is kept until the API server has been asked again; else each pass would write the status twice, for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api.conditions import Condition, set_condition
from belay_api.reasons import RolloutReason
from belay_operator.engine.errors import ApiError
from belay_operator.engine.plan import Manifest
from belay_operator.engine.resources import resource_of

CHILD_CONFLICT, CHILD_REFUSED = RolloutReason.CHILD_CONFLICT, RolloutReason.CHILD_REFUSED
"""Every kind's list of reasons has them under the same words."""
WORDS = 1_000  # characters of the API server's message; a webhook may have more to say
_REFUSES = "The API server refuses {child}, which stays as it is: "
_AGAIN = ". Belay tries again, and does everything else meanwhile."


@dataclass(frozen=True, slots=True)
class Blocked:
    """One child that is not as we want it."""

    reason: RolloutReason
    sentence: str  # which child, why, and what is done about it


class BlockedChildren(Exception):
    """Everything in a plan was done but for some children."""


def conflict(manifest: Manifest) -> Blocked:
    """Return that the child's name is taken."""
    sentence = (
        f"{_name(manifest)} exists in this namespace and was not made for this object; Belay leaves it as it is and "
        "goes on without it. Delete or rename it, or give this object another name."
    )
    return Blocked(CHILD_CONFLICT, sentence)


def refused(manifest: Manifest, error: ApiError) -> Blocked:
    """Return that the API server does not take the child, with its words."""
    words = error.message if len(error.message) <= WORDS else f"{error.message[:WORDS]} …"
    return Blocked(CHILD_REFUSED, f"{_REFUSES.format(child=_name(manifest))}{words.rstrip('. ')}{_AGAIN}")


def words_about(child: str, message: str) -> str | None:
    """Return what the API server said of `child` ("Job a"), out of a Ready condition's message; None: nothing."""
    _, told, rest = message.partition(_REFUSES.format(child=child))
    return rest.partition(_AGAIN)[0] if told else None


def calls_invalid(kind: str, name: str, words: str) -> bool:
    """Return whether the API server says that an object breaks the rules of its kind, not those of this cluster."""
    group = resource_of(kind).group
    return words.startswith(f'{kind}.{group} "{name}" is invalid: ' if group else f'{kind} "{name}" is invalid: ')


def with_blocked(
    obj: Mapping[str, Any], status: Mapping[str, Any] | None, blocked: Iterable[Blocked], now: datetime
) -> dict[str, Any]:
    """Return `status` (None: as recorded) with a Ready condition that names what is blocked."""
    found = tuple(blocked)
    conditions = set_condition(
        # Ready's transition counts from what is recorded, for the decision says otherwise.
        [Condition.model_validate(condition) for condition in _recorded_ready(obj, status)],
        "Ready",
        False,
        reason=found[0].reason,
        message=" ".join(one.sentence for one in found),
        generation=obj["metadata"]["generation"],
        now=now,
    )
    return {**_wanted(obj, status), "conditions": [condition.dump() for condition in conditions]}


def keep_blocked(obj: Mapping[str, Any], status: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return `status` with the recorded Ready condition if that names what is blocked, else as it is."""
    ready = blocked_condition(obj)
    if status is None or ready is None:
        return status
    return {**status, "conditions": sorted(_recorded_ready(obj, status), key=lambda condition: str(condition["type"]))}


def blocked_condition(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the recorded Ready condition if it names what is blocked."""
    ready = next(iter(_conditions(obj.get("status") or {}, ready=True)), None)
    return ready if ready is not None and ready["reason"] in (CHILD_CONFLICT, CHILD_REFUSED) else None


def _recorded_ready(obj: Mapping[str, Any], status: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return the recorded Ready condition and all others of `status`."""
    return [*_conditions(obj.get("status") or {}, ready=True), *_conditions(_wanted(obj, status), ready=False)]


def _wanted(obj: Mapping[str, Any], status: Mapping[str, Any] | None) -> Mapping[str, Any]:
    recorded: Mapping[str, Any] = obj.get("status") or {}
    return recorded if status is None else status


def _conditions(status: Mapping[str, Any], *, ready: bool) -> list[Mapping[str, Any]]:
    return [condition for condition in status.get("conditions") or () if (condition["type"] == "Ready") is ready]


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
