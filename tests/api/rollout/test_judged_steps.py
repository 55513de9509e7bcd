"""A rollout's `validate` under Kubernetes' own Job controller and garbage collector: the test plays the kubelet."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.controllers import job_controller, operator_of, restricted_namespace
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.rollout.test_rollout import healthy_on, policy, rollout, status, weights

from belay_api.judging_job import JudgingConfig
from belay_cluster import gomodule
from belay_cluster.api import Api

OURS = "belay.dev/rollout=r"
HTTP_ROUTES = "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """An API server with Belay's CRDs, kube-controller-manager, and below the HTTPRoute kind."""
    with job_controller() as server:
        yield server


@pytest.fixture
def kube(api: Api, request: pytest.FixtureRequest) -> Kube:
    """kubectl in a namespace of this test's own."""
    return restricted_namespace(api, request.node.name)


@pytest.fixture
def served(api: Api, kube: Kube, tmp_path: Path) -> Iterator[Kube]:
    """A namespace with an operator, and p1 stable."""
    address = f"127.{os.urandom(1)[0] % 200 + 10}.{os.urandom(1)[0]}.8"
    with (
        DataPlaneThread(api.kubeconfig, kube.namespace, address=address),
        operator_of(api, kube, tmp_path),
    ):
        for name in ("p1", "p2", "p3"):
            kube.apply(policy(name))
        kube.apply(rollout("r", "p1"))
        eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves", timeout_s=60)
        yield kube


def held(name: str, **validate: Any) -> dict[str, Any]:
    """The rollout with a step that asks."""
    made = rollout("r", name, pause="10m")
    asked = {"environment": {"id": "CartPole-v1"}, "gates": [{"performance": {"minReturn": 450}}], **validate}
    made["spec"]["steps"] = [{"validate": asked}, *made["spec"]["steps"]]
    return made


def listed(kube: Kube, kind: str) -> list[dict[str, Any]]:
    found = json.loads(kube.run("get", kind, "-l", OURS, "-o", "json"))["items"]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def pod(kube: Kube) -> dict[str, Any]:
    """The pod that judges, once there is one."""
    found = eventually(lambda: listed(kube, "pods"), what="a pod that judges", timeout_s=60)
    return dict(found[-1])


def answer(kube: Kube, *, code: int = 0, **report: Any) -> None:
    """What trainer and kubelet do: the pod reads what it is asked, leaves a last word, and ends."""
    judge = pod(kube)
    name = judge["metadata"]["name"]
    [config] = [one["configMap"]["name"] for one in judge["spec"]["volumes"] if one["name"] == "config"]
    mounted = eventually(lambda: kube.get("configmap", config), what="its configuration", timeout_s=30)
    asked = JudgingConfig.model_validate_json(mounted["data"]["job.json"])
    stamp = {"digest": asked.artifact.digest, "question": asked.question}
    said = {key: {**stamp, **value} if isinstance(value, dict) else value for key, value in report.items()}
    at = {"startedAt": "2026-05-04T10:00:00Z", "finishedAt": "2026-05-04T10:01:00Z"}
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": json.dumps(said), **at}
    container = {"name": "trainer", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    statuses = {"containerStatuses": [{**container, "state": {"terminated": ended}}]}
    kube.patch_status("pod", name, {"phase": "Failed" if code else "Succeeded", **statuses})


def verdict(kube: Kube, found: str, measured: float) -> None:
    gate = {"gate": "performance", "verdict": found, "measured": measured, "limit": 450, "message": "over 100."}
    answer(kube, outcome="Judged", validation={"verdict": found, "environment": "CartPole-v1", "gates": [gate]})


@pytest.fixture(scope="module", autouse=True)
def gateway_api(api: Api) -> None:
    """The HTTPRoute CRD, in this module's own API server."""
    kube = Kube(api.kubeconfig)
    kube.run("apply", "--server-side", "-f", str(gomodule.folder("sigs.k8s.io/gateway-api") / HTTP_ROUTES))
    kube.established()


def test_asked_once_before_any_traffic_and_nothing_is_left(served: Kube) -> None:
    kube = served
    kube.apply(held("p2", maxRegression="5%"))
    judge = pod(kube)
    assert weights(kube) == {"p1": 10_000}
    assert "belay.dev/policy" not in judge["metadata"]["labels"], "a Service selects by that"
    [job] = listed(kube, "jobs")
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("RLRollout", "r", True)
    verdict(kube, "Pass", 480)
    eventually(lambda: weights(kube) == {"p1": 5_000, "p2": 5_000}, what="the next step", timeout_s=60)
    eventually(lambda: not listed(kube, "jobs"), what="the Job goes with its step")
    eventually(lambda: not listed(kube, "configmaps"), what="and what its pod mounted with it", timeout_s=60)
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
    answer(kube, code=3, outcome="BadConfiguration", message="environment: CartPole-v1 is not known.")
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
