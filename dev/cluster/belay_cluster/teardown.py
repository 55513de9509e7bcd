"""Take the local cluster away: every process, container, mount, namespace, table, cgroup and setting.

Works on any half-started state. Only what is provably ours is ended: processes by id and start time, shims by their
executable and our socket, mounts by path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from datetime import timedelta
from pathlib import Path

from belay_cluster import network
from belay_cluster.paths import STATE, Paths, strangers
from belay_cluster.process import Processes
from belay_cluster.runtime import Containerd
from belay_cluster.shell import Laps, Problem, succeeds

SERVERS = ("kube-apiserver", "containerd", "etcd")
CGROUPS = Path("/sys/fs/cgroup")


def down(paths: Paths, laps: Laps, *, wipe: bool) -> None:
    """Leave the machine as it was before `up`.

    Args:
        wipe: Also delete what is kept for a fast next start: containerd's content.
    Raises: Problem before anything is done when the state folder holds what `up` never puts there.
    """
    if others := strangers(paths.state, STATE):
        raise Problem(
            f"{paths.state} holds {', '.join(others[:3])}, so it is not deleted, and nothing else is done: set "
            "BELAY_STATE as for `up`, or take that away."
        )
    processes = Processes(paths.state / "pids", paths.state / "log")
    # First whoever could start or restart a pod; then the pods; then what they were started with.
    loops = [name for name in processes.names() if name not in SERVERS]
    processes.stop(loops, grace=timedelta(seconds=3))
    laps("control loops stopped")
    if processes.pid("containerd") is not None:
        remove_containers(Containerd(paths))
        laps("containers removed")
    processes.stop(SERVERS[:2], grace=timedelta(seconds=2))
    processes.stop(SERVERS[2:], grace=timedelta(seconds=3))
    kill_shims(paths)
    laps("servers stopped")
    unmount((paths.state, paths.data))
    network.down(paths)
    remove_cgroups()
    shutil.rmtree(paths.state, ignore_errors=True)
    # Volumes go too: a new cluster must not find another one's files in its empty volumes.
    kept = () if wipe else ("containerd",)
    for path in paths.data.iterdir() if paths.data.is_dir() else ():
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
    remove_fixed_folders()
    laps("machine is clean" + (", stored content wiped" if wipe else ""))


def remove_containers(containerd: Containerd) -> None:
    """Kill and delete every container through containerd, which ends the shims too."""
    ctr = containerd.command
    for _ in range(5):
        tasks = _lines([*ctr, "tasks", "ls", "-q"])
        if not tasks:
            break
        for task in tasks:
            succeeds([*ctr, "tasks", "kill", "-a", "-s", "KILL", task])
        time.sleep(0.2)
        succeeds([*ctr, "tasks", "rm", "-f", *tasks])
    if containers := _lines([*ctr, "containers", "ls", "-q"]):
        succeeds([*ctr, "containers", "rm", *containers])
    # Unlike the others, this list has a heading and no -q.
    if sandboxes := [line.split()[0] for line in _lines([*ctr, "sandboxes", "ls"])[1:]]:
        succeeds([*ctr, "sandboxes", "rm", "--force", *sandboxes])


def kill_shims(paths: Paths) -> None:
    """Kill shims containerd lost: our executable, with our socket on its command line."""
    shim, socket = (paths.bin / "containerd-shim-runc-v2").resolve(), str(paths.socket).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "exe").readlink() == shim and socket in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue  # it has ended, or is a kernel thread without an executable


def remove_fixed_folders() -> None:
    """Remove what shims and kubelet leave in places no flag changes, unless another containerd's sockets are there."""
    for path in (*Path("/run/containerd/s").glob("*"), Path("/var/lib/kubelet/device-plugins/kubelet.sock")):
        if path.is_socket() and not listens(path):
            path.unlink()
    for folder in ("/run/containerd/s", "/run/containerd/runc/k8s.io", "/run/containerd/runc", "/run/containerd"):
        remove_empty(Path(folder))
    remove_empty(Path("/var/lib/kubelet/device-plugins"))
    remove_empty(Path("/var/lib/kubelet"))


def listens(path: Path) -> bool:
    """True when a process still answers on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def mounts_under(table: str, folders: tuple[Path, ...]) -> list[str]:
    """Mount points below the folders out of /proc/mounts, deepest first."""
    points = [line.split()[1].encode().decode("unicode_escape") for line in table.splitlines()]
    ours = [point for point in points if any(point.startswith(f"{folder}/") for folder in folders)]
    return sorted(ours, key=len, reverse=True)


def unmount(folders: tuple[Path, ...]) -> None:
    """Unmount everything below the folders."""
    for point in mounts_under(Path("/proc/mounts").read_text(), folders):
        succeeds(["umount", "-l", point])


def remove_cgroups() -> None:
    """Remove the kubelet's cgroups in every hierarchy; a cgroup is removed by rmdir, its files are not files."""
    for root in (CGROUPS / "kubepods", *CGROUPS.glob("*/kubepods")):
        for folder, _, _ in os.walk(root, topdown=False):
            remove_empty(Path(folder))


def remove_empty(folder: Path) -> None:
    """rmdir that does not mind a folder in use or gone."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _lines(argv: list[str]) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()
