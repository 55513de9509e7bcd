"""Policies in use, under Kubernetes' own garbage collector, Deployment controller and autoscaler.

The policy kind runs, and of the rollout kind what it does about deleted policies; what a rollout would record in its
status is written by the test.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import OperatorProcess
from tests.api.faults import FaultProxy

from belay_cluster.api import Api, ApiServer

ENV = {
    "TEST_KIND_MODULES": "belay_operator.policy.observe,tests.api.policy.keeper_kind",
    "BELAY_TRAINER_IMAGE": "trainer:test",
    "BELAY_HANDLER_IMAGE": "handler:test",
}
OLD, NEW = ("sha256:" + digits * 32 for digits in ("7f", "0b"))
SINCE = "2026-05-04T10:00:00Z"


@pytest.fixture(scope="module")
def controllers() -> Iterator[Api]:
    """An API server with Belay's CRDs and kube-controller-manager."""
    with ApiServer(controllers=True) as server:
        kube = Kube(server.kubeconfig)
        kube.install()
        # The garbage collector learns of new kinds every 30 s, and not of all of them at once.
        kube.apply(policy())
        rollout(kube)
        for made in ("rlpolicy/a", "rlrollout/public"):
            kube.run("delete", made, "--cascade=foreground", "--timeout=55s")
        yield server


@pytest.fixture
def kube(controllers: Api) -> Kube:
    made = Kube(controllers.kubeconfig, f"t-{os.urandom(4).hex()}")
    made.run("create", "namespace", made.namespace)
    return made


@pytest.fixture
def proxy(controllers: Api) -> Iterator[FaultProxy]:
    with FaultProxy(controllers.kubeconfig) as made:
        yield made


@pytest.fixture(autouse=True)
def operator(kube: Kube, proxy: FaultProxy, tmp_path: Path) -> Iterator[OperatorProcess]:
    made = OperatorProcess(proxy.kubeconfig, kube.namespace, tmp_path, number=0, env=ENV).ready()
    yield made
    made.kill()
    print(made.text())


def policy(digest: str = OLD, **serving: Any) -> dict[str, Any]:
    artifact = {"uri": f"store://sha256/{digest[7:]}", "digest": digest}
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLPolicy",
        "metadata": {"name": "a"},
        "spec": {"artifact": artifact, "serving": serving},
    }


def rollout(kube: Kube, **sides: Any) -> None:
    """A rollout named `public` of two replicas, whose status names these sides and no others."""
    kube.apply(
        {
            "apiVersion": "belay.dev/v1alpha1",
            "kind": "RLRollout",
            "metadata": {"name": "public"},
            "spec": {
                "policy": {"name": "a"},
                "replicas": 2,
                "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
            },
        }
    )
    nothing = {"stable": None, "candidate": None, "previous": None}
    past = {"policy": "a", "digest": OLD, "outcome": "Promoted", "startedAt": SINCE, "endedAt": SINCE}
    kube.patch_status("rlrollout", "public", {**nothing, "history": [past], **sides})


def serving(digest: str = OLD) -> dict[str, Any]:
    return {"policy": "a", "digest": digest, "since": SINCE}


def owners(kube: Kube, kind: str) -> list[str]:
    """The kinds of the owners, each controller with a star; empty also where the object is gone."""
    found = (kube.get(kind, "a") or {"metadata": {}})["metadata"].get("ownerReferences", ())
    return sorted(one["kind"] + ("*" if one.get("controller") else "") for one in found)


def owned(kube: Kube, deployment: list[str], service: list[str]) -> None:
    eventually(
        lambda: (owners(kube, "deployment"), owners(kube, "service")) == (deployment, service),
        what=f"owned by {deployment} and {service}",
        timeout_s=30,
    )


def ready(kube: Kube) -> dict[str, Any]:
    conditions = ((kube.get("rlpolicy", "a") or {}).get("status") or {}).get("conditions") or ()
    return next((dict(one) for one in conditions if one["type"] == "Ready"), {})


def pods(kube: Kube) -> set[str]:
    return {one["metadata"]["uid"] for one in kube.all("pods")}


def in_service(kube: Kube) -> tuple[dict[str, Any], set[str]]:
    """Bring the policy into service and return its Deployment and its pods."""
    kube.apply(policy())
    rollout(kube, stable=serving())
    owned(kube, ["RLPolicy*", "RLRollout"], ["Deployment", "RLPolicy*"])
    eventually(lambda: len(pods(kube)) == 2, what="its pods exist")
    return dict(kube.get("deployment", "a") or {}), pods(kube)


@pytest.mark.parametrize("cascade", ["foreground", "background", "orphan"])
def test_what_serves_outlives_its_policy_and_goes_back_to_it(kube: Kube, cascade: str) -> None:
    before, serve = in_service(kube)
    kube.run("delete", "rlpolicy/a", f"--cascade={cascade}", "--timeout=20s")
    owned(kube, ["RLRollout"], ["Deployment"])
    assert pods(kube) == serve

    kube.apply(policy())
    owned(kube, ["RLPolicy*", "RLRollout"], ["Deployment", "RLPolicy*"])
    after = kube.get("deployment", "a") or {}
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"]), "as it is"
    assert pods(kube) == serve

    kube.run("delete", "rlpolicy/a", f"--cascade={cascade}", "--timeout=20s")
    owned(kube, ["RLRollout"], ["Deployment"])
    kube.run("delete", "rlrollout/public", "--timeout=20s")
    eventually(
        lambda: not (kube.all("deployments") + kube.all("services") + kube.all("pods")),
        what="nothing is left once nobody needs it",
        timeout_s=30,
    )


def test_what_is_left_goes_with_the_need_of_the_last_rollout(kube: Kube) -> None:
    in_service(kube)
    kube.run("delete", "rlpolicy/a", "--timeout=20s")
    owned(kube, ["RLRollout"], ["Deployment"])
    rollout(kube)
    eventually(
        lambda: not (kube.all("deployments") + kube.all("services") + kube.all("pods")),
        what="the rollout has let go of it",
        timeout_s=30,
    )


def test_other_bytes_under_a_name_in_use_replace_nothing(kube: Kube) -> None:
    before, serve = in_service(kube)
    kube.run("delete", "rlpolicy/a", "--timeout=20s")
    kube.apply(policy(NEW))
    said = eventually(lambda: ready(kube).get("reason") == "NameInUse" and ready(kube), what="NameInUse")
    assert all(word in said["message"] for word in ("public", OLD, NEW))
    owned(kube, ["RLRollout"], ["Deployment"])
    assert ((kube.get("deployment", "a") or {})["metadata"]["uid"], pods(kube)) == (before["metadata"]["uid"], serve)

    rollout(kube, candidate=serving(NEW))
    owned(kube, ["RLPolicy*", "RLRollout"], ["Deployment", "RLPolicy*"])
    after = kube.get("deployment", "a") or {}
    assert after["metadata"]["annotations"]["belay.dev/digest"] == NEW
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    eventually(lambda: len(pods(kube) - serve) == 2 and not pods(kube) & serve, what="only pods of the new bytes")


def test_a_namespace_goes_with_all_that_is_in_use(kube: Kube, operator: OperatorProcess) -> None:
    in_service(kube)
    operator.kill()
    kube.run("delete", "namespace", kube.namespace, "--timeout=30s")


def test_being_needed_costs_no_write(kube: Kube, proxy: FaultProxy) -> None:
    in_service(kube)
    rollout(kube)
    eventually(lambda: ready(kube).get("reason") == "NotLoaded", what="let go")
    eventually(lambda: owners(kube, "deployment") == ["RLPolicy*"], what="no rollout owns it")
    written = [
        one.path.split("?")[0].split("/")[-2] for one in proxy.seen(writes=True, path="/(deployments|services)/")
    ]
    assert sorted(written) == ["deployments", "deployments", "services"], "made, made, and scaled down"


def test_refused_settings_freeze_nothing_and_are_not_called_in_place(kube: Kube) -> None:
    kube.apply(policy(replicas=1))
    eventually(lambda: owners(kube, "service") == ["Deployment", "RLPolicy*"], what="served")
    before = kube.get("deployment", "a") or {}
    refused = {"hugepages-2Mi": "2Mi"}  # needs a limit as well, and the schema does not know
    kube.apply(policy(replicas=3, resources={"requests": refused}))
    eventually(lambda: (kube.get("deployment", "a") or {})["spec"]["replicas"] == 3, what="scaled all the same")
    assert (kube.get("deployment", "a") or {})["spec"]["template"] == before["spec"]["template"]
    status = (kube.get("rlpolicy", "a") or {})["status"]
    assert status["observedGeneration"] == 1 or ready(kube)["reason"] == "ChildRefused", "not in place, not said"

    kube.run("scale", "rlpolicy/a", "--replicas=0")
    eventually(lambda: not pods(kube), what="scaled down all the same")
    kube.apply(policy(replicas=1))
    kube.run("scale", "rlpolicy/a", "--replicas=1")

    def in_place() -> bool:
        held = kube.get("rlpolicy", "a") or {}
        return bool(held["status"]["observedGeneration"] == held["metadata"]["generation"]) and len(pods(kube)) == 1

    eventually(in_place, what="the corrected settings are in place")


def test_an_autoscaler_reads_the_scale_from_the_start(kube: Kube) -> None:
    kube.apply(policy())
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    kube.apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "belay.dev/v1alpha1", "kind": "RLPolicy", "name": "a"},
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [metric],
            },
        }
    )

    def said() -> dict[str, str]:
        status = (kube.get("horizontalpodautoscaler", "a") or {}).get("status") or {}
        return {one["type"]: one["reason"] for one in status.get("conditions") or ()}

    eventually(lambda: "ScalingActive" in said() or "FailedGetScale" in said().values(), what="looked at", timeout_s=40)
    assert said()["AbleToScale"] == "SucceededGetScale", json.dumps(said())
    assert said()["ScalingActive"] != "ScalingDisabled"
