"""An RLPolicy that a training or a question names: found in the cache, waited for, and pinned once it is there.

It counts as it is found: no pod need have served it, since each pod that reads it checks every byte. One of which a
serving pod has found that its artifact is broken is waited for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from belay_api.words import nearest
from belay_operator.engine.kind import Reader

_PVC = "pvc://"


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """The RLPolicy, as the cache has it."""

    uri: str
    digest: str
    broken: str | None = None  # what a serving pod found wrong with its artifact; None: nothing, or nobody looked


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a spec, and what it names."""

    field: str  # of the spec
    name: str
    namespace: str
    policy: NamedPolicy | None  # None: it does not exist
    meant: str | None = None  # the RLPolicy with the name most like it, where it does not exist; None: none is like it

    @property
    def found(self) -> NamedPolicy | None:
        """The policy, where it can be used."""
        return None if self.policy is None or self.policy.broken is not None else self.policy

    @property
    def missing(self) -> str | None:
        """Why it is waited for, as a sentence; None: it is not."""
        if self.policy is None:
            meant = f"; the nearest is {self.meant}" if self.meant else ""
            return f"{self.field}: there is no RLPolicy {self.name} in namespace {self.namespace}{meant}."
        if self.policy.broken is None:
            return None
        return f"{self.field}: the artifact of RLPolicy {self.name} is not as it should be: {self.policy.broken}"


def policy_view(body: Mapping[str, Any]) -> NamedPolicy:
    """Return what is needed of an RLPolicy."""
    artifact = body["spec"]["artifact"]
    conditions = (body.get("status") or {}).get("conditions") or ()
    broken = next(
        (one["message"] for one in conditions if one["type"] == "Verified" and one["status"] == "False"), None
    )
    return NamedPolicy(artifact["uri"], artifact["digest"], broken)


def named(reader: Reader, namespace: str, name: str, *, field: str) -> Named:
    """Return what a name in a spec names."""
    body = reader.get("RLPolicy", namespace, name)
    if body is not None:
        return Named(field, name, namespace, policy_view(body))
    others = sorted(one["metadata"]["name"] for one in reader.in_namespace("RLPolicy", namespace))
    return Named(field, name, namespace, None, nearest(name, others))


def claim_of(uri: str | None) -> str | None:
    """Return the claim that an artifact lies on; None: on none."""
    return uri.removeprefix(_PVC).partition("/")[0] if uri is not None and uri.startswith(_PVC) else None
