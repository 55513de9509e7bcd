"""The Job that removes the checkpoints of a training that is over: one pod with the job's key, and its claim if it has
one, in which `belay-trainer remove-checkpoints` runs."""

from typing import Any

from belay_api import names
from belay_operator import children, job_key
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Ref
from belay_operator.pods import pod_view, shorten
from belay_operator.trainer_pod import CONFIG_DIR
from belay_operator.training.build import config_name
from belay_operator.training.observed import Observed, RemoverView

API_VERSION, KIND = "batch/v1", "Job"
COMMAND = "remove-checkpoints"  # of belay_trainer
_CONTAINER = "remover"
_TRIES = 6  # with the Job controller's back-off, five minutes
_REQUESTS = {"cpu": "50m", "memory": "128Mi"}


def view(owner: children.Owner, reader: Reader) -> RemoverView | None:
    """Return the Job as the cache has it; None: there is none of ours."""
    job = reader.get(KIND, owner.namespace, _name(owner))
    if job is None or not owner.owns(job):
        return None
    ends = {c["type"]: c for c in (job.get("status") or {}).get("conditions") or () if c.get("status") == "True"}
    failed = None
    if "Failed" in ends:
        pods = sorted(map(pod_view, reader.owned("Pod", job["metadata"]["uid"])), key=lambda pod: pod.created_at)
        said = [c.ended.message for pod in pods for c in pod.containers if c.ended is not None and c.ended.message]
        failed = shorten(said[-1] if said else ends["Failed"].get("message", "")).rstrip(".")
    return RemoverView(_name(owner), complete="Complete" in ends, failed=failed, ref=Ref.of(API_VERSION, job))


def job(observed: Observed) -> dict[str, Any]:
    """Return the Job."""
    owner, labels = observed.owner, children.child_labels({}, observed.settings.labels)
    spec = {
        "backoffLimit": _TRIES - 1,
        "template": {"metadata": {"labels": labels}, "spec": _pod(observed)},
    }
    return owner.child(API_VERSION, KIND, _name(owner), labels, spec=spec)


def _pod(observed: Observed) -> dict[str, Any]:
    owner, settings, claim = observed.owner, observed.settings, observed.spec.storage.pvc
    volumes = [
        {"name": "config", "configMap": {"name": config_name(observed)}},
        children.token_volume(),
        *job_key.volumes(owner, settings),
    ]
    mounts = [
        {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
        children.token_mount(),
        *job_key.mounts(settings),
    ]
    if claim is not None:
        volumes.append({"name": "store", "persistentVolumeClaim": {"claimName": claim.claim}})
        mounts.append({"name": "store", "mountPath": names.PVC_DIR})
    return {
        **children.restricted_pod(),
        "restartPolicy": "Never",
        "containers": [
            {
                "name": _CONTAINER,
                "image": settings.trainer_image,  # the job's own may be older than the command
                "imagePullPolicy": settings.image_pull_policy,
                "command": ["python3", "-m", "belay_trainer", COMMAND],
                "env": children.env({names.LOGBOOK_URL_ENV: settings.logbook_url}),
                "resources": {"requests": _REQUESTS},
                "securityContext": children.restricted_container(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }


def _name(owner: children.Owner) -> str:
    return f"{owner.name}-cleanup"
