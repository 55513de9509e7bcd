"""What a deleted RLPolicy left to the rollouts that need it: its Deployment, and with it its Service and its pods.

    RLPolicy deleted ──▶ the garbage collector takes it off the owners ──▶ Deployment owned by rollouts alone
                                                                             ├─ a rollout needs it: it serves on
                                                                             ├─ none does: a rollout deletes it
                                                                             └─ a new RLPolicy of the name: its matter
                                                                                (same digest: taken back as it is)

No pass over the RLPolicy will ever be made again, so what is left is watched and in the end removed by the rollouts
that own it. An RLPolicy that is being deleted counts as gone: it may wait for a stranger's finalizer. What is left
keeps the number of pods it had, and they are replaced like any others; all they mount is the namespace's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api import names
from belay_operator.children import Owner
from belay_operator.engine.indexes import POLICY
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Ref
from belay_operator.policy import needs
from belay_operator.policy.build import DIGEST_ANNOTATION
from belay_operator.policy.deployments import pods_of, ready_pods, ref_of

ROLLOUT = "RLRollout"


@dataclass(frozen=True, slots=True)
class Leftover:
    """What is left of one deleted RLPolicy."""

    policy: str  # the name it had
    digest: str | None  # of the bytes it serves; None: made before Belay noted it
    ready: int  # pods that answer and are not on their way out
    open: bool  # its Service exists and selects its pods
    demands: tuple[needs.Demand, ...]  # of the rollouts that ask for these bytes
    succeeded: bool  # an RLPolicy of the name exists again: what is left is then its to take back or to remove
    refs: tuple[Ref, ...]  # in the order of removal: first nothing reaches the pods, then they go

    def needed(self, now: datetime) -> bool:
        """Whether a rollout needs it still; one that waits for its endpoints to close needs it no more."""
        return any(demand.holds(now) and not demand.closing for demand in self.demands)


def left_of(reader: Reader, namespace: str, policy: str) -> Leftover | None:
    """Return what a deleted RLPolicy of that name left; None: it exists and owns what serves, or nothing is left."""
    deployment = reader.get("Deployment", namespace, policy)
    if deployment is None or not _left(deployment, reader):
        return None
    service = reader.get("Service", namespace, policy)
    digest = (deployment["metadata"].get("annotations") or {}).get(DIGEST_ANNOTATION)
    asked = needs.demands(policy, reader.indexed(POLICY, ROLLOUT, namespace, policy))
    return Leftover(
        policy=policy,
        digest=digest,
        ready=ready_pods(deployment, pods_of(deployment, reader)),
        open=service is not None and not _closed(service),
        demands=tuple(demand for demand in asked if digest in (None, demand.digest)),
        succeeded=_living(reader, namespace, policy) is not None,
        refs=tuple(ref_of(one) for one in (service, deployment) if one is not None),
    )


def leftovers_of(reader: Reader, rollout: Owner) -> tuple[Leftover, ...]:
    """Return what deleted policies left to `rollout`, alone or with others, by name."""
    owned = sorted(one["metadata"]["name"] for one in reader.owned("Deployment", rollout.uid))
    found = (left_of(reader, rollout.namespace, name) for name in owned)
    return tuple(left for left in found if left is not None)


def outlived(leftovers: Iterable[Leftover], now: datetime) -> tuple[Ref, ...]:
    """Return what to delete of them: no rollout needs it any more, and no RLPolicy of the name will see to it."""
    gone = (left for left in leftovers if not left.succeeded and not left.needed(now))
    return tuple(ref for left in gone for ref in left.refs)


def concerned(kind: str, body: Mapping[str, Any], reader: Reader) -> list[str]:
    """Return the rollouts to look at again when `body` changed: the owners of what is left, if it belongs to that.

    Its pods as well: they and the Deployment's own count come by different watches, and the lower number counts.
    """
    meta = body["metadata"]
    policy = (meta.get("labels") or {}).get(names.POLICY_LABEL)
    if policy is None or kind not in ("Deployment", "Service", "Pod"):
        return []
    deployment = body if kind == "Deployment" else reader.get("Deployment", meta["namespace"], policy)
    if deployment is None or not _left(deployment, reader):
        return []
    owners = deployment["metadata"].get("ownerReferences") or ()
    return [one["name"] for one in owners if one["kind"] == ROLLOUT]


def _left(deployment: Mapping[str, Any], reader: Reader) -> bool:
    meta = deployment["metadata"]
    policy = _living(reader, meta["namespace"], meta["name"])
    return "deletionTimestamp" not in meta and (policy is None or not Owner.of(policy).owns(deployment))


def _living(reader: Reader, namespace: str, policy: str) -> Mapping[str, Any] | None:
    held = reader.get("RLPolicy", namespace, policy)
    return None if held is None or "deletionTimestamp" in held["metadata"] else held


def _closed(service: Mapping[str, Any]) -> bool:
    selector = (service.get("spec") or {}).get("selector") or {}
    return names.CLOSED_LABEL in selector or "deletionTimestamp" in service["metadata"]
