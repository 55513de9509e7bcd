"""The local cluster: a real single-node Kubernetes as plain processes on this machine.

`up` is idempotent: it starts what does not run and applies what is missing. Order matters only twice: images are
imported before the kubelet asks for them, and the node's fake GPUs are written after it has registered.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from belay_cluster import config, gateway, layout, network, pki, preflight, programs, teardown
from belay_cluster.builder import Buildah, build_images, recorded
from belay_cluster.debian import install_packages
from belay_cluster.gobuild import build
from belay_cluster.images import IMAGES, INFRASTRUCTURE, PAUSE
from belay_cluster.kube import Kube
from belay_cluster.paths import Paths
from belay_cluster.process import Process, Processes
from belay_cluster.runtime import Containerd
from belay_cluster.shell import Laps, Problem, run, succeeds, wait_for

MINUTE = timedelta(minutes=1)


class LocalCluster:
    """The cluster and its parts; every method may be called at any time."""

    def __init__(self, paths: Paths, laps: Laps) -> None:
        self.paths, self.laps = paths, laps
        self.processes = Processes(paths.state / "pids", paths.state / "log")
        self.containerd = Containerd(paths)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl as administrator."""
        argv = [self.paths.bin / "kubectl", f"--kubeconfig={self.paths.kubeconfig}", *arguments]
        return run(argv, what=f"kubectl {arguments[0]}", stdin=stdin)

    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.paths.kubeconfig

    def up(self) -> None:
        """Bring the cluster to the state where a pod, a Service, a volume and a Gateway work."""
        preflight.privileges()
        fresh = not self.running()
        if fresh:
            install_packages(self.laps)
            preflight.check(self.paths)  # before minutes of building
        build(self.paths, self.laps)
        if fresh:
            preflight.check(self.paths)  # again: building takes gigabytes
        buildah = Buildah(self.paths, self.laps)
        references = build_images(self.paths, self.laps, buildah, list(INFRASTRUCTURE))
        self._prepare(references[PAUSE])
        self._start_servers()
        self.import_images(buildah)
        for process in programs.node_programs(self.paths):
            self._start(process)
        self.kubectl("apply", "-f", str(self.paths.cluster / "manifests" / "bootstrap.yaml"))
        self._volumes()
        self._node()
        gateway.install(self.paths, self.laps, Kube(self.paths, self.paths.kubeconfig), references)

    def builder(self) -> Buildah:
        """buildah: containerd is handed layers straight out of its storage."""
        return Buildah(self.paths, self.laps)

    def pulled(self, ref: str) -> str:
        """The same: nothing is pulled."""
        return ref

    def give(self, references: Mapping[str, str]) -> None:
        """Import into containerd if it runs; else the next `up` does."""
        if self.processes.pid("containerd") is not None:
            self.containerd.import_images(self.builder().store, list(references.values()), self.laps)

    def down(self, *, wipe: bool) -> None:
        """Leave the machine as it was; `wipe` deletes the images the cluster had stored as well."""
        teardown.down(self.paths, self.laps, wipe=wipe)

    def running(self) -> list[str]:
        """Names of our processes that are alive."""
        return [name for name in self.processes.names() if self.processes.pid(name) is not None]

    def import_images(self, buildah: Buildah) -> None:
        """Give containerd the newest build of every image the cluster uses."""
        newest = [ref for name, ref in recorded(self.paths).items() if name in IMAGES and IMAGES[name].cluster]
        present = buildah.present()
        self.containerd.import_images(buildah.store, [ref for ref in newest if ref in present], self.laps)

    def _prepare(self, pause: str) -> None:
        """Folders, certificates, configuration, network."""
        state, data = self.paths.state, self.paths.data
        for folder in (state / "cfg" / "cni", state / "run", data / "containerd", data / "kubelet", data / "podlogs"):
            folder.mkdir(parents=True, exist_ok=True)
        state.chmod(0o755)
        pki.make(state / "pki", pki.cluster_certificates())
        server = programs.local_control_plane(self.paths).server
        for name in ("controller-manager", "scheduler", "kube-proxy", "coredns", "kubelet"):
            pki.write_private(state / "cfg" / f"{name}.kubeconfig", pki.kubeconfig(state / "pki", name, server))
        pki.write_private(self.paths.kubeconfig, pki.kubeconfig(state / "pki", "admin", server))
        runc = shutil.which("runc") or "runc"
        self._configure("cni/10-belay.conflist", config.cni(self.paths), "containerd")
        self._configure("containerd.toml", config.containerd(self.paths, runc=runc, pause=pause), "containerd")
        self._configure("kubelet.json", config.kubelet(self.paths), "kubelet")
        self._configure("kube-proxy.json", config.kube_proxy(self.paths), "kube-proxy")
        self._configure("Corefile", config.corefile(self.paths), "coredns")
        self._configure("resolv.conf", Path("/etc/resolv.conf").read_text(), "coredns")
        network.up(self.paths)

    def _configure(self, name: str, text: str, process: str) -> None:
        """Write a configuration file that changed, and stop the process that reads it, so that `up` starts it again.

        An unchanged one is not touched: kube-proxy ends itself as soon as its file is written.
        """
        path = self.paths.state / "cfg" / name
        if path.exists() and path.read_text() == text:
            return
        path.write_text(text)
        self.processes.stop([process], grace=timedelta(seconds=5))

    def _start_servers(self) -> None:
        plane = programs.local_control_plane(self.paths)
        self._start(programs.etcd(plane))
        self._start(programs.containerd(self.paths, search_path=os.environ.get("PATH", "")))
        self._start(programs.kube_apiserver(plane, extra=programs.node_flags(plane.pki)))
        kubectl = [self.paths.bin / "kubectl", f"--kubeconfig={self.paths.kubeconfig}"]
        self._wait("kube-apiserver", lambda: succeeds([*kubectl, "get", "--raw", "/readyz"]))
        self._wait("containerd", lambda: succeeds([*self.containerd.command, "version"]))
        self.laps("API server and containerd answer")

    def _start(self, process: Process) -> None:
        if self.processes.start(process):
            self.laps(f"started {process.name}")

    def _wait(self, name: str, fact: Callable[[], bool]) -> None:
        """Wait for a server's fact, and stop waiting when the server has died."""

        def ready() -> bool:
            if self.processes.pid(name) is None:
                raise Problem(f"{name} ended at once:\n{self.processes.log_tail(name)}")
            return fact()

        wait_for(ready, what=f"{name} does not answer", timeout=MINUTE, hint=f"See {self.processes.logs}/{name}.log")

    def _volumes(self) -> None:
        """Offer volumes, and those again whose claim is gone: without a provisioner nobody else does."""
        listing = json.loads(self.kubectl("get", "pv", "-o", "json"))["items"]
        for item in listing:
            name = item["metadata"]["name"]
            if name.startswith("pv") and item["status"].get("phase") == "Released":
                self.kubectl("delete", "pv", name, "--wait=true")
                shutil.rmtree(self.paths.data / "pv" / name, ignore_errors=True)
                self.laps(f"emptied volume {name}")
        for index in range(layout.VOLUMES):
            folder = self.paths.data / "pv" / f"pv{index}"
            folder.mkdir(parents=True, exist_ok=True)
            # Belay's pods are not root, and Kubernetes does not change the owner of a hostPath.
            folder.chmod(0o777)
        self.kubectl("apply", "--server-side", "--field-manager=belay-dev", "-f", "-", stdin=config.volumes(self.paths))

    def _node(self) -> None:
        """Wait for the node as it is now, not as etcd remembers it, and give it its GPUs."""
        hint = f"See {self.processes.logs}/kubelet.log"
        kubectl = [self.paths.bin / "kubectl", f"--kubeconfig={self.paths.kubeconfig}", "get", "node", layout.NODE]
        wait_for(lambda: succeeds(kubectl), what="node registered", timeout=MINUTE, hint=hint)
        gpus = {"nvidia.com/gpu": str(layout.GPUS)}
        # After a crash the stored condition still says Ready; only a fresh lease shows that the kubelet is back.
        wait_for(self._renewed, what="the kubelet renews its lease", timeout=MINUTE, hint=hint)
        patch = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
        self.kubectl("patch", "node", layout.NODE, "--subresource=status", "--type=merge", "-p", patch)
        self.kubectl("wait", "--for=condition=Ready", f"node/{layout.NODE}", "--timeout=60s")
        wait_for(lambda: _answers("http://127.0.0.1:8181/ready"), what="CoreDNS ready", timeout=MINUTE)
        self.laps("node is Ready")

    def _renewed(self) -> bool:
        """True once the node's lease is younger than the kubelet that runs now."""
        lease = [self.paths.bin / "kubectl", f"--kubeconfig={self.paths.kubeconfig}", "get", "lease", layout.NODE]
        lease += ["-n", "kube-node-lease", "-o", "jsonpath={.spec.renewTime}"]
        started = (self.processes.pids / "kubelet").stat().st_mtime
        if not succeeds(lease):
            return False
        renewed = run(lease, what="reading the node's lease")
        return bool(renewed) and datetime.fromisoformat(renewed).timestamp() >= started


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False
