"""What this machine must offer before a local cluster can start, each with one sentence when it does not.

A missing kernel feature otherwise shows as a pod that never becomes ready, minutes later and five logs away.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from belay_cluster import layout
from belay_cluster.paths import STATE, Paths, strangers
from belay_cluster.shell import Problem, succeeds

TOOLS = ("runc", "nft", "ip", "openssl", "setpriv")
SOCKET_PATH_LIMIT = 60
"""Bytes the state folder may take of the 108 a Unix socket path may have; the longest one of ours adds about 40."""
DISK_FREE = 8 * 2**30
"""Bytes: Belay's images take about 5 GiB unpacked, and the kubelet evicts pods below 1 GiB."""

Socket = tuple[str, int]


def check(paths: Paths) -> None:
    """Raise one Problem that lists everything missing; nothing is changed on the machine."""
    found = [*tools(), *kernel(paths), *space(paths), *ports(), *routes()]
    if found:
        raise Problem("this machine cannot run the local cluster yet:\n" + "\n".join(f"  - {one}" for one in found))


def privileges() -> None:
    """Raise a Problem without root; asked first, because building takes minutes."""
    if os.geteuid() != 0:
        raise Problem(
            "the local cluster needs root: it makes a bridge, mounts and namespaces. Use sudo, or start Docker for a "
            "kind cluster, or name a cluster you already have (KUBECONFIG and REGISTRY)."
        )


def tools() -> list[str]:
    """Programs that are not installed."""
    plugins = [Path(layout.CNI_BIN, name) for name in ("bridge", "host-local", "loopback")]
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    missing += [str(plugin) for plugin in plugins if not plugin.exists()]
    if not missing:
        return []
    return [f"not installed: {', '.join(missing)}. `python -m belay_cluster build` installs them on Debian."]


def kernel(paths: Paths) -> list[str]:
    """Kernel features tried out, not guessed from a version."""
    problems = []
    if not Path("/proc/sys/net/bridge").exists() and not succeeds(["modprobe", "br_netfilter"]):
        problems.append("no br_netfilter: Services would not reach pods on the same node. Load that kernel module.")
    if not succeeds(["nft", "list", "tables"]):
        problems.append("nft does not work: kube-proxy needs nf_tables and CAP_NET_ADMIN.")
    if not succeeds(["unshare", "--net", "--mount", "--pid", "--fork", "true"]):
        problems.append("no new namespaces: pods need CAP_SYS_ADMIN. In a container, run it privileged.")
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        problems.append("/proc/sys is not writable: pods need ip_forward. In a container, run it privileged.")
    if not overlay_works(paths.data):
        problems.append(
            f"overlay mounts do not work under {paths.data}: put BELAY_CACHE on ext4 or xfs, not on another overlay."
        )
    roots = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")]
    if not any((root / "cgroup.procs").exists() and os.access(root, os.W_OK) for root in roots):
        problems.append("/sys/fs/cgroup is not writable: the kubelet cannot limit pods.")
    return problems


def overlay_works(folder: Path) -> bool:
    """Mount an overlay under `folder` in a mount namespace of its own, which takes it away again."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="overlay-") as name:
        for part in ("lower", "upper", "work", "merged"):
            Path(name, part).mkdir()
        options = f"lowerdir={name}/lower,upperdir={name}/upper,workdir={name}/work"
        return succeeds(["unshare", "--mount", "mount", "-t", "overlay", "-o", options, "overlay", f"{name}/merged"])


def space(paths: Paths) -> list[str]:
    """Disk space, and a state folder short enough for sockets."""
    problems = []
    free = shutil.disk_usage(paths.data).free
    if free < DISK_FREE:
        wanted = DISK_FREE / 2**30
        problems.append(
            f"{paths.data} has {free / 2**30:.1f} GiB free, {wanted:.0f} are needed. Set BELAY_CACHE elsewhere."
        )
    if others := strangers(paths.state, STATE):
        problems.append(
            f"{paths.state} holds {', '.join(others[:3])}, and `down` would delete it. Set BELAY_STATE to a folder of "
            "its own."
        )
    if len(str(paths.state)) > SOCKET_PATH_LIMIT:
        problems.append(f"{paths.state} is too long for Unix sockets. Set BELAY_STATE to a short path.")
    return problems


def ports() -> list[str]:
    """Ports of ours that somebody else listens on."""
    text = "".join(
        Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6") if Path(f"/proc/net/{name}").exists()
    )
    return [
        f"port {port.number} of {port.address}, which {port.process} needs, is in use. `ss -ltnp` names the program."
        for port in conflicts(listening(text), layout.PORTS)
    ]


def listening(table: str) -> set[Socket]:
    """Addresses and ports in state LISTEN of /proc/net/tcp and tcp6; an IPv6 wildcard counts as 0.0.0.0."""
    found = set()
    for line in table.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[3] != "0A":
            continue
        address, port = fields[1].split(":")
        if len(address) == 8:
            readable = str(ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(address), "little")))
        elif set(address) == {"0"}:
            readable = "0.0.0.0"
        else:
            continue
        found.add((readable, int(port, 16)))
    return found


def conflicts(sockets: set[Socket], wanted: Iterable[layout.Port]) -> list[layout.Port]:
    """Wanted ports that are taken, on their own address or on all of them."""
    return [port for port in wanted if {(port.address, port.number), ("0.0.0.0", port.number)} & sockets]


def routes() -> list[str]:
    """Networks of this machine that the cluster's ranges would cover."""
    done = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True, check=False)
    return overlaps(json.loads(done.stdout or "[]"))


def overlaps(table: list[dict[str, object]]) -> list[str]:
    """Routes, as `ip -json route` prints them, that overlap the pod or Service range and are not our bridge's."""
    problems = []
    for cidr in (layout.POD_CIDR, layout.SERVICE_CIDR):
        ours = ipaddress.ip_network(cidr)
        for route in table:
            target = str(route.get("dst", "default"))
            if target == "default" or route.get("dev") == layout.BRIDGE:
                continue
            if ours.overlaps(ipaddress.ip_network(target, strict=False)):
                problems.append(f"{cidr} is taken: this machine routes {target} to {route.get('dev')}.")
    return problems
