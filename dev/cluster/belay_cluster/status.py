"""What runs, from what, and how much disk it takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from belay_cluster.builder import recorded
from belay_cluster.images import table
from belay_cluster.local import LocalCluster
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, succeeds


def report(paths: Paths) -> str:
    """A text for people."""
    cluster = LocalCluster(paths, Laps())
    lines = ["processes:"]
    for name in cluster.processes.names():
        pid = cluster.processes.pid(name)
        lines.append(f"  {name:<24}{f'{pid:>8}  {memory(pid):>5} MiB' if pid else '    dead, see its log'}")
    if len(lines) == 1:
        lines.append("  none: the local cluster is down")
    kubectl = [str(paths.bin / "kubectl"), f"--kubeconfig={paths.kubeconfig}"]
    if succeeds([*kubectl, "get", "--raw", "/readyz"]):
        lines += ["", _output([*kubectl, "get", "nodes,gatewayclasses,pv", "-o", "wide"])]
        lines.append(f"export KUBECONFIG={paths.kubeconfig}")
    lines += ["", "images:", *(f"  {line}" for line in table(recorded(paths)).splitlines())]
    sizes = _output(["du", "-sh", *map(str, sorted(paths.cache.iterdir()))]) if paths.cache.exists() else ""
    return "\n".join([*lines, "", "disk:", *(f"  {line}" for line in sizes.splitlines())])


def memory(pid: int) -> int:
    """Resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0


def _output(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
