"""An API server with Kubernetes' own Job controller, and namespaces there: what its test modules make fixtures of.

The test plays the kubelet; nothing else is simulated.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.api.engine.kube import Kube
from tests.api.engine.process import OperatorProcess

from belay_cluster.api import Api, ApiServer
from belay_cluster.paths import from_environment

ENV = {
    "TEST_KIND_MODULES": "real",
    "BELAY_TRAINER_IMAGE": "belay-trainer:test",
    "BELAY_HANDLER_IMAGE": "belay-handler:test",
}


@contextmanager
def job_controller() -> Iterator[Api]:
    """An API server with Belay's CRDs and kube-controller-manager."""
    with ApiServer(controllers=True) as server:
        Kube(server.kubeconfig).install()
        yield server


@contextmanager
def endpoint_slices(server: Api) -> Iterator[None]:
    """What lists the pods of Services, on the node of `dataplane`."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "stand-in"}}
    Kube(server.kubeconfig).apply(node)
    with _one_controller(server, "endpointslice-controller"):
        yield


@contextmanager
def autoscaler(server: Api) -> Iterator[None]:
    """HorizontalPodAutoscalers: looked at each second, and scaled down without looking back."""
    flags = {
        "horizontal-pod-autoscaler-sync-period": "1s",
        "horizontal-pod-autoscaler-downscale-stabilization": "0s",
        "horizontal-pod-autoscaler-initial-readiness-delay": "0s",
        "horizontal-pod-autoscaler-cpu-initialization-period": "0s",
    }
    with _one_controller(server, "horizontal-pod-autoscaler-controller", **flags):
        yield


@contextmanager
def _one_controller(server: Api, name: str, **more: str) -> Iterator[None]:
    """One of kube-controller-manager's controllers."""
    flags = {
        "kubeconfig": server.kubeconfig,
        "controllers": name,
        "leader-elect": "false",
        "secure-port": "0",
        **more,
    }
    program = str(from_environment(os.environ).bin / "kube-controller-manager")
    words = ["setpriv", "--pdeathsig", "KILL", program, *(f"--{flag}={value}" for flag, value in flags.items())]
    with (server.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def restricted_namespace(server: Api, test: str) -> Kube:
    """Return kubectl in a namespace of this test's own that takes nothing but restricted pods."""
    name = re.sub("[^a-z0-9]+", "-", test.removeprefix("test_"))[:50].rstrip("-")
    made = Kube(server.kubeconfig, name)
    made.run("create", "namespace", name)
    made.run("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    return made


@contextmanager
def operator_of(server: Api, kube: Kube, folder: Path) -> Iterator[OperatorProcess]:
    """An operator that cares for that namespace."""
    made = OperatorProcess(server.kubeconfig, kube.namespace, folder, number=0, env=ENV).ready()
    try:
        yield made
    finally:
        made.kill()
