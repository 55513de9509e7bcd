"""Build the pinned Go programs once: Kubernetes, containerd, CoreDNS and Envoy Gateway, then Helm and kwok; or others.

Five modules: Helm and kwok want newer Kubernetes libraries than the node, Argo Rollouts and Argo CD older ones, and
kind none. A stamp beside the binaries holds the hash of the module's own files, so nothing happens while they are
unchanged. `go build` keeps its own cache as well.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from belay_cluster import golang
from belay_cluster.debian import install_packages
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, run

KUBE_NAMES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
"""Links to the combined binary, which looks at its own name: 146 MB instead of 515, and shared memory pages."""

CONTAINERD = "github.com/containerd/containerd/v2/cmd"
ENVOY_GATEWAY = "github.com/envoyproxy/gateway"


@dataclass(frozen=True, slots=True)
class Target:
    """One `go build`: packages of one module, in one link step."""

    label: str
    module: str
    """Folder under dev/cluster."""
    packages: tuple[str, ...]
    binaries: tuple[str, ...]
    only: frozenset[str]
    """Values of `--only` that include it, besides `all`."""
    local: bool = True
    """Part of `all`: the local cluster or its tests need it."""


TARGETS = (
    Target("Kubernetes and etcd", "tools", ("./cmd/kube",), ("kube",), frozenset({"api"})),
    Target(
        "containerd, CoreDNS, pause",
        "tools",
        (
            "./cmd/pause",
            "./cmd/coredns",
            *(f"{CONTAINERD}/{n}" for n in ("containerd", "containerd-shim-runc-v2", "ctr")),
        ),
        ("pause", "coredns", "containerd", "containerd-shim-runc-v2", "ctr"),
        frozenset(),
    ),
    Target(
        "Envoy Gateway",
        "tools",
        (f"{ENVOY_GATEWAY}/cmd/envoy-gateway",),
        ("envoy-gateway",),
        frozenset({"gateway"}),
    ),
    Target("Helm", "helmtools", ("helm.sh/helm/v4/cmd/helm",), ("helm",), frozenset({"helm"})),
    Target("kwok", "helmtools", ("sigs.k8s.io/kwok/cmd/kwok",), ("kwok",), frozenset({"kwok"})),
    Target("kind", "kindtools", ("sigs.k8s.io/kind",), ("kind",), frozenset({"kind"}), local=False),
    Target(
        "Argo Rollouts",  # bench/engine runs it beside ours
        "argotools",
        ("github.com/argoproj/argo-rollouts/cmd/rollouts-controller", "./cmd/httproute-plugin"),
        ("rollouts-controller", "httproute-plugin"),
        frozenset({"argo"}),
        local=False,
    ),
    Target(
        "Argo CD's command line",  # tests/long asks it
        "argocdtools",
        ("./cmd/argocd",),
        ("argocd",),
        frozenset({"argocd"}),
        local=False,
    ),
)


def build(paths: Paths, laps: Laps, *, only: str = "all") -> None:
    """Build what is missing or changed.

    Args:
        only: `all` that the local cluster and its tests need, or `api` (etcd, API server, kubectl), `gateway`, `helm`,
            `kind`, `kwok`, `argo`, `argocd`.
    """
    wanted = [target for target in TARGETS if only in target.only or (only == "all" and target.local)]
    if only == "all":
        install_packages(laps)
    stale = [target for target in wanted if not current(paths, target)]
    if not stale:
        return
    go = golang.program(laps)
    paths.bin.mkdir(parents=True, exist_ok=True)
    for target in stale:
        laps(f"building {target.label} …")
        module = paths.cluster / target.module
        flags = ["-trimpath", "-ldflags", f"-s -w {version_flags((module / 'go.mod').read_text())}".strip()]
        run(
            [go, "build", *flags, "-o", f"{paths.bin}/", *target.packages],
            what=f"building {target.label}",
            env={"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
            cwd=module,
            log=paths.cache / "logs" / "build.log",
        )
        if "kube" in target.binaries:
            for name in KUBE_NAMES:
                link = paths.bin / name
                link.unlink(missing_ok=True)
                link.symlink_to("kube")
        _stamp(paths, target).write_text(fingerprint(module, target))
        laps(f"built {target.label}")


def current(paths: Paths, target: Target) -> bool:
    """True when the binaries exist and were built from the module's present files."""
    stamp = _stamp(paths, target)
    if not all((paths.bin / name).exists() for name in target.binaries) or not stamp.exists():
        return False
    return stamp.read_text() == fingerprint(paths.cluster / target.module, target)


def fingerprint(module: Path, target: Target) -> str:
    """Hash of everything a binary depends on: go.mod, go.sum, our own main packages and the list of packages."""
    digest = hashlib.sha256("\n".join(target.packages).encode())
    for path in (module / "go.mod", module / "go.sum", *sorted((module / "cmd").rglob("*.go"))):
        digest.update(f"\n{path.relative_to(module)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def version_flags(go_mod: str) -> str:
    """Linker flags that tell Kubernetes its version; without them the server calls itself v0.0.0."""
    found = re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.(\S+)", go_mod)
    if found is None:
        return ""
    package, (major, minor, patch) = "k8s.io/component-base/version", found.groups()
    values = {"gitVersion": f"v{major}.{minor}.{patch}", "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {package}.{name}={value}" for name, value in values.items())


def _stamp(paths: Paths, target: Target) -> Path:
    return paths.bin / f".{target.binaries[0]}.stamp"
