"""A real kube-apiserver for every test of this folder, a fault proxy in front of it, and operator processes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.engine.kube import Kube
from tests.api.engine.process import OperatorProcess, Starter
from tests.api.faults import FaultProxy

from belay_cluster.api import Api, ApiServer


@pytest.fixture(scope="session")
def api() -> Iterator[Api]:
    """One etcd and one API server for the session, with Belay's CRDs."""
    with ApiServer() as server:
        Kube(server.kubeconfig).install()
        yield server


@pytest.fixture
def kube(api: Api, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """kubectl in a namespace of its own, which is emptied afterwards."""
    namespace = f"t-{os.urandom(4).hex()}"
    made = Kube(api.kubeconfig, namespace)
    made.run("create", "namespace", namespace)
    yield made
    for kind in (
        "rlrollouts",
        "rlprogressions",
        "rlpolicies",
        "rltrainingjobs",
        "jobs",
        "deployments",
        "services",
        "pods",
    ):
        made.run("delete", kind, "--all", "--wait=false", "--grace-period=0", check=False)


@pytest.fixture
def proxy(api: Api) -> Iterator[FaultProxy]:
    """A proxy between operator and API server that injects faults on demand."""
    with FaultProxy(api.kubeconfig) as made:
        yield made


@pytest.fixture
def start(api: Api, kube: Kube, tmp_path: Path) -> Iterator[Starter]:
    """Start operator processes for this test's namespace; they are killed at its end."""
    running: list[OperatorProcess] = []

    def starter(*, kubeconfig: Path | None = None, **env: str) -> OperatorProcess:
        made = OperatorProcess(kubeconfig or api.kubeconfig, kube.namespace, tmp_path, number=len(running), env=env)
        running.append(made)
        return made

    yield starter
    for process in running:
        process.kill()
        print(f"--- {process.log.name}\n{process.text()}")  # shown by pytest when the test failed


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    """Say at once what is missing instead of failing in every test."""
    try:
        subprocess.run(["openssl", "version"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.exit("tests/api needs openssl: apt-get install openssl", returncode=3)
