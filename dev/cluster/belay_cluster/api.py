"""API-only mode: etcd and kube-apiserver on free loopback ports, ready in seconds, several side by side.

For tests that need real schemas, CEL, watches and conflicts but no pod. `ApiServer` is the context manager for test
fixtures: its servers are killed by the kernel when the test process ends, however it ends. `start` and `stop` are the
same servers for the command line, where they outlive the driver.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from belay_cluster import pki, programs
from belay_cluster.paths import Paths, from_environment, strangers
from belay_cluster.process import Processes
from belay_cluster.shell import Problem, wait_for

READY = timedelta(seconds=60)
PARTS = {"controller-manager.kubeconfig", "etcd", "kubeconfig", "log", "pids", "pki", "ports"}
"""All there is in a server's folder."""
ATTEMPTS = 3
"""A free port may be taken by somebody else between choosing and binding it."""


@dataclass(frozen=True, slots=True)
class Api:
    """A running API server."""

    kubeconfig: Path
    server: str
    """URL."""
    etcd: str
    """URL of its etcd, for tests that compact or damage history."""
    folder: Path
    """Certificates, data, logs and process ids."""


def start(
    paths: Paths,
    folder: Path,
    *,
    controllers: bool = False,
    die_with_parent: bool = False,
    flags: Sequence[str] = (),
) -> Api:
    """Start etcd and API server, or find them running in `folder`.

    Args:
        controllers: Also run kube-controller-manager: garbage collection, Jobs' pods, default service accounts.
        die_with_parent: See `Processes.start`.
        flags: More flags for kube-apiserver.
    Raises: Problem when the programs are not built, or a server does not get ready.
    """
    if not (paths.bin / "kube-apiserver").exists():
        raise Problem("kube-apiserver is not built. Run `python -m belay_cluster build --only api`.")
    processes = Processes(folder / "pids", folder / "log")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _start(paths, folder, controllers=controllers, die_with_parent=die_with_parent, flags=tuple(flags))
        except Problem:
            tails = processes.log_tail("etcd", 50) + processes.log_tail("kube-apiserver", 50)
            stop(folder)
            if attempt == ATTEMPTS or "address already in use" not in tails:
                raise
    raise AssertionError("unreachable")


def stop(folder: Path, *, remove: bool = False) -> None:
    """End the servers of a folder.

    Args:
        remove: Also delete the folder.
    """
    processes = Processes(folder / "pids", folder / "log")
    processes.stop(["kube-controller-manager"], grace=timedelta(seconds=1))
    # An API server takes a minute to drain its watches; a test's has nothing to lose.
    processes.stop(["kube-apiserver"], grace=timedelta(0))
    processes.stop(["etcd"], grace=timedelta(seconds=2))
    if remove:
        shutil.rmtree(folder, ignore_errors=True)


def check(folder: Path) -> None:
    """Raise a Problem for a folder of somebody else's: `api-down` deletes it."""
    if others := strangers(folder, PARTS):
        raise Problem(f"{folder} holds {', '.join(others[:3])}: give each server a folder of its own.")


class ApiServer:
    """`with ApiServer() as api:` gives an `Api`; everything is gone afterwards, also when the process is killed."""

    def __init__(self, *, controllers: bool = False, flags: Sequence[str] = (), paths: Paths | None = None) -> None:
        self._controllers, self._flags = controllers, flags
        self._paths = paths

    def __enter__(self) -> Api:
        paths = self._paths or from_environment(os.environ)
        self._folder = Path(tempfile.mkdtemp(prefix="belay-api-"))
        try:
            return start(paths, self._folder, controllers=self._controllers, die_with_parent=True, flags=self._flags)
        except BaseException:
            stop(self._folder)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._folder, remove=True)


def _start(paths: Paths, folder: Path, *, controllers: bool, die_with_parent: bool, flags: tuple[str, ...]) -> Api:
    processes = Processes(folder / "pids", folder / "log")
    plane = _plane(paths, folder, controllers=controllers)
    pki.make(plane.pki, (pki.apiserver(plane.address), pki.ADMIN, pki.CONTROLLER_MANAGER))
    kubeconfig = folder / "kubeconfig"
    pki.write_private(kubeconfig, pki.kubeconfig(plane.pki, "admin", plane.server))
    wanted = [programs.etcd(plane), programs.kube_apiserver(plane, extra=flags)]
    for process in wanted:
        processes.start(process, die_with_parent=die_with_parent)

    def ready() -> bool:
        for process in wanted:
            if processes.pid(process.name) is None:
                raise Problem(f"{process.name} ended at once:\n{processes.log_tail(process.name)}")
        return answers(plane)

    wait_for(ready, what=f"{plane.server} ready", timeout=READY, hint=f"See {processes.logs}")
    if controllers:
        user = folder / "controller-manager.kubeconfig"
        pki.write_private(user, pki.kubeconfig(plane.pki, "controller-manager", plane.server))
        manager = programs.kube_controller_manager(paths.bin, plane.pki, user, port=0)
        processes.start(manager, die_with_parent=die_with_parent)
    return Api(kubeconfig, plane.server, plane.etcd_url, folder)


def _plane(paths: Paths, folder: Path, *, controllers: bool) -> programs.ControlPlane:
    """Ports of the servers that run in `folder`, else free ones."""
    saved = folder / "ports"
    alive = Processes(folder / "pids", folder / "log").pid("etcd") is not None
    ports = list(map(int, saved.read_text().split())) if saved.exists() and alive else free_ports(3)
    folder.mkdir(parents=True, exist_ok=True)
    saved.write_text(" ".join(map(str, ports)))
    port, etcd_port, peer_port = ports
    return programs.ControlPlane(
        bin=paths.bin,
        pki=folder / "pki",
        data=folder / "etcd",
        address="127.0.0.1",
        port=port,
        etcd_port=etcd_port,
        peer_port=peer_port,
        service_accounts=controllers,
    )


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on now; held open together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def answers(plane: programs.ControlPlane) -> bool:
    """True when /readyz says ok to the administrator."""
    context = ssl.create_default_context(cafile=str(plane.pki / "ca.crt"))
    context.load_cert_chain(plane.pki / "admin.crt", plane.pki / "admin.key")
    try:
        with urllib.request.urlopen(f"{plane.server}/readyz", timeout=2, context=context) as response:
            return bool(response.status == 200)
    except OSError:
        return False
