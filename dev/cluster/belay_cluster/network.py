"""The cluster's network on this machine: a bridge, a route, one nft table, a few kernel settings; and back again.

The Service range is routed into the bridge, so that a packet to a ClusterIP without a kube-proxy rule dies there
instead of leaving by the default route.
"""

from __future__ import annotations

from pathlib import Path

from belay_cluster import config, layout, traces
from belay_cluster.paths import Paths
from belay_cluster.shell import run, succeeds

# kubelet and kube-proxy change the later ones; all are put back by `down`.
SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/bridge/bridge-nf-call-iptables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
)
SYS = Path("/proc/sys")


def settings_before(paths: Paths) -> Path:
    """The kernel settings as `up` found them; there is no such file where `up` has never been."""
    return paths.state / "sysctl.before"


def up(paths: Paths) -> None:
    """Make bridge, route and nft table; remember the kernel settings first."""
    saved = settings_before(paths)
    if not saved.exists():
        known = [(name, SYS / name) for name in SYSCTLS if (SYS / name).exists()]
        saved.write_text("".join(f"{name} {path.read_text().strip()}\n" for name, path in known))
    for name in SYSCTLS[:2]:
        if (SYS / name).read_text().strip() != "1":
            (SYS / name).write_text("1")
    if not succeeds(["ip", "link", "show", layout.BRIDGE]):
        run(["ip", "link", "add", layout.BRIDGE, "type", "bridge"], what="bridge")
    # Not only for a new one: an `up` that was interrupted may have left a bridge without them.
    run(["ip", "addr", "replace", f"{layout.NODE_IP}/24", "dev", layout.BRIDGE], what="address of the bridge")
    run(["ip", "link", "set", layout.BRIDGE, "up"], what="bridge")
    run(["ip", "route", "replace", layout.SERVICE_CIDR, "dev", layout.BRIDGE], what="route for Services")
    run(["nft", "-f", "-"], stdin=config.nftables(), what="nft table")


def clear() -> None:
    """Remove pods' links and namespaces, what CNI keeps of them, nft tables and the bridge.

    Only where `up` has been: pods' namespaces and kube-proxy's table have the same names for any Kubernetes.
    """
    # Links by name, not left to the end of their namespaces: one lives on as long as anything is in it.
    for link in traces.links():
        succeeds(["ip", "link", "delete", link])
    for namespace in traces.namespaces():
        succeeds(["ip", "netns", "delete", namespace])
    for table in traces.tables():
        succeeds(["nft", "delete", "table", *table.split()])
    for path in traces.cni_results():
        path.unlink(missing_ok=True)


def restore(paths: Paths) -> None:
    """Give the kernel settings back the values they had before `up`."""
    saved = settings_before(paths)
    for name, value in (line.split(" ", 1) for line in saved.read_text().splitlines()):
        if (SYS / name).exists() and (SYS / name).read_text().strip() != value:
            (SYS / name).write_text(value)
