"""Command lines of every server, as data. Pure, so that a flag is tested without starting anything.

etcd runs without fsync: a developer's cluster may lose a second of state in a power cut, and starts twice as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from belay_cluster import layout
from belay_cluster.paths import Paths
from belay_cluster.process import Process


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What an etcd and API server pair needs to know; the local cluster and API-only mode differ only in this."""

    bin: Path
    pki: Path
    data: Path
    """etcd's folder."""
    address: str
    port: int
    etcd_port: int
    peer_port: int
    service_accounts: bool = True
    """False: pods may be created although no controller ever makes the `default` service account."""

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.address}:{self.port}"

    @property
    def etcd_url(self) -> str:
        """URL of etcd for clients, always on loopback."""
        return f"http://127.0.0.1:{self.etcd_port}"


def local_control_plane(paths: Paths) -> ControlPlane:
    """Control plane of the local cluster: on the bridge, at the usual ports."""
    return ControlPlane(paths.bin, paths.state / "pki", paths.state / "etcd", layout.NODE_IP, 6443, 2379, 2380)


def etcd(plane: ControlPlane) -> Process:
    """etcd on loopback, compacted often: storms of test objects must not fill a tmpfs."""
    peer = f"http://127.0.0.1:{plane.peer_port}"
    flags = {
        "name": "belay",
        "data-dir": plane.data,
        "listen-client-urls": plane.etcd_url,
        "advertise-client-urls": plane.etcd_url,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"belay={peer}",
        "log-level": "warn",
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": "1000",
    }
    return Process("etcd", (str(plane.bin / "etcd"), *_flags(flags), "--unsafe-no-fsync"))


def kube_apiserver(plane: ControlPlane, *, extra: tuple[str, ...] = ()) -> Process:
    """API server with Node and RBAC authorization and an aggregation CA, as kubeadm would set it up."""
    pki = plane.pki
    flags = {
        "etcd-servers": plane.etcd_url,
        "bind-address": plane.address,
        "advertise-address": plane.address,
        "secure-port": plane.port,
        "service-cluster-ip-range": layout.SERVICE_CIDR,
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki / "sa.pub",
        "service-account-signing-key-file": pki / "sa.key",
        "client-ca-file": pki / "ca.crt",
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "event-ttl": "1h",
        "profiling": "false",
    }
    if not plane.service_accounts:
        flags["disable-admission-plugins"] = "ServiceAccount"
    if plane.address == "127.0.0.1":
        # A loopback address may not become the endpoint of `kubernetes.default`; there is no pod to use it anyway.
        flags["endpoint-reconciler-type"] = "none"
    return Process("kube-apiserver", (str(plane.bin / "kube-apiserver"), *_flags(flags), *extra))


def node_flags(pki: Path) -> tuple[str, ...]:
    """What an API server needs on top to reach a kubelet and aggregated APIs."""
    flags = {
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-client-certificate": pki / "admin.crt",
        "kubelet-client-key": pki / "admin.key",
        "kubelet-preferred-address-types": "InternalIP",
        "requestheader-client-ca-file": pki / "ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": pki / "front-proxy.crt",
        "proxy-client-key-file": pki / "front-proxy.key",
    }
    return _flags(flags)


def kube_controller_manager(binaries: Path, pki: Path, kubeconfig: Path, *, port: int = 10257) -> Process:
    """Controllers: garbage collection, Jobs, Deployments, endpoints, service accounts.

    Args:
        port: Health and metrics port; 0 serves none, for several side by side.
    """
    flags = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": pki / "sa.key",
        "root-ca-file": pki / "ca.crt",
        "cluster-signing-cert-file": pki / "ca.crt",
        "cluster-signing-key-file": pki / "ca.key",
        "allocate-node-cidrs": "false",
        "profiling": "false",
        "node-monitor-grace-period": "40s",
        # At the default 20 requests per second, deleting a few hundred test pods takes minutes.
        "kube-api-qps": 200,
        "kube-api-burst": 400,
    }
    return Process("kube-controller-manager", (str(binaries / "kube-controller-manager"), *_flags(flags)))


def node_programs(paths: Paths) -> tuple[Process, ...]:
    """Everything that runs once the API server answers and containerd holds the images."""
    cfg, binaries = paths.state / "cfg", paths.bin
    scheduler = {
        "kubeconfig": cfg / "scheduler.kubeconfig",
        "authentication-kubeconfig": cfg / "scheduler.kubeconfig",
        "authorization-kubeconfig": cfg / "scheduler.kubeconfig",
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
        "profiling": "false",
        "kube-api-qps": 200,
        "kube-api-burst": 400,
    }
    kubelet = {
        "config": cfg / "kubelet.json",
        "kubeconfig": cfg / "kubelet.kubeconfig",
        "hostname-override": layout.NODE,
        "node-ip": layout.NODE_IP,
        "root-dir": paths.data / "kubelet",
        "cert-dir": paths.data / "kubelet" / "pki",
    }
    return (
        kube_controller_manager(binaries, paths.state / "pki", cfg / "controller-manager.kubeconfig"),
        Process("kube-scheduler", (str(binaries / "kube-scheduler"), *_flags(scheduler))),
        Process("kubelet", (str(binaries / "kubelet"), *_flags(kubelet))),
        Process("kube-proxy", (str(binaries / "kube-proxy"), f"--config={cfg / 'kube-proxy.json'}")),
        Process("coredns", (str(binaries / "coredns"), "-conf", str(cfg / "Corefile"))),
    )


def containerd(paths: Paths, *, search_path: str) -> Process:
    """containerd; it looks for its shim in PATH."""
    config = str(paths.state / "cfg" / "containerd.toml")
    environment = {"PATH": f"{paths.bin}:{search_path}"}
    return Process("containerd", (str(paths.bin / "containerd"), "-c", config, "-l", "warn"), environment)


def _flags(values: dict[str, object]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in values.items())
