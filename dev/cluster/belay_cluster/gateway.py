"""Envoy Gateway from its own chart, out of the Go module cache, so that chart, CRDs and binary are one version.

A cluster that has a GatewayClass of its own keeps it, and nothing is installed. Envoy's Service is a ClusterIP: where
nobody hands out addresses, a Gateway with a LoadBalancer Service would never become Programmed. A stamp on the
GatewayClass says that it is ours, and makes the second `up` skip Helm.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from belay_cluster import gomodule
from belay_cluster.builder import Builder, build_images
from belay_cluster.gobuild import ENVOY_GATEWAY as MODULE
from belay_cluster.gobuild import build
from belay_cluster.images import ENVOY, ENVOY_GATEWAY
from belay_cluster.kube import Kube
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps

NAMESPACE = "envoy-gateway-system"
RELEASE, CLASS = "eg", "eg"
LABELS = f"app.kubernetes.io/name=gateway-helm,app.kubernetes.io/instance={RELEASE}"
"""Of everything the chart makes."""
STAMP = "dev.belay.dev/installed"


class Taker(Protocol):
    """A cluster, as far as images go."""

    def builder(self) -> Builder:
        """What builds images for it."""

    def pulled(self, ref: str) -> str:
        """Name under which its nodes know an image."""

    def give(self, references: Mapping[str, str]) -> None:
        """Hand it images."""


def needed(kube: Kube) -> bool:
    """True unless the cluster has a GatewayClass that is not ours."""
    return all(STAMP in stamps(one) for one in kube.items("gatewayclasses.gateway.networking.k8s.io"))


def provide(paths: Paths, laps: Laps, kube: Kube, cluster: Taker, *, pull_secret: str | None = None) -> None:
    """Build, hand over and install Envoy Gateway where it is needed."""
    if not needed(kube):
        laps("the cluster has a GatewayClass; Envoy Gateway is not installed")
        return
    build(paths, laps, only="gateway")
    references = build_images(paths, laps, cluster.builder(), [ENVOY, ENVOY_GATEWAY])
    cluster.give(references)
    pulled = {name: cluster.pulled(ref) for name, ref in references.items()}
    install(paths, laps, kube, pulled, pull_secret=pull_secret)


def install(
    paths: Paths, laps: Laps, kube: Kube, references: Mapping[str, str], *, pull_secret: str | None = None
) -> None:
    """Install or update Envoy Gateway and its GatewayClass; nothing when they are as they should be.

    Args:
        references: The images, as the cluster's nodes know them.
        pull_secret: Secret in `NAMESPACE` they are pulled with; None: anybody may.
    """
    manifest = (paths.cluster / "manifests" / "gateway.yaml").read_text()
    go_mod = (paths.cluster / "tools" / "go.mod").read_text()
    wanted = hashlib.sha256(f"{manifest}{go_mod}{sorted(references.items())}{pull_secret}".encode()).hexdigest()[:16]
    if stamp(kube) == wanted:
        return
    laps("installing Envoy Gateway …")
    settings = {
        "global.images.envoyProxy.image": references[ENVOY],
        "deployment.envoyGateway.resources.requests.cpu": "10m",
    }
    if pull_secret:
        settings["global.imagePullSecrets[0].name"] = pull_secret
    kube.clear_pending(RELEASE, NAMESPACE)
    kube.helm(
        *("upgrade", "--install", RELEASE, chart(paths, references[ENVOY_GATEWAY])),
        *("--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout=180s"),
        *(f"--set={name}={value}" for name, value in settings.items()),
        what="installing Envoy Gateway",
        log=paths.cache / "logs" / "helm.log",
    )
    secrets = f"[{{name: {pull_secret}}}]" if pull_secret else "[]"
    text = manifest.replace("${ENVOY}", references[ENVOY]).replace("${PULL_SECRETS}", secrets)
    kube.kubectl("apply", "-f", "-", stdin=text)
    kube.kubectl("wait", "--for=condition=Accepted", f"gatewayclass/{CLASS}", "--timeout=60s")
    kube.kubectl("annotate", "--overwrite", f"gatewayclass/{CLASS}", f"{STAMP}={wanted}")
    laps("Envoy Gateway is ready")


def stamp(kube: Kube) -> str | None:
    """What the running installation was made from; None when there is none, or it never became ready."""
    classes = kube.items("gatewayclasses.gateway.networking.k8s.io")
    found = next((one for one in classes if one["metadata"]["name"] == CLASS), None)
    return stamps(found).get(STAMP) if found else None


def stamps(thing: Mapping[str, Mapping[str, Mapping[str, str]]]) -> Mapping[str, str]:
    """Annotations of an object."""
    return thing["metadata"].get("annotations", {})


def chart(paths: Paths, image: str) -> Path:
    """A writable copy of the module's chart, with the placeholders of its values filled in."""
    source = gomodule.folder(MODULE)
    folder = paths.cache / "tmp" / "chart"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source / "charts" / "gateway-helm", folder)
    for path in (folder, *folder.rglob("*")):  # the module cache is read-only
        path.chmod(0o755 if path.is_dir() else 0o644)
    template = (folder / "values.tmpl.yaml").read_text()
    values = template.replace("${GatewayImage}", image).replace("${GatewayImagePullPolicy}", "IfNotPresent")
    (folder / "values.yaml").write_text(values)
    return folder
