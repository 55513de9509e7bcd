"""An API server made ready for a benchmark: the kinds it must know, a client that no rate holds back, a policy."""

from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from tests.api.engine.kube import Kube

from belay_cluster import gomodule
from belay_cluster.api import Api
from belay_operator.engine.client import Client

ROOT = Path(__file__).parents[1]


def install(api: Api, *namespaces: str) -> Kube:
    """Apply Belay's CRDs and HTTPRoute's, make the namespaces, and return kubectl in the first of them."""
    kube = Kube(api.kubeconfig, namespaces[0])
    routes = gomodule.folder("sigs.k8s.io/gateway-api") / "config/crd/standard"
    for path in (*sorted((ROOT / "crds").glob("*.yaml")), routes / "gateway.networking.k8s.io_httproutes.yaml"):
        kube.run("apply", "--server-side", "-f", str(path))
    kube.established()
    for namespace in namespaces:
        kube.run("create", "namespace", namespace)
    return kube


async def connect(kubeconfig: Path | str) -> Client:
    """Return a client without a rate limit worth the name."""
    configuration = Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    return Client(configuration, rate_per_s=100_000, burst=100_000)


def policy(namespace: str, name: str) -> dict[str, Any]:
    """Return an RLPolicy whose artifact nobody looks at."""
    digest = name.encode().hex().ljust(64, "0")[:64]
    artifact = {"uri": f"store://sha256/{digest}", "digest": f"sha256:{digest}"}
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLPolicy",
        "metadata": metadata,
        "spec": {"artifact": artifact},
    }
