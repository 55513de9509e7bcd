"""Conditions as kstatus and `kubectl wait` read them, and the one way to change a list of them."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from belay_api.model import StatusModel
from belay_api.units import Instant


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StatusModel):
    """One observation about an object, in the standard Kubernetes form."""

    type: str
    """What is observed: `Ready`, `Reconciling`, `Stalled` and the kind's own."""
    status: ConditionStatus
    """`True`, `False` or `Unknown`."""
    reason: str
    """One CamelCase word from the closed list of the kind; it names the situation."""
    message: str = ""
    """A sentence for people: what is so, and what to do about it. Changes only when the situation does."""
    observed_generation: int | None = None
    """The generation of the spec this was judged on."""
    last_transition_time: Instant
    """When `status` last changed."""


class ConditionedStatus(StatusModel):
    """What every status begins with."""

    observed_generation: int | None = None
    """The generation of the spec this status speaks of; lower than metadata.generation: not looked at yet."""
    conditions: list[Condition] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """`Ready` always; `Reconciling` and `Stalled` only while true; the kind's own."""


def set_condition(
    conditions: list[Condition],
    kind: str,
    status: ConditionStatus | bool,
    *,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> list[Condition]:
    """Return `conditions` with one set, in a stable order; the transition time moves only when the status does."""
    if isinstance(status, bool):
        status = ConditionStatus.TRUE if status else ConditionStatus.FALSE
    before = next((c for c in conditions if c.type == kind), None)
    since = before.last_transition_time if before and before.status == status else now
    made = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=since,
    )
    return sorted([c for c in conditions if c.type != kind] + [made], key=lambda c: c.type)


def clear_condition(conditions: list[Condition], kind: str) -> list[Condition]:
    """Return `conditions` without `kind`: kstatus wants `Reconciling` and `Stalled` present only while true."""
    return [c for c in conditions if c.type != kind]


def get_condition(conditions: list[Condition], kind: str) -> Condition | None:
    """Return the condition of that type, or None where nobody has observed it yet."""
    return next((c for c in conditions if c.type == kind), None)
