"""A rollout beside Kubernetes' own HorizontalPodAutoscaler, which asks for as many pods as the load takes.

The test plays users and metrics-server: a load, spread by the weights of the route over the pods of each version.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.api.controllers import autoscaler
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_rollout import healthy_on, policy, status, weights

from belay_api.names import POLICY_LABEL
from belay_cluster.api import Api

POD_METRICS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "pods.metrics.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, metrics-server's API in a test"},
    },
    "spec": {
        "group": "metrics.k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "PodMetrics", "plural": "pods"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
AUTOSCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "r"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "name": "r"},
        "minReplicas": 1,
        "maxReplicas": 10,
        "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "1"}}}
        ],
    },
}


@pytest.fixture(scope="module", autouse=True)
def metrics_api(api: Api) -> Iterator[None]:
    """The API that metrics-server has, as a kind of its own, and who reads it."""
    kube = Kube(api.kubeconfig)
    kube.apply(POD_METRICS)
    kube.established()
    with autoscaler(api):
        yield


class Users:
    """A load of so many CPUs, and what it met: how many pods each version was asked to have, in order."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.load = 1.0
        self.seen: dict[str, list[int]] = {}

    def ask(self) -> dict[str, int]:
        """Ask each version for its share, tell how busy its pods are, and return how many pods each is to have."""
        asked = {one["metadata"]["name"]: one["spec"]["replicas"] for one in self._kube.all("deployments")}
        for version, replicas in asked.items():
            history = self.seen.setdefault(version, [])
            if history[-1:] != [replicas]:
                history.append(replicas)
        pods = [one["metadata"] for one in self._kube.all("pods.v1.")]
        shares, behind = weights(self._kube), [pod["labels"][POLICY_LABEL] for pod in pods]
        metrics = [
            {
                "apiVersion": "metrics.k8s.io/v1beta1",
                "kind": "PodMetrics",
                "metadata": {"name": pod["name"], "labels": pod["labels"]},
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "window": "1s",
                "containers": [{"name": "server", "usage": {"cpu": f"{self._cpu(shares, behind, version):.3f}"}}],
            }
            for pod, version in zip(pods, behind, strict=True)
        ]
        self._kube.apply({"apiVersion": "v1", "kind": "List", "items": metrics})
        return asked

    def _cpu(self, shares: dict[str, int], behind: list[str], version: str) -> float:
        return self.load * shares.get(version, 0) / 10_000 / behind.count(version)


def rollout(name: str, *, command: str | None = None) -> dict[str, Any]:
    """Without `replicas`, which are the autoscaler's."""
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLRollout",
        "metadata": {"name": "r", "annotations": {"belay.dev/command": command} if command else {}},
        "spec": {
            "policy": {"name": name},
            "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
            "steps": [{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}],
            "bake": {"duration": "1s", "keepWarm": "1h"},
        },
    }


def asks_for(kube: Kube) -> int:
    """What the autoscaler asks for now."""
    return int((kube.get("rlrollout", "r") or {})["spec"]["replicas"])


def test_each_version_has_the_pods_that_its_share_takes(
    kube: Kube, start: Starter, data_plane: DataPlaneThread
) -> None:
    start(TEST_KIND_MODULES="real").ready()
    users = Users(kube)
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    kube.apply(rollout("p1"))
    eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    kube.apply(AUTOSCALER)
    users.load = 4
    eventually(lambda: users.ask()["p1"] == 4, what="as many as the load takes")

    kube.apply(rollout("p2"))
    eventually(lambda: users.ask() and weights(kube) == {"p1": 7_500, "p2": 2_500}, what="a quarter")
    eventually(lambda: users.ask() and asks_for(kube) == 3, what="stable's load is less, and the autoscaler says so")
    kube.apply(rollout("p2", command="resume@1"))
    eventually(lambda: users.ask() and weights(kube) == {"p1": 2_500, "p2": 7_500}, what="three quarters")
    users.load = 8
    eventually(lambda: users.ask() == {"p1": 6, "p2": 6}, what="more are had at once, by the load of the larger share")
    kube.apply(rollout("p2", command="promote@2"))
    eventually(lambda: users.ask() and healthy_on(kube, "p2"), what="the second is promoted")
    eventually(lambda: users.ask()["p2"] == 8, what="it has all of the load now")
    assert users.seen == {"p1": [1, 4, 6, 8], "p2": [4, 6, 8]}, "nothing goes back and forth"
    assert status(kube)["replicas"] == 8
