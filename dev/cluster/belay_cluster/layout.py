"""The local cluster's addresses and ports, in one place, because certificates, routes and flags must agree on them.

The node's address is the bridge's own: every server binds there or on loopback, so nothing listens on the machine's
real network and certificates do not depend on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

BRIDGE = "belay0"
NODE = "belay"
NODE_IP = "10.244.0.1"
POD_CIDR = "10.244.0.0/24"
POD_RANGE_START = "10.244.0.10"
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"
"""ClusterIP of `kubernetes.default`, always the first of the range."""
NFT_TABLE = "belay"
CNI_NETWORK = "belay"
CNI_BIN = "/usr/lib/cni"
GPUS = 4
"""`nvidia.com/gpu` the node claims to have, so that requests for GPUs are scheduled; no device is handed out."""
VOLUMES = 8
"""Pre-made PersistentVolumes of StorageClass hostpath; `up` empties and offers released ones again."""


@dataclass(frozen=True, slots=True)
class Port:
    """One TCP port a server of ours binds."""

    process: str
    address: str
    number: int


PORTS = (
    Port("etcd", "127.0.0.1", 2379),
    Port("etcd", "127.0.0.1", 2380),
    Port("kube-apiserver", NODE_IP, 6443),
    Port("kube-controller-manager", "127.0.0.1", 10257),
    Port("kube-scheduler", "127.0.0.1", 10259),
    Port("kubelet", NODE_IP, 10250),
    Port("kubelet", "127.0.0.1", 10248),
    Port("kube-proxy", "127.0.0.1", 10249),
    Port("kube-proxy", "127.0.0.1", 10256),
    Port("coredns", NODE_IP, 53),
    Port("coredns", "127.0.0.1", 8181),
)
"""Checked before the first start: a port in use is the most common reason for a cluster that never gets ready."""
