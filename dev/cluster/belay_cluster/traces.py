"""What does the local cluster leave on this machine outside its own two folders?

`down` takes away what `ours` finds and then asks again: what is still there is told, never passed over. Nothing is
judged by its name alone where another Kubernetes would use the same one: a pod's link is ours because it hangs on our
bridge or because CNI noted it under our network's name, a process because it runs in one of our containers.

`machine` is the other view: everything of these kinds, whoever made it. Taken before `up` and after `down`, the two
lists are the same; that is what CI compares, so that a kind `ours` has forgotten shows as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from belay_cluster import layout
from belay_cluster.paths import Paths

CNI_RESULTS = (Path("/var/lib/cni/results"), Path("/var/lib/cni/cache/results"))
LINKS = Path("/sys/class/net")
LOG_LINKS = Path("/var/log/containers")
NETNS = Path("/run/netns")
CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
KUBE_PROXY = "kube-proxy"
FIXED = (
    "/run/containerd/s",
    "/run/containerd/runc/k8s.io",
    "/run/containerd/runc",
    "/run/containerd",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/var/lib/cni/results",
    "/var/lib/cni/cache/results",
    "/var/lib/cni/cache",
    "/var/lib/cni",
    "/var/log/containers",
    "/run/netns",
)
"""Folders that shims, kubelet and CNI make whatever they are told, inner ones first."""

RUNC = Path("/run/containerd/runc/k8s.io")
SOCKETS = (Path("/run/containerd/s"), Path("/var/lib/kubelet/device-plugins"))
"""Folders where shims and kubelet leave their sockets."""

_CONTAINER = re.compile(r"[0-9a-f]{64}")


def ours(paths: Paths) -> list[str]:
    """Everything of a cluster with these paths that is on the machine now, one line each, empty folders included.

    Only for a machine where `up` has been: pods' namespaces, kube-proxy's table and the kubelet's cgroups have the same
    names for any Kubernetes.
    """
    found = [f"link {name}" for name in links()]
    found += [f"namespace {name}" for name in namespaces()]
    found += [f"nft table {table}" for table in tables()]
    found += [f"mount {point}" for point in mounts((paths.state, paths.data))]
    found += [f"process {pid}" for pid in (*shims(paths), *contained(containers(paths)))]
    found += [f"cgroup {folder}" for folder in cgroups() if _abandoned(folder)]
    found += [f"folder {folder}" for folder in runc_states(paths)]
    found += [f"file {path}" for path in (*cni_results(), *log_links(paths))]
    found += [f"folder {folder}" for folder in map(Path, FIXED) if _empty(folder)]
    return found


def machine() -> list[str]:
    """Every link, namespace, table, mount, pod's cgroup and fixed folder there is, sorted; for before and after."""
    found = [f"link {path.name}" for path in _children(LINKS)]
    found += [f"namespace {path.name}" for path in _children(NETNS)]
    found += [f"nft {line}" for line in _lines("nft", "list", "tables")]
    found += [f"iptables {line}" for tool in ("iptables-save", "ip6tables-save") for line in _rules(tool)]
    found += [
        f"route {line.split()[1]} {line.split()[0]}" for line in (PROC / "net/route").read_text().splitlines()[1:]
    ]
    found += [f"mount {point}" for point in _mount_points()]
    found += [f"cgroup {folder}" for folder in cgroups()]
    found += [f"folder {folder}" for folder in FIXED if Path(folder).is_dir()]
    found += [f"file {path}" for folder in (*CNI_RESULTS, LOG_LINKS) for path in _children(folder)]
    return sorted(found)


def links() -> list[str]:
    """The bridge's ports, pods' links that hang on no bridge any more, and the bridge itself, in that order."""
    noted = {name for path in cni_results() for name in noted_links(path.read_text())}
    pods = [path.name for path in _children(LINKS) if _master(path) == layout.BRIDGE or path.name in noted]
    return [*pods, layout.BRIDGE] if (LINKS / layout.BRIDGE).exists() else pods


def noted_links(result: str) -> list[str]:
    """Names of the links on the machine's own side, out of a result that CNI keeps of a pod; none of a torn one."""
    try:
        interfaces = json.loads(result)["result"]["interfaces"]
    except (ValueError, KeyError, TypeError):
        return []
    return [one["name"] for one in interfaces if not one.get("sandbox") and str(one["name"]).startswith("veth")]


def cni_results() -> list[Path]:
    """What CNI keeps of our pods' networks."""
    patterns = (f"{layout.CNI_NETWORK}-*", "cni-loopback-*")
    return [path for folder in CNI_RESULTS for pattern in patterns for path in sorted(folder.glob(pattern))]


def log_links(paths: Paths) -> list[Path]:
    """Links the kubelet makes to the logs of containers, which lie in our folder."""
    return [path for path in _children(LOG_LINKS) if path.is_symlink() and path.readlink().is_relative_to(paths.data)]


def namespaces() -> list[str]:
    """Network namespaces of pods."""
    return [path.name for path in _children(NETNS) if path.name.startswith("cni-")]


def tables() -> list[str]:
    """nft tables, with their families."""
    words = [line.split()[1:] for line in _lines("nft", "list", "tables")]
    return [" ".join(table) for table in words if table[-1] in (KUBE_PROXY, layout.NFT_TABLE)]


def mounts(folders: tuple[Path, ...]) -> list[str]:
    """Mount points below the folders, deepest first."""
    return mounts_under(_mount_points(), folders)


def mounts_under(points: list[str], folders: tuple[Path, ...]) -> list[str]:
    """Those of the mount points that lie below the folders, deepest first."""
    below = [point for point in points if any(point.startswith(f"{folder}/") for folder in folders)]
    return sorted(below, key=len, reverse=True)


def mount_points(table: str) -> list[str]:
    """Mount points out of /proc/mounts, which writes spaces as numbers."""
    return [line.split()[1].encode().decode("unicode_escape") for line in table.splitlines()]


def cgroups() -> list[Path]:
    """The kubelet's cgroups in every hierarchy, inner ones first."""
    roots = (CGROUPS / "kubepods", *CGROUPS.glob("*/kubepods"))
    return [Path(folder) for root in roots for folder, _, _ in os.walk(root, topdown=False)]


def shims(paths: Paths) -> list[int]:
    """Shims: our executable, with our socket on its command line."""
    shim, socket = (paths.bin / "containerd-shim-runc-v2").resolve(), str(paths.socket).encode()
    return [pid for pid, folder in _processes() if _executable(folder) == shim and socket in _read(folder / "cmdline")]


def containers(paths: Paths) -> list[str]:
    """Ids of the containers whose bundles lie in our state folder."""
    return [path.name for path in (paths.state / "run" / "containerd").glob("io.containerd.runtime.v2.task/k8s.io/*")]


def runc_states(paths: Paths) -> list[Path]:
    """What runc keeps of our containers, and removes only when a living shim asks it to."""
    return [RUNC / one for one in containers(paths) if (RUNC / one).is_dir()]


def contained(ids: list[str]) -> list[int]:
    """Processes inside containers, which outlive a shim that was killed."""
    names = {one.encode() for one in ids if _CONTAINER.fullmatch(one)}
    return [pid for pid, folder in _processes() if names & set(re.split(rb"[/\s]", _read(folder / "cgroup")))]


def _abandoned(cgroup: Path) -> bool:
    """Whether nothing is in a cgroup: one with processes of somebody else's is theirs, and so are those around it."""
    return not any(path.is_dir() for path in cgroup.iterdir()) and not _read(cgroup / "cgroup.procs").strip()


def _empty(folder: Path) -> bool:
    """Whether a folder is there with nothing in it; one that is a mount point is somebody else's."""
    return folder.is_dir() and not folder.is_mount() and not _children(folder)


def _processes() -> Iterator[tuple[int, Path]]:
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            yield int(folder.name), folder


def _master(link: Path) -> str | None:
    """The bridge a link hangs on."""
    try:
        return (link / "master").readlink().name
    except OSError:
        return None


def _executable(process: Path) -> Path | None:
    try:
        return (process / "exe").readlink()
    except OSError:
        return None  # it has ended, or is a kernel thread


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # its process has ended


def _children(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _mount_points() -> list[str]:
    return mount_points((PROC / "mounts").read_text())


def _rules(tool: str) -> list[str]:
    """Rules and chains, without the counters and dates that differ from call to call."""
    return [re.sub(r" \[\d+:\d+\]", "", line) for line in _lines(tool) if not line.startswith("#")]


def _lines(*argv: str) -> list[str]:
    if shutil.which(argv[0]) is None:
        return []  # a machine that never had the program has nothing of it
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
