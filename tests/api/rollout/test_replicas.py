"""Traffic without a gateway, on a real API server with Kubernetes' own controller of EndpointSlices.

The pods are the stand-in's: where they say that they are nobody answers, so a rollback ends by its deadline.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.controllers import endpoint_slices
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.faults import FaultProxy
from tests.api.rollout.test_rollout import Mortal, healthy_on, policy, status

from belay_cluster.api import Api

ELSEWHERE = "198.51.100.7"  # no slice may name a loopback address


@pytest.fixture(scope="module", autouse=True)
def gateway_api(api: Api) -> Iterator[None]:
    """None is needed. What lists the pods of Services is Kubernetes' own."""
    with endpoint_slices(api):
        yield


@pytest.fixture
def data_plane(api: Api, kube: Kube) -> Iterator[DataPlaneThread]:
    address = f"127.{os.urandom(1)[0] % 200 + 10}.{os.urandom(1)[0]}.7"
    with DataPlaneThread(api.kubeconfig, kube.namespace, address=address, pods_at=ELSEWHERE) as made:
        yield made


def rollout(policy_name: str, *, command: str | None = None, replicas: int = 3) -> dict[str, Any]:
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLRollout",
        "metadata": {"name": "r", "annotations": {"belay.dev/command": command} if command else {}},
        "spec": {
            "policy": {"name": policy_name},
            "replicas": replicas,
            "traffic": {"replicas": {}},
            "steps": [{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}],
            "bake": {"duration": "1s", "keepWarm": "1h"},
            "rollback": {"deadline": "1s"},
        },
    }


def behind(kube: Kube) -> dict[str, int]:
    """How many pods of whom get connections, by all slices of the Service, as kube-proxy puts them together."""
    slices = kube.all("endpointslices")
    pods = {
        endpoint["targetRef"]["name"]
        for one in slices
        if one["metadata"]["labels"].get("kubernetes.io/service-name") == "r"
        for endpoint in one.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
    }
    return dict(Counter(pod.rpartition("-")[0] for pod in pods))


def test_pods_behind_the_service_follow_the_weight(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> None:
    operator = start(TEST_KIND_MODULES="real").ready()
    for name in ("p1", "p2", "p3"):
        kube.apply(policy(name))
    kube.apply(rollout("p1"))
    eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    assert behind(kube) == {"p1": 3}

    kube.apply(rollout("p2"))
    eventually(lambda: behind(kube) == {"p1": 3, "p2": 1}, what="a quarter")
    pods = eventually(lambda: status(kube).get("weight", {}).get("pods"), what="told")
    assert pods == {"candidate": 1, "stable": 3, "percent": 25}
    kube.apply(rollout("p2", command="resume@1"))
    eventually(lambda: behind(kube) == {"p1": 1, "p2": 3}, what="three quarters")
    kube.apply(rollout("p2", command="promote@2"))
    eventually(lambda: healthy_on(kube, "p2"), what="the second is promoted")
    assert behind(kube) == {"p2": 3}

    kube.apply(rollout("p3"))
    eventually(lambda: behind(kube) == {"p2": 3, "p3": 1}, what="a quarter")
    kube.apply(rollout("p3", command="abort@3"))
    eventually(lambda: behind(kube) == {"p2": 3}, what="out of the Service")
    eventually(lambda: status(kube).get("phase") == "RolledBack", what="taken back")

    operator.kill()
    kube.run("delete", "pod", "p2-0", "--grace-period=0", "--force")
    eventually(lambda: behind(kube) == {"p2": 2}, what="at rest Kubernetes follows the pods, and no operator is needed")


@pytest.mark.timeout(900)
def test_above_half_it_is_taken_back_though_the_operator_dies_after_every_write(
    kube: Kube, start: Starter, data_plane: DataPlaneThread, proxy: FaultProxy
) -> None:
    mortal = Mortal(start, proxy, kube.namespace)
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    kube.apply(rollout("p1"))
    mortal.until(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    kube.apply(rollout("p2"))
    mortal.until(lambda: behind(kube) == {"p1": 3, "p2": 1}, what="a quarter")
    mortal.until(lambda: status(kube).get("step", {}).get("kind") == "pause", what="it pauses")
    kube.apply(rollout("p2", command="resume@1"))
    mortal.until(lambda: behind(kube) == {"p1": 1, "p2": 3}, what="three quarters")
    kube.apply(rollout("p2", command="abort@2"))
    mortal.until(lambda: status(kube).get("phase") == "RolledBack", what="taken back")
    mortal.until(lambda: behind(kube) == {"p1": 3}, what="out of the Service")
    assert mortal.deaths > 10
    assert sorted(one["metadata"]["name"] for one in kube.all("services")) == ["p1", "p2", "r"]


def test_too_few_pods_are_told(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> None:
    start(TEST_KIND_MODULES="real").ready()
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    kube.apply(rollout("p1", replicas=1))
    eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    kube.apply(rollout("p2", replicas=1))
    eventually(lambda: behind(kube) == {"p1": 1, "p2": 1}, what="the least that one pod gives")
    told = eventually(
        lambda: next((one for one in status(kube)["conditions"] if one["type"] == "CoarseWeight"), None), what="told"
    )
    assert told["reason"] == "TooFewPods"
    assert "spec.replicas: 3" in told["message"]


def test_a_service_of_somebody_else_is_left_alone(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> None:
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "r"}, "spec": {"ports": [{"port": 1}]}}
    kube.apply(theirs)
    start(TEST_KIND_MODULES="real").ready()
    kube.apply(policy("p1"))
    kube.apply(rollout("p1"))
    said = eventually(
        lambda: next((one for one in status(kube).get("conditions", ()) if one["reason"] == "ChildConflict"), None),
        what="told",
    )
    assert "Service r" in said["message"]
    assert "selector" not in (kube.get("service", "r") or {})["spec"]
