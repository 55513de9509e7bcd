"""The Job that removes what a training that is over kept to go on from: one pod with the job's key, and its claim if it
has one, in which `belay-trainer remove-checkpoints` runs."""

from typing import Any

from belay_api import names
from belay_operator import children, runtime
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Ref
from belay_operator.pods import PodView, pod_view, shorten
from belay_operator.trainer_pod import owned_pod
from belay_operator.training.build import claim_of, config_name
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
    pods = sorted(map(pod_view, reader.owned("Pod", job["metadata"]["uid"])), key=lambda pod: pod.created_at)
    failed = None
    if "Failed" in ends:
        said = [c.ended.message for pod in pods for c in pod.containers if c.ended is not None and c.ended.message]
        failed = shorten(said[-1] if said else ends["Failed"].get("message", ""))
    return RemoverView(
        _name(owner),
        complete="Complete" in ends,
        failed=failed,
        obstacle=None if ends else _obstacle(owner, reader, pods),
        ref=Ref.of(API_VERSION, job),
    )


def job(observed: Observed) -> dict[str, Any]:
    """Return the Job."""
    owner = observed.owner
    labels = children.child_labels({names.TRAINING_JOB_LABEL: owner.name}, observed.settings.labels)
    spec = {
        "backoffLimit": _TRIES - 1,
        "template": {"metadata": {"labels": labels}, "spec": _pod(observed)},
    }
    return owner.child(API_VERSION, KIND, _name(owner), labels, spec=spec)


def _pod(observed: Observed) -> dict[str, Any]:
    container = {
        "name": _CONTAINER,
        "image": observed.settings.trainer_image,  # the job's own may be older than the command
        "command": ["python3", "-m", "belay_trainer", COMMAND],
        "env": children.env({names.LOGBOOK_URL_ENV: observed.settings.logbook_url}),
        "resources": {"requests": _REQUESTS},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    store = claim_of(observed.spec)
    # Not on the nodes that train: one with a GPU would be started to remove files.
    return owned_pod(
        observed.owner,
        observed.settings,
        container,
        config=config_name(observed),
        volumes=runtime.store_volumes(store),
        mounts=runtime.store_mounts(store),
        **runtime.admission(observed.spec.runtime),
    )


def _obstacle(owner: children.Owner, reader: Reader, pods: list[PodView]) -> str | None:
    """Return what its pods wait for that does not come by itself."""
    if not pods:
        words: str | None = reader.fact("creation", owner.namespace, owner.name)
        return words
    last = pods[-1]
    if last.phase != "Pending":
        return None
    return last.cannot_start or last.unschedulable or reader.fact("starting", owner.namespace, owner.name)


def _name(owner: children.Owner) -> str:
    return f"{owner.name}-cleanup"
