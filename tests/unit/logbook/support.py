"""A real logbook process on a loopback port, and receipts as a serving pod would sign them."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from belay_api.receipts import Receipt, namespace_key, sign

ROOT = Path(__file__).parents[3]
MASTER = bytes(range(32))
START_DEADLINE_S = 60


def receipt(
    episode: str,
    *,
    ago: float,
    namespace: str,
    version: str = "candidate",
    step: int = 0,
    rollout: str | None = None,
    user: int | None = None,
) -> str:
    """Return the receipt of a decision made `ago` seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    return sign(Receipt(namespace, version, episode, step, at, rollout, user=user), namespace_key(MASTER, namespace))


class Process:
    """`python3 -m belay_logbook` on a port of its own; every caller admitted unless `arguments` say otherwise."""

    def __init__(self, folder: Path, arguments: Sequence[str] = ("--insecure-local",)) -> None:
        self.folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "master").write_bytes(MASTER)

    def start(self, **environment: str) -> "Process":
        command = [sys.executable, "-m", "belay_logbook", "--data", str(self.folder / "data")]
        command += [
            "--listen",
            f"127.0.0.1:{self.port}",
            "--receipt-key",
            str(self.folder / "master"),
            *self._arguments,
        ]
        path = f"{ROOT / 'api'}:{ROOT / 'logbook'}"
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, **environment}
        self._process = subprocess.Popen(command, env=environment)
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                httpx.get(f"{self.url}/readyz").raise_for_status()
                return self
            except httpx.TransportError:
                assert self._process.poll() is None, f"the logbook ended with {self._process.returncode}"
                assert time.monotonic() < deadline, "the logbook does not become ready"
                time.sleep(0.05)

    def kill(self) -> None:
        """End it as a lost node would: no chance to say goodbye."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """End it as the kubelet does; return its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)

    def client(self, namespace: str | None = None, *, token: str | None = None) -> httpx.Client:
        """Return a client of a namespace's routes, or of all."""
        path = f"/v1/namespaces/{namespace}" if namespace else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url + path, headers=headers, timeout=40)


def new_namespace() -> str:
    """Return a namespace that no other test uses."""
    return f"ns-{secrets.token_hex(6)}"
