"""Questions about a policy and their Jobs in few words, as the cases write them."""

import json
from collections.abc import Mapping
from typing import Any

from tests.unit.policy.given import DIGEST, NAME, UID
from tests.unit.policy.given import GIVEN as POLICY_GIVEN
from tests.unit.policy.given import world_of as policy_world
from tests.world import World

from belay_api import names
from belay_api.policy import RLPolicySpec
from belay_api.units import parse_instant
from belay_operator.children import Owner
from belay_operator.judging import build, offline, validation
from belay_operator.waiting import StoreOutage

MADE = "2026-05-04T09:00:00Z"

GIVEN = (
    *POLICY_GIVEN, "validationJob", "validationPods", "offlineJob", "offlinePods", "askedBefore", "creation",
    "starting", "outage",
)  # fmt: skip

Json = dict[str, Any]


def question_of(spec: Mapping[str, Any], kind: str) -> Any:
    """The question of kind `validation` or `offlineEvaluation` in a policy's spec."""
    uri = f"store://sha256/{DIGEST[7:]}"
    said = RLPolicySpec.model_validate({"artifact": {"uri": uri, "digest": DIGEST}, **spec})
    return {"validation": validation, "offlineEvaluation": offline}[kind].question(NAME, said)


def job_of(spec: Mapping[str, Any], kind: str) -> str:
    """The name of the Job of a question in a policy's spec."""
    return build.job_name(Owner("RLPolicy", "default", NAME, UID, 1), question_of(spec, kind))


def judging_job(
    spec: Mapping[str, Any],
    kind: str,
    *,
    ended: Mapping[str, Any] | None = None,
    owner: str = UID,
    deleting: bool = False,
) -> Json:
    """The Job of a question; `ended` is its Complete or Failed condition."""
    asking = Owner("RLPolicy", "default", NAME, owner, 1)
    made: Json = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": build.job_name(asking, question_of(spec, kind)),
            "uid": f"uid-{kind}",
            "creationTimestamp": MADE,
            "labels": {names.JUDGED_POLICY_LABEL: NAME},
            "ownerReferences": [asking.reference()],
        },
        "spec": {},
        "status": {"conditions": [{"status": "True", **ended}]} if ended else {},
    }
    if deleting:
        made["metadata"]["deletionTimestamp"] = MADE
    return made


def judging_pod(
    spec: Mapping[str, Any],
    kind: str,
    phase: str = "Running",
    *,
    life: int = 0,
    report: Mapping[str, Any] | str | None = None,
    exit: int = 0,
    waiting: Mapping[str, Any] | None = None,
    unschedulable: str | None = None,
    evicted: str | None = None,
) -> Json:
    """A pod of the Job; `report` is its last word, to which the question is added where it answers one."""
    state: Json = {"waiting": dict(waiting)} if waiting else {}
    if phase == "Running":
        state = {"running": {"startedAt": MADE}}
    elif phase in ("Succeeded", "Failed"):
        message = report if isinstance(report, str) else json.dumps(_stamped(report, spec, kind)) if report else ""
        state = {"terminated": {"exitCode": exit, "reason": "Error" if exit else "Completed", "message": message}}
        state["terminated"]["startedAt"] = MADE
    conditions = []
    if unschedulable:
        conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}]
    ended: Json = {}
    if evicted:  # for its node, which Kubernetes calls a disruption
        conditions = [
            {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": evicted}
        ]
        ended = {"reason": "Evicted", "message": evicted}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"judge-{kind}-{life}",
            "namespace": "default",
            "creationTimestamp": f"2026-05-04T09:{life:02d}:00Z",
            "labels": {names.JUDGED_POLICY_LABEL: NAME},
            "ownerReferences": [{"kind": "Job", "name": "judge", "uid": f"uid-{kind}", "controller": True}],
        },
        "status": {
            **ended,
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [{"name": "trainer", "state": state}],
        },
    }


def _stamped(report: Mapping[str, Any], spec: Mapping[str, Any], kind: str) -> Json:
    answer = report.get(kind)
    if answer is None:
        return dict(report)
    return {**report, kind: {"digest": DIGEST, "question": question_of(spec, kind).hash, **answer}}


def world_of(given: Mapping[str, Any]) -> World:
    """Return the world of a case: a policy as in `given.py`, and beside it Jobs and pods of what its spec asks."""
    rest = {key: value for key, value in given.items() if key in POLICY_GIVEN}
    made, spec = policy_world(rest), given["spec"]
    if "outage" in given:
        made.facts["store", "", ""] = StoreOutage(parse_instant(given["outage"]["since"]), given["outage"]["words"])
    for kind, short in (("validation", "validation"), ("offlineEvaluation", "offline")):
        if f"{short}Job" in given:
            job = made.put(judging_job(given.get("askedBefore", spec), kind, **given[f"{short}Job"]))
            for topic in ("creation", "starting"):
                if topic in given:
                    made.facts[topic, "default", job["metadata"]["name"]] = given[topic]
        for number, said in enumerate(given.get(f"{short}Pods", [])):
            made.put(judging_pod(given.get("askedBefore", spec), kind, life=number, **said))
    return made
