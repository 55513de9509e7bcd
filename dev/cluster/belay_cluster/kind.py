"""The cluster that kind runs in Docker, with kind's own defaults but for its name and its kubeconfig."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from belay_cluster import gateway
from belay_cluster.builder import Builder, Docker
from belay_cluster.kube import Kube, ensure, program
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, Problem, run

NAME = "belay"


class KindCluster:
    """The cluster; every method may be called at any time."""

    def __init__(self, paths: Paths, laps: Laps) -> None:
        self.paths, self.laps = paths, laps
        self.kube = Kube(paths, paths.kind_kubeconfig)

    def kubeconfig(self) -> Path:
        """A file of ours: kind would otherwise change the user's, and its current context with it."""
        return self.paths.kind_kubeconfig

    def up(self) -> None:
        """Create it, or find it again, and see that it has a gateway."""
        for name, only in (("kind", "kind"), ("kubectl", "api"), ("helm", "helm")):
            ensure(self.paths, self.laps, name, only=only)
        self.paths.cache.mkdir(parents=True, exist_ok=True)
        if self.exists():
            self._kind("export", "kubeconfig")
        else:
            self.laps("creating a kind cluster …")
            self._kind("create", "cluster", "--wait=120s")
            self.laps("kind cluster created")
        if not self.kube.answers("get", "--raw", "/readyz"):
            raise Problem(f"the kind cluster {NAME!r} is there but does not answer: `make cluster-down` deletes it.")
        gateway.provide(self.paths, self.laps, self.kube, self)

    def exists(self) -> bool:
        """True when kind knows the cluster, running or not."""
        listing = run([program(self.paths, "kind"), "get", "clusters"], what="listing kind's clusters")
        return NAME in listing.split()

    def builder(self) -> Builder:
        """Docker: `kind load` takes images from its storage."""
        return Docker(self.paths, self.laps)

    def pulled(self, ref: str) -> str:
        """The same: kind's nodes get images under the names they were built with."""
        return ref

    def give(self, references: Mapping[str, str]) -> None:
        """Load what the node lacks, all at once; without a cluster nothing."""
        if not self.exists():
            return
        # kind does not see what is there when Docker keeps its images in containerd (kubernetes-sigs/kind#4236).
        node = ["docker", "exec", f"{NAME}-control-plane", "ctr", "--namespace=k8s.io", "images", "ls", "-q"]
        there = set(run(node, what="listing the kind node's images").split())
        if missing := [ref for ref in references.values() if ref not in there]:
            load = [program(self.paths, "kind"), "load", "docker-image", f"--name={NAME}", *missing]
            run(load, what="loading images into kind")
            self.laps(f"loaded {', '.join(missing)}")

    def down(self, *, wipe: bool) -> None:
        """Delete it. Docker keeps the images either way: `docker image prune` is the user's."""
        ensure(self.paths, self.laps, "kind", only="kind")
        self._kind("delete", "cluster")
        self.paths.kind_kubeconfig.unlink(missing_ok=True)
        self.laps("kind cluster deleted")

    def _kind(self, *arguments: str) -> None:
        flags = [f"--name={NAME}", f"--kubeconfig={self.paths.kind_kubeconfig}"]
        run([program(self.paths, "kind"), *arguments, *flags], what=f"kind {' '.join(arguments[:2])}")
