"""A rollout's `validate` on a real API server: the test plays the Job controller and the kubelet."""

import json
from typing import Any

import pytest
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_rollout import healthy_on, policy, rollout, status, weights

from belay_api.judging_job import JudgingConfig

OURS = "belay.dev/rollout=r"
AT = "2026-05-04T10:01:00Z"
LABELS = {"belay.dev/rollout": "r", "app.kubernetes.io/managed-by": "belay"}


@pytest.fixture
def served(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> Kube:
    """A namespace with an operator, and p1 stable."""
    start(TEST_KIND_MODULES="real").ready(timeout_s=120)
    for name in ("p1", "p2", "p3"):
        kube.apply(policy(name))
    kube.apply(rollout("r", "p1"))
    eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves", timeout_s=120)
    return kube


def held(name: str, **validate: Any) -> dict[str, Any]:
    """The rollout with a step that asks."""
    made = rollout("r", name, pause="10m")
    asked = {"environment": {"id": "CartPole-v1"}, "gates": [{"performance": {"minReturn": 450}}], **validate}
    made["spec"]["steps"] = [{"validate": asked}, *made["spec"]["steps"]]
    return made


def listed(kube: Kube, kind: str) -> list[dict[str, Any]]:
    found = json.loads(kube.run("get", kind, "-l", OURS, "-o", "json"))["items"]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def answer(kube: Kube, *, failed: str | None = None, **report: Any) -> None:
    """What Job controller, trainer and kubelet do: a pod reads what it is asked, leaves a last word; its Job ends."""
    [job] = eventually(lambda: listed(kube, "jobs"), what="its Job")
    name = job["metadata"]["name"]
    pod = job["spec"]["template"]["spec"]
    [config] = [one["configMap"]["name"] for one in pod["volumes"] if one["name"] == "config"]
    mounted = eventually(lambda: kube.get("configmap", config), what="its configuration")
    asked = JudgingConfig.model_validate_json(mounted["data"]["job.json"])
    stamp = {"digest": asked.artifact.digest, "question": asked.question}
    said = {key: {**stamp, **value} if isinstance(value, dict) else value for key, value in report.items()}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": True}
    meta = {"name": f"{name}-x", "labels": LABELS, "ownerReferences": [owner]}
    spec = {"containers": [{"name": "trainer", "image": "x"}], "automountServiceAccountToken": False}
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    code = 3 if failed else 0
    ended = {"exitCode": code, "reason": "x", "message": json.dumps(said), "startedAt": AT, "finishedAt": AT}
    container = {"name": "trainer", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    statuses = {"containerStatuses": [{**container, "state": {"terminated": ended}}]}
    kube.patch_status("pod", f"{name}-x", {"phase": "Failed" if failed else "Succeeded", **statuses})
    ways = ("FailureTarget", "Failed") if failed else ("SuccessCriteriaMet", "Complete")
    conditions = [
        {"type": way, "status": "True", "reason": failed or "x", "message": "", "lastTransitionTime": AT}
        for way in ways
    ]
    done = {} if failed else {"completionTime": AT, "succeeded": 1}
    # It may be gone by now: a pod's word is all that an answer takes.
    ended_job = json.dumps({"status": {"startTime": AT, "conditions": conditions, **done}})
    kube.run("patch", "job", name, "--subresource=status", "--type=merge", "-p", ended_job, check=False)


def verdict(kube: Kube, found: str, measured: float) -> None:
    gate = {"gate": "performance", "verdict": found, "measured": measured, "limit": 450, "message": "over 100."}
    answer(kube, outcome="Judged", validation={"verdict": found, "environment": "CartPole-v1", "gates": [gate]})


def test_asked_once_before_any_traffic_and_nothing_is_left(served: Kube) -> None:
    kube = served
    kube.apply(held("p2", maxRegression="5%"))
    [job] = eventually(lambda: listed(kube, "jobs"), what="its Job")
    assert weights(kube) == {"p1": 10_000}
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert "belay.dev/policy" not in labels, "a Service selects by that"
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("RLRollout", "r", True)
    verdict(kube, "Pass", 480)
    eventually(lambda: weights(kube) == {"p1": 5_000, "p2": 5_000}, what="the next step", timeout_s=60)
    eventually(lambda: not listed(kube, "jobs"), what="the Job goes with its step")
    [config] = listed(kube, "configmaps")
    [holder] = config["metadata"]["ownerReferences"]
    assert holder["uid"] == job["metadata"]["uid"], "the garbage collector takes it with the Job"
    [found] = status(kube)["judgements"]
    assert (found["kind"], found["verdict"], found["validation"]["gates"][0]["measured"]) == ("validate", "Pass", 480)


def test_failed_it_is_taken_back_and_refused_it_holds(served: Kube) -> None:
    kube = served
    kube.apply(held("p2"))
    verdict(kube, "Fail", 420)
    eventually(lambda: status(kube).get("phase") == "RolledBack", what="taken back", timeout_s=60)
    assert weights(kube) == {"p1": 10_000}
    assert status(kube)["rollback"]["metric"] == "validate"

    kube.apply(held("p3"))
    answer(
        kube, failed="PodFailurePolicy", outcome="BadConfiguration", message="environment: CartPole-v1 is not known."
    )
    reason = lambda: next(c for c in status(kube)["conditions"] if c["type"] == "Ready")  # noqa: E731
    eventually(lambda: reason()["reason"] == "JobFailed", what="it holds", timeout_s=60)
    assert "CartPole-v1 is not known" in reason()["message"]
    [first] = listed(kube, "jobs")
    kube.run("annotate", "rlr/r", "belay.dev/command=retry@1")
    eventually(
        lambda: [one["metadata"]["name"] for one in listed(kube, "jobs")] not in ([], [first["metadata"]["name"]]),
        what="asked again in another Job",
        timeout_s=60,
    )
    kube.apply(rollout("r", "p1"))
    eventually(lambda: not listed(kube, "jobs"), what="a candidate nobody wants takes its Job along", timeout_s=60)
    eventually(lambda: healthy_on(kube, "p1"), what="at rest", timeout_s=60)
