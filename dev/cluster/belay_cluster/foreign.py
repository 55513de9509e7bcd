"""Clusters the driver does not run itself: the user's own, and kind.

Belay needs Gateway API and a GatewayClass; where none is installed, Envoy Gateway's released chart is, with its
upstream images. A cluster that has a GatewayClass keeps it.
"""

from __future__ import annotations

from belay_cluster import gateway
from belay_cluster.choose import Choice, Kind
from belay_cluster.gobuild import build
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem, run, succeeds

KIND_CLUSTER = "belay"
GATEWAY_CLASS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
"""


def up(paths: Paths, laps: Laps, choice: Choice) -> None:
    """Make kind's cluster if that was chosen, then see that the cluster answers and has a gateway."""
    if choice.kind is Kind.KIND and KIND_CLUSTER not in run(["kind", "get", "clusters"], what="kind").split():
        run(["kind", "create", "cluster", "--name", KIND_CLUSTER, "--wait", "120s"], what="creating a kind cluster")
        laps("kind cluster created")
    kubectl = ["kubectl", *flags(choice)]
    if not succeeds([*kubectl, "get", "--raw", "/readyz"]):
        raise Problem(f"the cluster chosen ({choice.why}) does not answer: {' '.join(kubectl)} get --raw /readyz")
    if succeeds([*kubectl, "get", "gatewayclasses.gateway.networking.k8s.io"]) and run(
        [*kubectl, "get", "gatewayclasses.gateway.networking.k8s.io", "-o", "name"], what="GatewayClasses"
    ):
        laps("the cluster has a GatewayClass; Envoy Gateway is not installed")
        return
    build(paths, laps, only="helm")
    version = gateway.version(paths)
    chart = ["oci://docker.io/envoyproxy/gateway-helm", "--version", version]
    where = ["-n", gateway.NAMESPACE, "--create-namespace", *flags(choice, helm=True)]
    helm = [paths.bin / "helm", "upgrade", "--install", "eg", *chart, *where, "--wait", "--timeout=300s"]
    run(helm, what="installing Envoy Gateway")
    run([*kubectl, "apply", "-f", "-"], what="GatewayClass", stdin=GATEWAY_CLASS)
    laps(f"Envoy Gateway {version} is ready")


def load(choice: Choice, references: dict[str, str], laps: Laps) -> None:
    """Give kind the images; the user's own cluster pulls from a registry it knows, which is the user's to fill."""
    if choice.kind is Kind.KIND:
        for ref in references.values():
            run(["kind", "load", "docker-image", "--name", KIND_CLUSTER, ref], what=f"loading {ref}")
            laps(f"loaded {ref}")
    else:
        laps("push these images to a registry your cluster can pull from, and name it to the chart")


def down(choice: Choice, laps: Laps) -> None:
    """Delete kind's cluster; leave the user's own alone."""
    if choice.kind is Kind.KIND:
        run(["kind", "delete", "cluster", "--name", KIND_CLUSTER], what="deleting the kind cluster")
        laps("kind cluster deleted")
    else:
        laps(f"nothing to stop: {choice.why}, so the cluster is yours")


def flags(choice: Choice, *, helm: bool = False) -> list[str]:
    """Flags that point kubectl or Helm to the chosen cluster."""
    found = [f"--kubeconfig={choice.kubeconfig}"] if choice.kubeconfig else []
    return found + ([f"--{'kube-' if helm else ''}context={choice.context}"] if choice.context else [])
