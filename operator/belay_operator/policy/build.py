"""The children of a policy: receipt key, Deployment, Service.

    init `fetch`  ──▶ /models/artifact (emptyDir): verified, or the pod does not start
    `server`      ◀── reads it; 8080 serving protocol, 8083 metrics

A change of serving settings rolls the pods one by one: a new one is ready before an old one goes, and an old one waits
out the time that proxies need to forget it.

What serves outlives its RLPolicy: each rollout that needs the Deployment is one of its owners, and the Deployment is an
owner of the Service. The garbage collector removes nothing that still has an owner, in the foreground neither: a
deleted RLPolicy leaves what a rollout serves (`leftover.py`) and takes the rest with it. Only the Deployment says who
needs it: that changes together with its replicas, so it costs no write.
"""

import base64
import hashlib
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from belay_api import names, receipts
from belay_operator import children
from belay_operator.policy.needs import Demand
from belay_operator.policy.observed import DeploymentView, Observed, Template

FETCH = "fetch"
SERVER = "server"
DEFAULT_REQUESTS = {"cpu": "250m", "memory": "512Mi"}
KEY_ANNOTATION = f"{names.GROUP}/receipt-key"  # fingerprint of the key: another key starts other pods
DIGEST_ANNOTATION = f"{names.GROUP}/digest"  # on the Deployment: the bytes it serves, for when its RLPolicy is gone
TEMPLATE_ANNOTATION = f"{names.GROUP}/template"  # on the Deployment: fingerprint of the pod template it was given
PORT_NAME = "http"
_DRAIN_SECONDS = 5  # from the pod's end being announced until proxies have heard of it
_GRACE_SECONDS = 20  # _DRAIN_SECONDS and the longest request, with room
_MODELS_DIR = names.ARTIFACT_DIR.rpartition("/")[0]
_KEY_DIR, _, _KEY = names.RECEIPT_KEY_FILE.rpartition("/")
_PVC = "pvc://"


def selector(policy: str) -> dict[str, str]:
    """Return the labels that a policy's pods, and only they, carry."""
    return {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.POLICY_LABEL: policy}


def receipt_key(observed: Observed) -> dict[str, Any] | None:
    """Return the namespace's Secret with the key that signs receipts; None: installed without receipts.

    It has no owner: all policies of the namespace share it, and each asks for the same content.
    """
    key = _key(observed)
    if key is None:
        return None
    labels = children.child_labels({}, observed.settings.labels)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": names.RECEIPT_SECRET, "namespace": observed.owner.namespace, "labels": labels},
        "type": "Opaque",
        "data": {_KEY: base64.b64encode(key).decode()},
    }


def service(observed: Observed, *, closed: bool, deployment: DeploymentView | None) -> dict[str, Any]:
    """Return the Service.

    Args:
        closed: True: it selects no pod, so that nothing can reach the policy, whatever routes still say.
        deployment: It stays as long as this one; None: there is none now.
    """
    owner = observed.owner
    chosen = {names.CLOSED_LABEL: "true"} if closed else selector(owner.name)
    ports = [
        {"name": PORT_NAME, "port": names.SERVING_PORT, "targetPort": PORT_NAME, "protocol": "TCP"},
    ]
    ref = deployment.ref if deployment is not None else None
    return owner.child(
        "v1",
        "Service",
        owner.name,
        _labels(observed),
        keepers=[children.keeper(ref.api_version, ref.kind, ref.name, ref.uid)] if ref is not None else [],
        spec={"selector": chosen, "ports": ports},
    )


def template(observed: Observed) -> Template:
    """Return the pod template. No uid goes into it: a policy made again takes its pods back without a restart."""
    key = _key(observed)
    made: dict[str, Any] = {"metadata": {"labels": _labels(observed)}, "spec": _pod(observed)}
    if key is not None:
        made["metadata"]["annotations"] = {KEY_ANNOTATION: hashlib.sha256(key).hexdigest()[:8]}
    text = orjson.dumps(made, option=orjson.OPT_SORT_KEYS)
    return Template(made, hashlib.blake2b(text, digest_size=8).hexdigest())


def deployment(observed: Observed, *, replicas: int, needed_by: Iterable[Demand], template: Template) -> dict[str, Any]:
    """Return the Deployment with so many pods of a template.

    Args:
        needed_by: The rollouts it stays for, whatever becomes of the RLPolicy.
    """
    owner = observed.owner
    made = owner.child(
        "apps/v1",
        "Deployment",
        owner.name,
        _labels(observed),
        keepers=[children.keeper(names.API_VERSION, "RLRollout", d.rollout, d.uid) for d in needed_by],
        spec={
            "replicas": replicas,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector(owner.name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template.body,
        },
    )
    made["metadata"]["annotations"] = {DIGEST_ANNOTATION: observed.spec.artifact.digest}
    if template.fingerprint is not None:
        made["metadata"]["annotations"][TEMPLATE_ANNOTATION] = template.fingerprint
    return made


def endpoint(policy: str, namespace: str) -> str:
    """Return the in-cluster address of a policy."""
    return f"http://{policy}.{namespace}.svc:{names.SERVING_PORT}/predictions/{names.MODEL_NAME}"


def _key(observed: Observed) -> bytes | None:
    master = observed.settings.receipt_master
    return None if master is None else _derived(master, observed.owner.namespace)


@lru_cache(maxsize=1_024)  # asked several times a pass, and the same for all policies of a namespace
def _derived(master: bytes, namespace: str) -> bytes:
    return receipts.namespace_key(master, namespace)


def _labels(observed: Observed) -> dict[str, str]:
    return children.child_labels(selector(observed.owner.name), observed.settings.labels)


def _claim(observed: Observed) -> str | None:
    uri = observed.spec.artifact.uri
    return uri.removeprefix(_PVC).partition("/")[0] if uri.startswith(_PVC) else None


def _pod(observed: Observed) -> dict[str, Any]:
    claim = _claim(observed)
    volumes = [children.token_volume(), *children.empty_dirs(["models", "tmp"])]
    if claim is not None:
        volumes.append({"name": "store", "persistentVolumeClaim": {"claimName": claim}})
    if _key(observed) is not None:
        items = [{"key": _KEY, "path": _KEY}]
        volumes.append({"name": "receipt-key", "secret": {"secretName": names.RECEIPT_SECRET, "items": items}})
    return {
        **children.restricted_pod(),
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "initContainers": [_fetch(observed, claim=claim)],
        "containers": [_server(observed)],
        "volumes": volumes,
    }


def _fetch(observed: Observed, *, claim: str | None) -> dict[str, Any]:
    mounts = _mounts()
    if claim is not None:
        mounts.append({"name": "store", "mountPath": names.PVC_DIR, "readOnly": True})
    return {
        **_container(observed, FETCH),
        "command": ["python3", "-m", "belay_handler.fetch"],
        "volumeMounts": mounts,
    }


def _server(observed: Observed) -> dict[str, Any]:
    mounts = _mounts()
    if _key(observed) is not None:
        mounts.append({"name": "receipt-key", "mountPath": _KEY_DIR, "readOnly": True})
    return {
        **_container(observed, SERVER),
        "ports": [
            {"name": PORT_NAME, "containerPort": names.SERVING_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": names.METRICS_PORT, "protocol": "TCP"},
        ],
        "volumeMounts": mounts,
        # Importing torch and loading the policy take seconds on a busy node, minutes on a cold one.
        "startupProbe": {**_get("/ping"), "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 300},
        "readinessProbe": {
            **_get(f"/predictions/{names.MODEL_NAME}"),
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        "livenessProbe": {**_get("/ping"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": _DRAIN_SECONDS}}},
    }


def _container(observed: Observed, name: str) -> dict[str, Any]:
    serving = observed.spec.serving
    return {
        "name": name,
        "image": serving.image or observed.settings.handler_image,
        "imagePullPolicy": observed.settings.image_pull_policy,
        "env": children.env(
            {
                names.POLICY_ENV: observed.owner.name,
                names.NAMESPACE_ENV: observed.owner.namespace,
                names.LOGBOOK_URL_ENV: observed.settings.logbook_url,
                "BELAY_ARTIFACT_URI": observed.spec.artifact.uri,
                "BELAY_ARTIFACT_DIGEST": observed.spec.artifact.digest,
                "BELAY_BATCH_SIZE": str(serving.batch.size),
                "BELAY_BATCH_DELAY_MS": str(round(serving.batch.delay.total_seconds() * 1000)),
                "BELAY_RESPONSE_TIMEOUT_S": str(max(1, math.ceil(serving.timeout.total_seconds()))),
                "HOME": "/tmp",  # libraries write caches below it, and the image's own is read-only
            }
        ),
        "resources": children.resources(serving.resources, DEFAULT_REQUESTS),
        "securityContext": children.restricted_container(),
        "terminationMessagePolicy": "File",
    }


def _mounts() -> list[dict[str, Any]]:
    return [
        children.token_mount(),
        {"name": "models", "mountPath": _MODELS_DIR},
        {"name": "tmp", "mountPath": "/tmp"},
    ]


def _get(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": PORT_NAME}}
