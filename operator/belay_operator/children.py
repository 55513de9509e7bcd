"""What every child of our resources has in common: who owns it, its labels, and how restricted its pods are.

Pure. A kind's `build.py` says what its children are for; here is what the installation and the cluster ask of all of
them, so that one pod cannot be less restricted than another by oversight.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from belay_api import names
from belay_api.pods import ResourceRequirements

USER_ID = 65532  # the user every image of ours knows; no root, no capability
TOKEN_SECONDS = 3600  # kubelet renews the projected token at 80 % of this


@dataclass(frozen=True, slots=True)
class Owner:
    """The resource a child belongs to."""

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int  # of the spec that was looked at
    deleting: bool = False  # its children go by themselves; making new ones would fight the garbage collector

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Owner":
        """Return who `body`, an object as the cache has it, is."""
        meta = body["metadata"]
        return cls(
            kind=body["kind"],
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 1),
            deleting="deletionTimestamp" in meta,
        )

    def owns(self, child: Mapping[str, Any]) -> bool:
        """Whether `child` belongs to this very object, not to one of the same name that was deleted."""
        return any(o["uid"] == self.uid for o in child["metadata"].get("ownerReferences", ()))

    def reference(self) -> dict[str, Any]:
        """Return the controller's owner reference that makes the garbage collector delete a child with its owner.

        An owner deleted with `--cascade=foreground` is gone only after its children; without `blockOwnerDeletion` it
        would not wait for them.
        """
        return {
            "apiVersion": names.API_VERSION,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def child(
        self,
        api_version: str,
        kind: str,
        name: str,
        labels: Mapping[str, str],
        *,
        keepers: Iterable[Mapping[str, Any]] = (),
        **parts: Any,
    ) -> dict[str, Any]:
        """Return a manifest owned by this object; `parts` are its top-level fields, e.g. `spec`.

        Args:
            keepers: More owner references, see `keeper`: the child stays while any of its owners exists.
        """
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": dict(labels),
                "ownerReferences": [self.reference(), *keepers],
            },
            **parts,
        }


def keeper(api_version: str, kind: str, name: str, uid: str) -> dict[str, Any]:
    """Return the owner reference of an object that keeps a child alive and does nothing else to it.

    It is no controller, and its own deletion in the foreground does not wait for the child.
    """
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid}


def child_labels(extra: Mapping[str, str], installation: Mapping[str, str]) -> dict[str, str]:
    """Return a child's labels; the installation's own never replace one that Belay selects by."""
    return {**installation, names.MANAGED_BY_LABEL: names.MANAGED_BY, **extra}


def restricted_pod() -> dict[str, Any]:
    """Return the pod-level settings that pass the Pod Security Standard `restricted`."""
    return {
        "automountServiceAccountToken": False,  # the projected token below is the only credential, for the logbook only
        "enableServiceLinks": False,  # hundreds of Services in a namespace would become environment variables
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",  # a large volume is not walked at every start
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def restricted_container() -> dict[str, Any]:
    """Return the container-level settings that go with `restricted_pod`."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def token_volume() -> dict[str, Any]:
    """Return the volume with the pod's token for the logbook, good for nothing else."""
    path = names.TOKEN_FILE.rpartition("/")[2]
    token = {"audience": names.TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": path}
    return {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}


def token_mount() -> dict[str, Any]:
    """Return the mount of `token_volume`."""
    return {"name": "token", "mountPath": names.TOKEN_FILE.rpartition("/")[0], "readOnly": True}


def resources(asked: ResourceRequirements, default_requests: Mapping[str, str]) -> dict[str, Any]:
    """Return a container's resources: as asked, with a request for whatever is neither requested nor limited.

    A pod without requests is the first to be evicted, and the scheduler packs it as if it were free.
    """
    requests = {
        **{name: value for name, value in default_requests.items() if name not in asked.limits},
        **{name: str(value) for name, value in asked.requests.items()},
    }
    said: dict[str, Any] = {"requests": requests} if requests else {}
    if asked.limits:
        said["limits"] = {name: str(value) for name, value in asked.limits.items()}
    return said


def env(variables: Mapping[str, str | None]) -> list[dict[str, str]]:
    """Return container environment entries, without those that are None."""
    return [{"name": name, "value": value} for name, value in variables.items() if value is not None]


def empty_dirs(volumes: Iterable[str]) -> list[dict[str, Any]]:
    """Return scratch volumes of these names: the root file system is read-only."""
    return [{"name": name, "emptyDir": {}} for name in volumes]
