"""Leave alone what somebody else made under the name of a child of ours.

Server-side apply takes what has the name. An HTTPRoute or a Service of a user's own is not in the cache, for it lacks
our label, so before a child is made the API server is asked who is there. What is not ours stays as it is; the owner
says so in its Ready condition, and looks again with the queue's back-off until one of the two has another name.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from belay_api import names
from belay_api.conditions import Condition, set_condition
from belay_api.reasons import RolloutReason
from belay_operator.engine.plan import Manifest

REASON = RolloutReason.CHILD_CONFLICT  # every kind's list has it under the same word


class ForeignObject(Exception):
    """A child could not be made, because an object of that name belongs to somebody else."""


def owned(manifest: Manifest) -> bool:
    """Return whether a manifest has a controller; a published policy has none, because it outlives its job."""
    return _controller(manifest) is not None


def is_foreign(live: Mapping[str, Any], manifest: Manifest) -> bool:
    """Return whether `live` is not the child that `manifest` describes.

    One with our label and without a controller was ours once, as after `kubectl delete --cascade=orphan`.
    """
    there = _controller(live)
    if there is None:
        return (live["metadata"].get("labels") or {}).get(names.MANAGED_BY_LABEL) != names.MANAGED_BY
    return bool(there != _controller(manifest))


def sentence(manifests: Iterable[Manifest]) -> str:
    """Return what is in the way, and what to do about it."""
    found = ", ".join(f"{manifest['kind']} {manifest['metadata']['name']}" for manifest in manifests)
    return (
        f"{found} exists in this namespace and was not made for this object; Belay leaves it as it is and goes on "
        "without it. Delete or rename it, or give this object another name"
    )


def told(
    obj: Mapping[str, Any], status: Mapping[str, Any] | None, manifests: Iterable[Manifest], now: datetime
) -> dict[str, Any]:
    """Return `status` (None: as it is) with a Ready condition that names what is in the way."""
    recorded: Mapping[str, Any] = obj.get("status") or {}
    wanted = recorded if status is None else status
    # Ready's transition counts from what is recorded: the decision knows nothing of the conflict and says otherwise.
    before = [*_conditions(recorded, ready=True), *_conditions(wanted, ready=False)]
    conditions = set_condition(
        [Condition.model_validate(condition) for condition in before],
        "Ready",
        False,
        reason=REASON,
        message=sentence(manifests),
        generation=obj["metadata"]["generation"],
        now=now,
    )
    return {**wanted, "conditions": [condition.dump() for condition in conditions]}


def _controller(obj: Mapping[str, Any]) -> str | None:
    references = obj["metadata"].get("ownerReferences") or ()
    return next((reference["uid"] for reference in references if reference.get("controller")), None)


def _conditions(status: Mapping[str, Any], *, ready: bool) -> list[Mapping[str, Any]]:
    return [condition for condition in status.get("conditions") or () if (condition["type"] == "Ready") is ready]
