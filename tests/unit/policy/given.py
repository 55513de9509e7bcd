"""Policies and their worlds in few words, as the cases write them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.world import World, belay_object

from belay_api import names
from belay_operator.policy import build
from belay_operator.policy.observe import observe
from belay_operator.policy.observed import Observed, Template

NAME = "cartpole-7f3a9c"
UID = "uid-policy"
MADE = "2026-05-04T09:00:00Z"
DIGEST = "sha256:" + "7f" * 32
OTHER = "sha256:" + "0b" * 32
GIVEN = ("metadata", "spec", "status", "deployment", "service", "pods", "rollouts")

Json = dict[str, Any]

GOOD = {"reason": "Verified", "digest": DIGEST, "observation": "Box(4,) float32", "action": "Discrete(2)"}
PLAYED = {"episodes": 20, "mean": 480.0, "std": 40.0, "min": 350.0, "max": 500.0}
KNOWING = {**GOOD, "outcomes": {"return": {"evaluated": PLAYED, "low": 9.0, "high": 500.0}}}
CHANGED = {"reason": "DigestMismatch", "digest": OTHER, "message": "policy.onnx has another digest"}


def policy(
    spec: Mapping[str, Any] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
) -> Json:
    made = belay_object(
        "RLPolicy", NAME, {"artifact": {"uri": f"store://sha256/{DIGEST[7:]}", "digest": DIGEST}, **(spec or {})}
    )
    made["metadata"].update({"uid": UID, "generation": 1, "creationTimestamp": MADE, **(metadata or {})})
    if status is not None:
        made["status"] = dict(status)
    return made


def deployment(
    observed: Observed,
    *,
    replicas: int = 1,
    ready: int = 0,
    updated: int | None = None,
    failure: str | None = None,
    owner: str | None = UID,
    needed_by: Sequence[str] | None = None,
    digest: str | None = DIGEST,
    template: str | None = "wanted",
    made: str = MADE,
) -> Json:
    """The Deployment as an earlier pass made it, as far as its controller has come.

    Args: owner: uid of its controller; None: that RLPolicy is gone. needed_by: names of the rollouts that own it; None:
        those that ask for our bytes. digest: of the bytes it serves. template: `wanted`, or any word for another one;
        None: made before Belay noted digest and template.
    """
    asking = [d for d in observed.demands if d.digest == observed.spec.artifact.digest]
    child = build.deployment(
        observed,
        replicas=replicas,
        needed_by=asking if needed_by is None else [d for d in observed.demands if d.rollout in needed_by],
        template=observed.template if template == "wanted" else Template({"metadata": {"labels": {}}}, template),
    )
    meta = child["metadata"]
    keepers = [one for one in meta["ownerReferences"] if not one.get("controller")]
    controller = {**observed.owner.reference(), "uid": owner}
    meta["ownerReferences"] = [controller, *keepers] if owner else keepers
    meta["annotations"] |= {build.DIGEST_ANNOTATION: digest}
    if template is None:
        del meta["annotations"]
    meta |= {"generation": 1, "creationTimestamp": made}
    child["status"] = {
        "observedGeneration": 1,
        "replicas": replicas,
        "readyReplicas": ready,
        "updatedReplicas": replicas if updated is None else updated,
    }
    if failure:
        said = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": failure}
        child["status"]["conditions"] = [said]
    return child


def service(observed: Observed, *, closed: bool = False) -> Json:
    return build.service(observed, closed=closed, deployment=observed.child)


def pod(
    number: int = 0,
    *,
    report: Mapping[str, Any] | str | None = None,
    ready: bool = False,
    crashed: int | None = None,
    waiting: Mapping[str, Any] | None = None,
    unschedulable: str | None = None,
    failed_fetch: bool = False,
    deleting: bool = False,
    day: str = MADE[:10],
) -> Json:
    """A serving pod.

    Args: number: its age, oldest first. report: what `fetch` said, `good` and `changed` being short for the usual.
        crashed: exit code of the server's last life. failed_fetch: `fetch` said it in an earlier life. day: made on it.
    """
    said = (
        {"good": GOOD, "knowing": KNOWING, "changed": CHANGED}.get(report, report)
        if isinstance(report, str)
        else report
    )
    fetch: Json = {"name": "fetch", "state": {}}
    if said is not None:
        ended = {"terminated": {"exitCode": 0 if said["reason"] == "Verified" else 1, "message": json.dumps(said)}}
        fetch = {"name": "fetch", "state": ended}
        if failed_fetch:
            fetch = {"name": "fetch", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    server: Json = {"name": "server", "ready": ready, "state": {"running": {"startedAt": MADE}} if ready else {}}
    if waiting:
        server["state"] = {"waiting": dict(waiting)}
    if crashed is not None:
        server["lastState"] = {"terminated": {"exitCode": crashed, "reason": "Error"}}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    if unschedulable:
        conditions.append(
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{NAME}-{number}",
            "creationTimestamp": f"{day}T09:{number:02d}:00Z",
            "labels": {names.POLICY_LABEL: NAME},
            **({"deletionTimestamp": MADE} if deleting else {}),
        },
        "status": {
            "phase": "Running" if ready else "Pending",
            "conditions": conditions,
            "initContainerStatuses": [fetch],
            "containerStatuses": [server],
        },
    }


def rollout(name: str = "public", *, replicas: int = 2, deleting: bool = False, **status: Any) -> Json:
    """A rollout; `stable: true` and the like are short for naming this policy there."""
    said: Json = {}
    for side, value in status.items():
        what = {} if value is True else dict(value)
        said[side] = {"policy": NAME, "digest": DIGEST, "since": MADE, **what}
    made = belay_object("RLRollout", name, {"replicas": replicas}, status=said)
    made["metadata"]["uid"] = f"uid-{name}"
    if deleting:
        made["metadata"]["deletionTimestamp"] = MADE
    return made


def world_of(given: Mapping[str, Any]) -> World:
    """Return the world a case describes, in the words of the functions above."""
    made = World(
        [
            policy(given.get("spec"), metadata=given.get("metadata"), status=given.get("status")),
            *(pod(number, **said) for number, said in enumerate(given.get("pods", []))),
            *(rollout(**said) for said in given.get("rollouts", [])),
        ]
    )
    if "deployment" in given:
        made.adopt(deployment(_observed(made), **given["deployment"]))
    if "service" in given:
        made.adopt(service(_observed(made), **given["service"]))
    return made


def _observed(world: World) -> Observed:
    held = world.get("RLPolicy", "default", NAME)
    if held is None:
        raise LookupError("a world of these tests has its policy")
    return observe(held, world, world.settings)
