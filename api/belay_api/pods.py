"""The few pod fields that resources pass through to their children, in Kubernetes' own form."""

from typing import Annotated, Literal

from pydantic import Field

from belay_api.model import Model, rule, rules
from belay_api.units import Quantity

# What the API server asks of a pod anyway. Said there, it refuses the Job or the Deployment of a spec that had passed.
_KNOWN = "name.matches('^(cpu|memory|ephemeral-storage|hugepages-.+|[^/]+/.+)$')"

_RESOURCES = 8  # different ones per container: the API server bounds what the rules below may cost


class ResourceRequirements(Model):
    """Requests and limits of one container."""

    model_config = {
        "json_schema_extra": rules(
            *(
                rule(
                    f"!has(self.{field}) || self.{field}.all(name, {_KNOWN})",
                    f"resources.{field}: a resource is cpu, memory, ephemeral-storage, or has a domain in its name, "
                    "such as nvidia.com/gpu",
                )
                for field in ("limits", "requests")
            ),
            rule(
                "!has(self.requests) || self.requests.all(name, !name.contains('/') || (has(self.limits) && "
                "name in self.limits))",
                "resources.requests: a resource with a domain in its name, such as nvidia.com/gpu, belongs in "
                "resources.limits, which is enough alone",
            ),
            rule(
                "!has(self.requests) || !has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(name, "
                "!(name in self.requests) || !(name in self.limits) || "
                "quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
                "resources.requests: more is requested of cpu, memory or ephemeral-storage than its limit, and no pod "
                "would start: lower the request or raise the limit",
            ),
            rule(
                "!has(self.requests) || !has(self.limits) || self.requests.all(name, !name.contains('/') || "
                "!(name in self.limits) || string(self.requests[name]) == string(self.limits[name]))",
                "resources.requests: of a resource with a domain in its name, such as nvidia.com/gpu, request and "
                "limit are the same: leave the request out",
            ),
            rule(
                "!has(self.limits) || self.limits.all(name, !name.contains('/') || "
                "quantity(string(self.limits[name])).isInteger())",
                "resources.limits: a resource with a domain in its name, such as nvidia.com/gpu, comes in whole pieces",
            ),
        )
    }

    limits: Annotated[dict[str, Quantity], Field(max_length=_RESOURCES)] = Field(default_factory=dict)
    """At most this much, by resource name, such as `cpu: 500m` or, quoted, `cpu: "0.5"`; extended resources such as
    `nvidia.com/gpu` belong here."""
    requests: Annotated[dict[str, Quantity], Field(max_length=_RESOURCES)] = Field(default_factory=dict)
    """Reserved, by resource name; unset entries follow the limits."""


class Toleration(Model):
    """A taint the pod tolerates."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
                "a toleration without key tolerates every taint and needs operator: Exists; or name the key",
            ),
            rule(
                "!has(self.value) || self.value == '' || !has(self.operator) || self.operator == 'Equal'",
                "a toleration with operator Exists takes no value: remove value, or set operator to Equal",
            ),
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds holds for effect NoExecute only: set the effect, or remove tolerationSeconds",
            ),
        )
    }

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
