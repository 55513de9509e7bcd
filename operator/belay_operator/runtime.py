"""What a pod of the trainer has because a spec asks for it: claims, modules, volumes, variables, its place and account.

Nothing here can take the place of what Belay mounts and sets itself. Volumes of the user's have a prefix; the API
server refuses mounts over ours and variables of our names (belay_api.pod_volumes, belay_api.pod_env).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from belay_api import names
from belay_api.code import CodeSpec
from belay_api.runtime import INDEX_URL_ENV, RuntimeSpec
from belay_operator import children
from belay_operator.engine.plan import Settings

Artifacts = Mapping[str, str | None]
"""Directory where an artifact is mounted, to the claim that it is read from; None: it lies on none."""

_CODE, _GIT, _SHM, _STORE = "code", "git", "shm", "store"  # our volumes, when asked for
NO_ARTIFACTS: Artifacts = MappingProxyType({})
_MODE = 0o440  # of credentials: the group is the pod's `fsGroup`


def volumes(
    runtime: RuntimeSpec, *, store: str | None = None, artifacts: Artifacts = NO_ARTIFACTS
) -> list[dict[str, Any]]:
    """Return the pod's volumes beyond those that every pod of the trainer has.

    Args:
        store: Claim that is written to; None: the built-in store.
        artifacts: What is read beside it.
    """
    found = _code_volumes(runtime.code) if runtime.code is not None else []
    claims = _claims(runtime, store, artifacts)
    found += [_volume(name, claim, written=name == _STORE) for claim, name in claims.items()]
    if runtime.shm is not None:
        found.append({"name": _SHM, "emptyDir": {"medium": "Memory", "sizeLimit": str(runtime.shm)}})
    return [*found, *({**volume.said(), "name": _user(volume.name)} for volume in runtime.volumes)]


def mounts(
    runtime: RuntimeSpec, *, store: str | None = None, artifacts: Artifacts = NO_ARTIFACTS
) -> list[dict[str, Any]]:
    """Return where the trainer finds them; the rest is as in `volumes`."""
    claims = _claims(runtime, store, artifacts)
    found = _code_mounts(runtime.code, claims) if runtime.code is not None else []
    for one in runtime.data:
        part = {"subPath": one.path} if one.path is not None else {}
        path = f"{names.DATA_DIR}/{one.name}"
        found.append({"name": claims[one.claim], "mountPath": path, "readOnly": True, **part})
    found += store_mounts(store)
    for path, claim in artifacts.items():
        if claim is not None:
            found.append({"name": claims[claim], "mountPath": path, "readOnly": True})
    if runtime.shm is not None:
        found.append({"name": _SHM, "mountPath": "/dev/shm"})
    return [*found, *({**mount.said(), "name": _user(mount.name)} for mount in runtime.volume_mounts)]


def store_volumes(store: str | None) -> list[dict[str, Any]]:
    """Return the volume of the claim that is written to; of the built-in store none."""
    return [] if store is None else [_volume(_STORE, store, written=True)]


def store_mounts(store: str | None) -> list[dict[str, Any]]:
    """Return where the trainer finds it."""
    return [] if store is None else [{"name": _STORE, "mountPath": names.PVC_DIR}]


def env(runtime: RuntimeSpec, settings: Settings) -> list[dict[str, Any]]:
    """Return the trainer's variables beyond those that every trainer has.

    The index is pip's own variable, so that a user whose index needs a password can take it from a Secret instead.
    """
    chosen = any(variable.name == INDEX_URL_ENV for variable in runtime.env)
    index = runtime.package_index or settings.package_index
    ours = {INDEX_URL_ENV: index} if runtime.packages and not chosen else {}
    return [*children.env(ours), *(variable.said() for variable in runtime.env)]


def env_from(runtime: RuntimeSpec) -> dict[str, Any]:
    """Return the container's field `envFrom`, where anything is asked for."""
    return {"envFrom": [source.said() for source in runtime.env_from]} if runtime.env_from else {}


def placement(runtime: RuntimeSpec) -> dict[str, Any]:
    """Return the pod's fields that say where it runs, as whom, and with whose pull secrets; absent: the default."""
    places = {
        "nodeSelector": dict(runtime.node_selector),
        "affinity": runtime.affinity and runtime.affinity.said(),
    }
    return _filled(places) | admission(runtime)


def admission(runtime: RuntimeSpec) -> dict[str, Any]:
    """Return those of these fields that a pod of the job may need to run at all, on whatever node."""
    return _filled(
        {
            "tolerations": [toleration.dump() for toleration in runtime.tolerations],
            "serviceAccountName": runtime.service_account_name,
            "imagePullSecrets": [secret.dump() for secret in runtime.image_pull_secrets],
        }
    )


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _code_volumes(code: CodeSpec) -> list[dict[str, Any]]:
    if code.config_map is not None:
        return [{"name": _CODE, "configMap": {"name": code.config_map.name}}]
    if code.git is not None and code.git.credentials is not None:
        return [{"name": _GIT, "secret": {"secretName": code.git.credentials, "defaultMode": _MODE}}]
    return []


def _code_mounts(code: CodeSpec, claims: Mapping[str, str]) -> list[dict[str, Any]]:
    if code.config_map is not None:
        package = code.config_map.package
        path = names.CODE_DIR if package is None else f"{names.CODE_DIR}/{package}"
        return [{"name": _CODE, "mountPath": path, "readOnly": True}]
    if code.pvc is not None:
        # The whole claim: a missing folder is told by the trainer, which can say what is there.
        return [{"name": claims[code.pvc.claim], "mountPath": names.CODE_DIR, "readOnly": True}]
    if code.git is not None and code.git.credentials is not None:
        return [{"name": _GIT, "mountPath": names.GIT_CREDENTIALS_DIR, "readOnly": True}]
    return []


def _claims(runtime: RuntimeSpec, store: str | None, artifacts: Artifacts) -> dict[str, str]:
    """Return the volume of each claim: one for all its mounts, because a kubelet mounts a claim in one way a pod."""
    found: dict[str, str] = {}
    if store is not None:
        found[store] = _STORE
    if runtime.code is not None and runtime.code.pvc is not None:
        found.setdefault(runtime.code.pvc.claim, _CODE)
    for one in runtime.data:
        found.setdefault(one.claim, f"data-{one.name}")
    for path, claim in artifacts.items():
        if claim is not None:
            found.setdefault(claim, path.removeprefix("/"))
    return found


def _volume(name: str, claim: str, *, written: bool) -> dict[str, Any]:
    """Where nothing is written the claim itself is read-only: else its files would be given to the pod's group."""
    return {"name": name, "persistentVolumeClaim": {"claimName": claim} | ({} if written else {"readOnly": True})}


def _user(name: str) -> str:
    return f"user-{name}"
