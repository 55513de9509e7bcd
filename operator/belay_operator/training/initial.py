"""What a training begins with: the RLPolicy or artifact of `initFrom`, pinned by digest once the job starts.

An RLPolicy counts as it is found: no pod need have served it, since each training pod checks every byte that it reads.
One of which a serving pod has found that its artifact is broken is waited for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from belay_api.init_from import InitialPolicy
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus

_PVC = "pvc://"


@dataclass(frozen=True, slots=True)
class PolicyView:
    """The RLPolicy that `initFrom` names, as the cache has it."""

    uri: str
    digest: str
    broken: str | None = None  # what a serving pod found wrong with its artifact; None: nothing, or nobody looked


def policy_view(body: Mapping[str, Any]) -> PolicyView:
    """Return what a training needs to know of an RLPolicy."""
    artifact = body["spec"]["artifact"]
    conditions = (body.get("status") or {}).get("conditions") or ()
    broken = next(
        (one["message"] for one in conditions if one["type"] == "Verified" and one["status"] == "False"), None
    )
    return PolicyView(artifact["uri"], artifact["digest"], broken)


def waits_for(spec: RLTrainingJobSpec, status: RLTrainingJobStatus) -> str | None:
    """Return the name of the RLPolicy that is still to be pinned; None: there is none, or it is."""
    asked = spec.init_from
    return asked.policy if asked is not None and status.initial is None else None


def pinned(spec: RLTrainingJobSpec, status: RLTrainingJobStatus, policy: PolicyView | None) -> InitialPolicy | None:
    """Return what the seeds begin with; None: nothing, or it is not known yet."""
    asked = spec.init_from
    if status.initial is not None or asked is None:
        return status.initial
    if asked.artifact is not None:
        return InitialPolicy(uri=asked.artifact.uri, digest=asked.artifact.digest)
    if policy is None or policy.broken is not None:
        return None
    return InitialPolicy(policy=asked.policy, uri=policy.uri, digest=policy.digest)


def claim(initial: InitialPolicy | None) -> str | None:
    """Return the claim that the artifact lies on; None: on none."""
    if initial is None or initial.uri is None or not initial.uri.startswith(_PVC):
        return None
    return initial.uri.removeprefix(_PVC).partition("/")[0]
