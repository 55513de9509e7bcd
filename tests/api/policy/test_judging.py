"""What is asked of a policy, under Kubernetes' own Job controller: the test plays the kubelet."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.controllers import job_controller, operator_of, restricted_namespace
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import OperatorProcess

from belay_api.judging_job import JudgingConfig
from belay_cluster.api import Api

DIGEST = "sha256:" + "7f" * 32
JUDGES = "belay.dev/judged-policy=cartpole"


@pytest.fixture(scope="module")
def controllers() -> Iterator[Api]:
    """An API server with Belay's CRDs and kube-controller-manager."""
    with job_controller() as server:
        yield server


@pytest.fixture
def kube(controllers: Api, request: pytest.FixtureRequest) -> Kube:
    """kubectl in a namespace that takes nothing but restricted pods."""
    return restricted_namespace(controllers, request.node.name)


@pytest.fixture
def operator(controllers: Api, kube: Kube, tmp_path: Path) -> Iterator[OperatorProcess]:
    with operator_of(controllers, kube, tmp_path) as made:
        yield made


def policy(**spec: Any) -> dict[str, Any]:
    artifact = {"uri": f"store://sha256/{DIGEST[7:]}", "digest": DIGEST}
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLPolicy",
        "metadata": {"name": "cartpole"},
        "spec": {"artifact": artifact, **spec},
    }


def gates(minimum: float, **more: Any) -> dict[str, Any]:
    return {"gates": [{"performance": {"minReturn": minimum}}], "environment": {"id": "CartPole-v1"}, **more}


def status(kube: Kube) -> dict[str, Any]:
    return dict((kube.get("rlpolicy", "cartpole") or {}).get("status") or {})


def condition(kube: Kube, kind: str) -> dict[str, Any]:
    return next((one for one in status(kube).get("conditions", []) if one["type"] == kind), {})


def jobs(kube: Kube) -> list[dict[str, Any]]:
    found = json.loads(kube.run("get", "jobs", "-l", JUDGES, "-o", "json"))["items"]
    return [job for job in found if "deletionTimestamp" not in job["metadata"]]


def pods(kube: Kube, *, phase: str = "Pending") -> list[str]:
    found = json.loads(kube.run("get", "pods", "-l", JUDGES, "-o", "json"))["items"]
    alive = (pod for pod in found if pod["status"]["phase"] == phase and "deletionTimestamp" not in pod["metadata"])
    return [pod["metadata"]["name"] for pod in alive]


def asked(kube: Kube, name: str) -> JudgingConfig:
    """What a pod is asked, as it would read it."""
    pod = kube.get("pod", name)
    assert pod is not None
    [config] = [one["configMap"]["name"] for one in pod["spec"]["volumes"] if one["name"] == "config"]
    held = kube.get("configmap", config)
    assert held is not None
    return JudgingConfig.model_validate_json(held["data"]["job.json"])


def answer(kube: Kube, *, code: int = 0, **report: Any) -> None:
    """What trainer and kubelet do: the next pod leaves a last word and ends."""
    name = eventually(lambda: next(iter(pods(kube)), None), what="a pod that judges")
    at = {"startedAt": "2026-05-04T10:00:00Z", "finishedAt": "2026-05-04T10:01:00Z"}
    message = json.dumps(report) if report else ""
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message, **at}
    container = {"name": "trainer", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    said = {"containerStatuses": [{**container, "state": {"terminated": ended}}]}
    kube.patch_status("pod", name, {"phase": "Failed" if code else "Succeeded", **said})


def verdict(kube: Kube, found: str, measured: float) -> None:
    """The next pod says what came of the gate."""
    name = eventually(lambda: next(iter(pods(kube)), None), what="a pod that judges")
    question, limit = asked(kube, name).question, 450
    gate = {"gate": "performance", "verdict": found, "measured": measured, "limit": limit, "message": "over 100."}
    said = {"digest": DIGEST, "question": question, "verdict": found, "environment": "CartPole-v1", "gates": [gate]}
    answer(kube, outcome="Judged", validation=said)


def test_gates_are_run_once_and_others_anew(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(policy(validation=gates(450)))
    verdict(kube, "Pass", 480)
    eventually(lambda: condition(kube, "Validated").get("reason") == "Passed", what="the policy is validated")
    first = status(kube)["validation"]
    assert (first["digest"], first["gates"][0]["measured"]) == (DIGEST, 480)
    [job] = jobs(kube)
    assert job["spec"]["template"]["metadata"]["labels"].get("belay.dev/policy") is None, "a Service selects by that"
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("RLPolicy", True)

    kube.run("delete", "job", job["metadata"]["name"])
    kube.run("annotate", "rlp/cartpole", "look=again")
    kube.apply(policy(validation=gates(450, retries=1)))
    eventually(lambda: status(kube)["observedGeneration"] == 2, what="the new spec is looked at")
    assert jobs(kube) == [], "the same question is not asked again"

    kube.apply(policy(validation=gates(490)))
    eventually(lambda: condition(kube, "Validated").get("status") == "Unknown", what="other gates are asked")
    assert status(kube)["validation"] == first, "the old verdict stays until there is a new one"
    verdict(kube, "Fail", 480)
    eventually(lambda: condition(kube, "Validated").get("reason") == "Failed", what="the policy fails the others")
    assert status(kube)["validation"]["question"] != first["question"]
    events = json.loads(kube.run("get", "events", "-o", "json"))["items"]
    told = [one["type"] for one in events if one["reason"] == "Validated"]
    assert sorted(told) == ["Normal", "Warning"]


def test_a_refusal_is_final_and_another_failure_is_retried(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(policy(validation=gates(450, retries=1)))
    answer(kube, code=1, outcome="Error", message="out of luck")
    answer(kube, code=143, outcome="Interrupted", message="asked to stop")
    answer(kube, code=1, outcome="Error", message="out of luck again")
    eventually(lambda: condition(kube, "Validated").get("reason") == "JobFailed", what="retries are used up")
    assert "out of luck again" in condition(kube, "Validated")["message"]
    assert condition(kube, "Validated")["status"] == "Unknown", "it says nothing of the policy"

    [job] = jobs(kube)
    kube.run("delete", "job", job["metadata"]["name"])
    answer(kube, code=3, outcome="BadConfiguration", message="environment: CartPole-v9 is not known.")
    eventually(lambda: condition(kube, "Validated").get("reason") == "BadConfiguration", what="it is refused")
    assert "CartPole-v9 is not known" in condition(kube, "Validated")["message"]
    assert pods(kube) == [], "what was refused is not tried again"


def test_serving_waits_where_it_is_asked_to_and_is_never_taken_back(
    kube: Kube,
    operator: OperatorProcess,
) -> None:
    serving = {"replicas": 1}
    kube.apply(policy(serving=serving, validation=gates(450, required=True)))
    eventually(lambda: condition(kube, "Ready").get("reason") == "NotValidated", what="the policy waits")
    assert kube.get("deployment", "cartpole") is None
    verdict(kube, "Pass", 480)
    eventually(lambda: kube.get("deployment", "cartpole"), what="it is served once it has passed")

    kube.apply(policy(serving=serving, validation=gates(490, required=True)))
    verdict(kube, "Fail", 480)
    eventually(lambda: condition(kube, "Validated").get("reason") == "Failed", what="it fails other gates")
    deployment = kube.get("deployment", "cartpole")
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 1


def test_what_is_no_longer_asked_leaves_nothing(kube: Kube, operator: OperatorProcess) -> None:
    log = {"dataset": {"path": "/data/logs/a.parquet"}, "runtime": {"data": [{"name": "logs", "claim": "logs"}]}}
    kube.apply(policy(validation=gates(450), offlineEvaluation=log))
    eventually(lambda: len(pods(kube)) == 2, what="both are asked")
    kube.run("patch", "rlp/cartpole", "--type=json", "-p", '[{"op": "remove", "path": "/spec/validation"}]')
    eventually(lambda: len(jobs(kube)) == 1, what="the Job goes")
    eventually(lambda: condition(kube, "Validated") == {}, what="the condition goes")
    assert condition(kube, "EvaluatedOffline")["reason"] == "Judging"
