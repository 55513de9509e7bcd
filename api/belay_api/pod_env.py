"""Environment variables of a pod, in Kubernetes' own form."""

from typing import Annotated

from pydantic import Field

from belay_api import names
from belay_api.code import ObjectName
from belay_api.model import Model, exactly_one, rule, rules

_SET_BY_BELAY = (names.INDEX_ENV, "HOME", "PYTHONHOME", "PYTHONPATH")
_PREFIX = "BELAY_"
_NAME = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
_KEY = r"^[-._a-zA-Z0-9]+$"


class KeySelector(Model):
    """One key of a Secret or a ConfigMap of the job's namespace."""

    name: ObjectName
    """Name of the object."""
    key: Annotated[str, Field(pattern=_KEY, max_length=253)]
    """Key in it."""
    optional: bool | None = None
    """True: the pod starts without the variable where object or key are missing; unset: it waits for them."""


class FieldSelector(Model):
    """One field of the pod itself."""

    field_path: Annotated[str, Field(min_length=1, max_length=256)]
    """Such as `metadata.name`, `spec.nodeName` or `status.hostIP`."""


@exactly_one("valueFrom", "make one entry of each")
class EnvVarSource(Model):
    """Where a variable's value comes from: exactly one place."""

    secret_key_ref: KeySelector | None = None
    """A key of a Secret."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap."""
    field_ref: FieldSelector | None = None
    """A field of the pod."""


class EnvVar(Model):
    """One environment variable of the trainer."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                f"!(self.name in {list(_SET_BY_BELAY)}) && !self.name.startsWith('{_PREFIX}')",
                f"runtime.env: {', '.join(_SET_BY_BELAY)} and what begins with {_PREFIX} are set by Belay or the "
                "image: choose another name; modules of your own go into runtime.code",
            ),
            rule(
                "!has(self.value) || !has(self.valueFrom)",
                "runtime.env: a variable has either value or valueFrom: remove one",
            ),
        )
    }

    name: Annotated[str, Field(pattern=_NAME, max_length=253)]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=32_768)] | None = None
    """Its value, as text. It is part of the configuration that every artifact carries: what is secret belongs in
    `valueFrom.secretKeyRef`."""
    value_from: EnvVarSource | None = None
    """Where its value comes from."""


class EnvSource(Model):
    """A ConfigMap or Secret of the job's namespace."""

    name: ObjectName
    """Name of the object."""
    optional: bool | None = None
    """True: the pod starts without it; unset: it waits for it."""


class EnvFromSource(Model):
    """Variables for all keys of a ConfigMap or a Secret."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "has(self.configMapRef) != has(self.secretRef)",
                "runtime.envFrom: an entry has exactly one of configMapRef and secretRef: make one entry of each",
            ),
        )
    }

    prefix: Annotated[str, Field(pattern=_NAME, max_length=128)] | None = None
    """Put before each key."""
    config_map_ref: EnvSource | None = None
    """All keys of a ConfigMap."""
    secret_ref: EnvSource | None = None
    """All keys of a Secret."""
