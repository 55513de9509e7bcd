"""Envoy Gateway from its own chart, out of the Go module cache, so that chart, CRDs and binary are one version.

No cloud hands out addresses here, so Envoy's Service is a ClusterIP; a Gateway with a LoadBalancer Service would never
become Programmed. A stamp on the GatewayClass makes the second `up` skip Helm.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from belay_cluster.images import ENVOY, ENVOY_GATEWAY
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, run, succeeds

NAMESPACE = "envoy-gateway-system"
STAMP = "dev.belay.dev/installed"
MODULE = "github.com/envoyproxy/gateway"


def install(paths: Paths, laps: Laps, references: Mapping[str, str]) -> None:
    """Install or update Envoy Gateway and GatewayClass `eg`; nothing when they are as they should be."""
    manifest = (paths.cluster / "manifests" / "gateway.yaml").read_text()
    go_mod = (paths.cluster / "tools" / "go.mod").read_text()
    wanted = hashlib.sha256(f"{manifest}{go_mod}{sorted(references.items())}".encode()).hexdigest()[:16]
    if stamp(paths) == wanted:
        return
    laps("installing Envoy Gateway …")
    folder = chart(paths, references[ENVOY_GATEWAY])
    values = {
        "global.images.envoyProxy.image": references[ENVOY],
        "deployment.envoyGateway.resources.requests.cpu": "10m",
    }
    settings = [f"--set={name}={value}" for name, value in values.items()]
    where = ["-n", NAMESPACE, "--create-namespace", f"--kubeconfig={paths.kubeconfig}"]
    helm = [paths.bin / "helm", "upgrade", "--install", "eg", folder, *where, *settings, "--wait", "--timeout=180s"]
    run(helm, what="installing Envoy Gateway", log=paths.state / "log" / "helm.log")
    kubectl = [paths.bin / "kubectl", f"--kubeconfig={paths.kubeconfig}"]
    run([*kubectl, "apply", "-f", "-"], what="GatewayClass", stdin=manifest.replace("${ENVOY}", references[ENVOY]))
    run([*kubectl, "wait", "--for=condition=Accepted", "gatewayclass/eg", "--timeout=60s"], what="GatewayClass")
    run([*kubectl, "annotate", "--overwrite", "gatewayclass/eg", f"{STAMP}={wanted}"], what="GatewayClass")
    laps("Envoy Gateway is ready")


def stamp(paths: Paths) -> str | None:
    """What the running installation was made from; None when there is none or its controller is not available."""
    kubectl = [paths.bin / "kubectl", f"--kubeconfig={paths.kubeconfig}"]
    if not succeeds([*kubectl, "get", "gatewayclass", "eg"]):
        return None
    text = run([*kubectl, "get", "gatewayclass", "eg", "-o", "json"], what="GatewayClass")
    found = json.loads(text)["metadata"].get("annotations", {}).get(STAMP)
    return str(found) if found else None


def chart(paths: Paths, image: str) -> Path:
    """A writable copy of the module's chart, with the placeholders of its values filled in."""
    module = paths.cluster / "tools"
    source = run(["go", "list", "-m", "-f", "{{.Dir}}", MODULE], what="finding Envoy Gateway's chart", cwd=module)
    folder = paths.state / "chart"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(source.strip()) / "charts" / "gateway-helm", folder)
    for path in (folder, *folder.rglob("*")):  # the module cache is read-only
        path.chmod(0o755 if path.is_dir() else 0o644)
    template = (folder / "values.tmpl.yaml").read_text()
    values = template.replace("${GatewayImage}", image).replace("${GatewayImagePullPolicy}", "IfNotPresent")
    (folder / "values.yaml").write_text(values)
    return folder


def version(paths: Paths) -> str:
    """Version of Envoy Gateway pinned in the Go module."""
    module = paths.cluster / "tools"
    return run(["go", "list", "-m", "-f", "{{.Version}}", MODULE], what="Envoy Gateway's version", cwd=module).strip()
