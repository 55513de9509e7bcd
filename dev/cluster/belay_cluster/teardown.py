"""Take the local cluster away: every process, container, mount, namespace, table, cgroup and setting.

Works on any half-started state. Only what is provably ours is ended: processes by id and start time, or by what
`traces` knows of them. At the end the machine is looked at once more, and what is still there is an error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from belay_cluster import network, traces
from belay_cluster.paths import STATE, Paths, strangers
from belay_cluster.process import Processes
from belay_cluster.runtime import Containerd
from belay_cluster.shell import Laps, Problem, succeeds

SERVERS = ("kube-apiserver", "containerd", "etcd")
PATIENCE = timedelta(seconds=10)
"""With what dies behind us: namespaces are taken apart by the kernel in its own time, slowly on a busy machine."""


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
    kill(lambda: [*traces.shims(paths), *traces.contained(traces.containers(paths))])
    laps("servers stopped")
    for point in traces.mounts((paths.state, paths.data)):
        succeeds(["umount", "-l", point])
    for point in traces.mounts((paths.cache,)):  # left by building images; one in use says no, and stays
        succeeds(["umount", point])
    if network.settings_before(paths).exists():
        network.restore(paths)
        clear(paths)
    shutil.rmtree(paths.state, ignore_errors=True)
    # Volumes go too: a new cluster must not find another one's files in its empty volumes.
    kept = () if wipe else ("containerd",)
    for path in paths.data.iterdir() if paths.data.is_dir() else ():
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
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


def kill(living: Callable[[], list[int]]) -> None:
    """Kill what is alive until nothing is: a process that is being killed may still start another."""
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while (pids := living()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def clear(paths: Paths) -> None:
    """Remove what is ours outside our folders, until nothing is.

    Raises: Problem that lists what stays; the state folder is still there then, and the next `down` tries again.
    """
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while True:
        network.clear()
        for cgroup in traces.cgroups():
            remove_empty(cgroup)
        for folder in traces.runc_states(paths):
            shutil.rmtree(folder, ignore_errors=True)
        for link in traces.log_links(paths):
            link.unlink(missing_ok=True)
        remove_fixed_folders()
        left = traces.ours(paths)
        if not left:
            return
        if time.monotonic() > deadline:
            lines = "\n".join(f"  - {one}" for one in left)
            raise Problem(f"the cluster is gone, but this machine is not as it was before:\n{lines}\nTry it once more.")
        time.sleep(0.2)


def remove_fixed_folders() -> None:
    """Remove what shims, kubelet and CNI leave where no flag moves it; sockets only where nobody answers on them."""
    for path in (path for folder in traces.SOCKETS for path in folder.glob("*")):
        if path.is_socket() and not listens(path):
            path.unlink()
    for folder in traces.FIXED:
        remove_empty(Path(folder))


def listens(path: Path) -> bool:
    """True when a process still answers on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def remove_empty(folder: Path) -> None:
    """rmdir that does not mind a folder in use or gone."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _lines(argv: list[str]) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()
