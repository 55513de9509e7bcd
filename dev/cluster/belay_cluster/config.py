"""Configuration files of the local cluster, as text. Pure: paths and the layout in, file contents out.

Every line here that is not a default is there because something failed without it; `../README.md` lists the traps.
"""

from __future__ import annotations

import json

from belay_cluster import layout
from belay_cluster.paths import Paths

# Snapshotters need kernel modules or tools a bare machine lacks; each would log an error at every start.
DISABLED_PLUGINS = (
    "io.containerd.nri.v1.nri",
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.erofs",
)


def containerd(paths: Paths, *, runc: str, pause: str) -> str:
    """containerd.toml. `restrict_oom_score_adj`: root without CAP_SYS_RESOURCE may not lower an oom score."""
    images, runtime = "plugins.'io.containerd.cri.v1.images'", "plugins.'io.containerd.cri.v1.runtime'"
    return f"""\
version = 3
root = "{paths.data / "containerd"}"
state = "{paths.state / "run" / "containerd"}"
disabled_plugins = {json.dumps(DISABLED_PLUGINS)}
[grpc]
  address = "{paths.socket}"
[{images}]
  snapshotter = "overlayfs"
  [{images}.pinned_images]
    sandbox = "{pause}"
[{runtime}]
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  restrict_oom_score_adj = true
  [{runtime}.cni]
    bin_dirs = ["{layout.CNI_BIN}"]
    conf_dir = "{paths.state / "cfg" / "cni"}"
  [{runtime}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [{runtime}.containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      SystemdCgroup = false
"""


def cni(paths: Paths) -> str:
    """CNI list with the bridge alone: no portmap, no masquerade, so iptables is never touched."""
    ranges = [[{"subnet": layout.POD_CIDR, "rangeStart": layout.POD_RANGE_START}]]
    ipam = {"type": "host-local", "dataDir": str(paths.state / "ipam"), "ranges": ranges}
    bridge = {
        "type": "bridge",
        "bridge": layout.BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {**ipam, "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return json.dumps({"cniVersion": "1.0.0", "name": layout.CNI_NETWORK, "plugins": [bridge]}, indent=1)


def kubelet(paths: Paths) -> str:
    """KubeletConfiguration, as JSON."""
    pki, data = paths.state / "pki", paths.data
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "containerRuntimeEndpoint": f"unix://{paths.socket}",
        "address": layout.NODE_IP,
        "port": 10250,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "authentication": {
            "x509": {"clientCAFile": str(pki / "ca.crt")},
            "webhook": {"enabled": True},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [layout.NODE_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": str(paths.state / "cfg" / "resolv.conf"),
        "podCIDR": layout.POD_CIDR,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "serializeImagePulls": False,
        "maxPods": 110,
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        # Images here come from no registry: once collected they could not be pulled again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "volumePluginDir": str(data / "kubelet" / "volumeplugins"),
        "podLogsDir": str(data / "podlogs"),
    }
    return json.dumps(document, indent=1)


def kube_proxy(paths: Paths) -> str:
    """KubeProxyConfiguration, as JSON; conntrack zeros keep it from changing kernel settings it need not."""
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(paths.state / "cfg" / "kube-proxy.kubeconfig")},
        "clusterCIDR": layout.POD_CIDR,
        "hostnameOverride": layout.NODE,
        "bindAddress": layout.NODE_IP,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }
    return json.dumps(document, indent=1)


def corefile(paths: Paths) -> str:
    """CoreDNS as a host process on the bridge: no image, no pod, no Service to wait for."""
    cfg = paths.state / "cfg"
    return f"""\
.:53 {{
  bind {layout.NODE_IP}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {cfg / "coredns.kubeconfig"} belay
    pods insecure
    ttl 5
  }}
  forward . {cfg / "resolv.conf"}
  cache 5
}}
"""


def nftables() -> str:
    """One table with one rule: what leaves the bridge takes the machine's address. Declared anew, so idempotent."""
    pods, table = layout.POD_CIDR, layout.NFT_TABLE
    return f"""\
table ip {table}
delete table ip {table}
table ip {table} {{
  chain post {{ type nat hook postrouting priority 100; policy accept;
    ip saddr {pods} ip daddr != {pods} oifname != "{layout.BRIDGE}" masquerade
  }}
}}
"""


def volumes(paths: Paths) -> str:
    """Default StorageClass and its PersistentVolumes, as a JSON list.

    Retain, because the in-tree recycler deletes a hostPath only under /tmp.
    """
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "hostpath",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    items = [storage_class, *(volume(paths, index) for index in range(layout.VOLUMES))]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def volume(paths: Paths, index: int) -> dict[str, object]:
    """One PersistentVolume on a folder of the cache."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pv{index}"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "storageClassName": "hostpath",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(paths.data / "pv" / f"pv{index}"), "type": "Directory"},
        },
    }
