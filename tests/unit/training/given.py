"""Training jobs and their worlds in few words, as the cases write them."""

import json
from collections.abc import Mapping
from typing import Any

from tests.world import World, belay_object

from belay_api import names
from belay_api.units import parse_instant
from belay_api.wire import RunProgressRecord
from belay_operator.job_key import KEY_ANNOTATION
from belay_operator.training.build import EDIT_ANNOTATION
from belay_operator.waiting import StoreOutage

NAME = "cartpole"
UID = "uid-cartpole"
SEARCH = f"{NAME}-s1"  # the Job of its search
JOB_UID, SEARCH_UID = "uid-job", "uid-search"
MADE = "2026-05-04T09:00:00Z"
GIVEN = (
    "metadata", "spec", "status", "job", "pods", "searchJob", "searchPods", "progress", "policies", "starting",
    "remover", "outage",
)  # fmt: skip

Json = dict[str, Any]


def digest(index: int) -> str:
    return "sha256:" + f"{index + 1:x}" * 64


def report(index: int, value: float, **more: Any) -> Json:
    """What a pod that succeeded says at its end."""
    return {
        "outcome": "Succeeded",
        "index": index,
        "seed": index,
        "step": 1000,
        "return": value,
        "bestStep": 900,
        "artifact": {"uri": f"store://sha256/{digest(index)[7:]}", "digest": digest(index)},
        "stepsPerSecond": 512.3,
        **more,
    }


def training_job(
    spec: Mapping[str, Any] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
) -> Json:
    made = belay_object(
        "RLTrainingJob",
        NAME,
        {
            "environment": {"id": "CartPole-v1"},
            "algorithm": {"ppo": {}},
            "budget": {"steps": 1000},
            "seeds": {"count": 3},
            **(spec or {}),
        },
    )
    made["metadata"].update({"uid": UID, "generation": 1, "creationTimestamp": MADE, **(metadata or {})})
    if status is not None:
        made["status"] = dict(status)
    return made


def child_job(
    *,
    completed: str = "",
    failed: str = "",
    ended: Mapping[str, Any] | None = None,
    suspended: bool = False,
    owner: str = UID,
    deleting: bool = False,
    keyed: bool = True,
    name: str = f"{NAME}-a1",
    uid: str = JOB_UID,
    edit: str | None = None,
    deadline: int | None = None,
) -> Json:
    """The child Job; `ended` is its Complete or Failed condition; not `keyed`: made by a version before keys; `edit`:
    the hash it says of the editable spec it was made of, None: an earlier version made it."""
    made: Json = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "uid": uid,
            "creationTimestamp": MADE,
            "labels": {names.TRAINING_JOB_LABEL: NAME},
            "annotations": {
                **({KEY_ANNOTATION: f"{NAME}-uid-cart-key"} if keyed else {}),
                **({EDIT_ANNOTATION: edit} if edit else {}),
            },
            "ownerReferences": [{"kind": "RLTrainingJob", "name": NAME, "uid": owner, "controller": True}],
        },
        "spec": {"suspend": suspended, **({"activeDeadlineSeconds": deadline} if deadline else {})},
        "status": {"completedIndexes": completed, "failedIndexes": failed},
    }
    if ended is not None:
        made["status"]["conditions"] = [{"status": "True", **ended}]
    if deleting:
        made["metadata"]["deletionTimestamp"] = MADE
    return made


def pod(
    index: int,
    phase: str = "Running",
    *,
    life: int = 0,
    failures: int = 0,
    report: Mapping[str, Any] | str | None = None,
    exit: int = 0,
    reason: str = "",
    waiting: Mapping[str, Any] | None = None,
    unschedulable: str | None = None,
    rejected: str | None = None,
    node: str | None = None,
    requests: Mapping[str, str] | None = None,
    taken: str | None = None,
    ended: str | None = None,
    leaving: bool = False,
    disrupted: str | None = None,
    evicted: str | None = None,
    image: str | None = None,
    owner: str = JOB_UID,
    job: str = f"{NAME}-a1",
) -> Json:
    """A pod of one seed; `life` numbers the pods of an index, oldest first."""
    state: Json = {}
    if phase == "Running":
        state = {"running": {"startedAt": MADE}}
    elif phase in ("Succeeded", "Failed"):
        message = report if isinstance(report, str) else json.dumps(report) if report else ""
        state = {"terminated": {"exitCode": exit, "reason": reason, "message": message, "startedAt": MADE}}
        if ended:
            state["terminated"]["finishedAt"] = ended
    elif waiting:
        state = {"waiting": dict(waiting)}
    image_id = {"imageID": image} if image else {}
    status: Json = {"phase": phase, "containerStatuses": [{"name": "trainer", "state": state, **image_id}]}
    if rejected:  # by the kubelet of its node, before any container
        status = {"phase": phase, "reason": reason, "message": rejected}
    if unschedulable:
        said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        status["conditions"] = [said]
    if taken:
        status["startTime"] = taken
    if disrupted:
        said = {"type": "DisruptionTarget", "status": "True", "reason": disrupted, "message": "of node n1"}
        status["conditions"] = [said]
    if evicted:
        status |= {"reason": "Evicted", "message": evicted}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": [{"name": "trainer", "resources": {"requests": dict(requests or {})}}],
        },
        "metadata": {
            **({"deletionTimestamp": "2026-05-04T10:01:00Z"} if leaving else {}),
            "name": f"{job}-{index}-{life}",
            "creationTimestamp": f"2026-05-04T09:{life:02d}:00Z",
            "labels": {names.TRAINING_JOB_LABEL: NAME, names.ATTEMPT_LABEL: "1"},
            "annotations": {
                "batch.kubernetes.io/job-completion-index": str(index),
                "batch.kubernetes.io/job-index-failure-count": str(failures),
            },
            "ownerReferences": [{"kind": "Job", "name": job, "uid": owner, "controller": True}],
        },
        "status": status,
    }


def remover(ended: str | None = None) -> Json:
    """The Job that removes checkpoints, and its last pod; `ended` is its Complete or Failed condition."""
    conditions = [{"type": ended, "status": "True"}] if ended else []
    owner = {"kind": "RLTrainingJob", "name": NAME, "uid": UID, "controller": True}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{NAME}-cleanup", "uid": "uid-remover", "ownerReferences": [owner]},
        "status": {"conditions": conditions},
    }


def remover_pod(words: str | None = None, *, waiting: Mapping[str, Any] | None = None) -> Json:
    """Its last pod: one that failed with these words, or one that waits."""
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": words, "startedAt": MADE}}
    state = {"waiting": dict(waiting)} if waiting else ended
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{NAME}-cleanup-x",
            "creationTimestamp": MADE,
            "ownerReferences": [{"kind": "Job", "name": f"{NAME}-cleanup", "uid": "uid-remover", "controller": True}],
        },
        "status": {
            "phase": "Pending" if waiting else "Failed",
            "containerStatuses": [{"name": "remover", "state": state}],
        },
    }


def heartbeat(index: int, step: int, **more: Any) -> RunProgressRecord:
    said = {"namespace": "default", "job": NAME, "uid": UID, "index": index, "seed": index, "total": 1000, "at": MADE}
    return RunProgressRecord.model_validate({**said, "step": step, **more})


def policy(name: str, of: int) -> Json:
    spec = {"artifact": {"uri": f"store://sha256/{digest(of)[7:]}", "digest": digest(of)}}
    return belay_object("RLPolicy", name, spec)


def world_of(given: Mapping[str, Any]) -> World:
    """Return the world a case describes, in the words of the functions above."""
    objects = [
        training_job(given.get("spec"), metadata=given.get("metadata"), status=given.get("status")),
        *([child_job(**given["job"])] if "job" in given else []),
        *(_pod(said) for said in given.get("pods", [])),
        *([child_job(**{"name": SEARCH, "uid": SEARCH_UID, **given["searchJob"]})] if "searchJob" in given else []),
        *(pod(**{"job": SEARCH, "owner": SEARCH_UID, **said}) for said in given.get("searchPods", [])),
        *_remover(given.get("remover")),
        *(policy(name, of) for name, of in given.get("policies", {}).items()),
    ]
    beats: Any = {index: heartbeat(index, **said) for index, said in given.get("progress", {}).items()}
    facts = {("progress", "default", NAME): beats} if beats else {}
    if "starting" in given:
        facts["starting", "default", f"{NAME}-a1"] = given["starting"]
    if "outage" in given:
        facts["store", "", ""] = StoreOutage(parse_instant(given["outage"]["since"]), given["outage"]["words"])
    made = World(objects, facts=facts)
    # The hash moves with every new field of the API; where a case does not name one it is not what the case is about.
    job = made.objects["RLTrainingJob", "default", NAME]
    job.setdefault("status", {}).setdefault("templateHash", "frozen")
    return made


def _remover(said: Mapping[str, Any] | None) -> list[Json]:
    if said is None:
        return []
    pods = [remover_pod(said.get("words"), waiting=said.get("waiting"))] if {"words", "waiting"} & said.keys() else []
    return [remover(said.get("ended")), *pods]


def _pod(said: Mapping[str, Any]) -> Json:
    words = dict(said)
    if "return" in words:  # short for a seed that succeeded
        more = {name: words.pop(name) for name in ("random", "costs", "code", "validation") if name in words}
        words |= {"phase": "Succeeded", "report": report(words["index"], words.pop("return"), **more)}
    return pod(**words)
