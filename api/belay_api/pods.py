"""The few pod fields that resources pass through to their children, in Kubernetes' own form."""

from typing import Literal

from pydantic import Field

from belay_api.model import Model
from belay_api.units import Quantity


class ResourceRequirements(Model):
    """Requests and limits of one container."""

    limits: dict[str, Quantity] = Field(default_factory=dict)
    """At most this much, by resource name; extended resources such as `nvidia.com/gpu` belong here."""
    requests: dict[str, Quantity] = Field(default_factory=dict)
    """Reserved, by resource name; unset entries follow the limits."""


class Toleration(Model):
    """A taint the pod tolerates."""

    key: str | None = None
    """Taint key; unset with operator Exists: every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """How `value` is compared; unset: Equal."""
    value: str | None = None
    """Taint value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Taint effect; unset: all effects."""
    toleration_seconds: int | None = None
    """How long NoExecute is tolerated; unset: for ever."""
