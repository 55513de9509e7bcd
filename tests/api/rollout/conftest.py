"""What every test of rollouts on a real API server needs: the HTTPRoute kind, and a stand-in for the data plane."""

import os
from collections.abc import Iterator

import pytest
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube

from belay_cluster import gomodule
from belay_cluster.api import Api

GATEWAY_MODULE = "sigs.k8s.io/gateway-api"


@pytest.fixture(scope="module", autouse=True)
def gateway_api(api: Api) -> None:
    """The HTTPRoute CRD, from the module the gateway is built from."""
    crd = gomodule.folder(GATEWAY_MODULE) / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
    kube = Kube(api.kubeconfig)
    kube.run("apply", "--server-side", "-f", str(crd))
    kube.established()


@pytest.fixture
def data_plane(api: Api, kube: Kube) -> Iterator[DataPlaneThread]:
    address = f"127.{os.urandom(1)[0] % 200 + 10}.{os.urandom(1)[0]}.7"
    with DataPlaneThread(api.kubeconfig, kube.namespace, address=address) as made:
        yield made
