"""A real TorchServe, started as the serving container starts it."""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.unit.handler.artifacts import write
from tests.unit.handler.image.onnx_files import onnx_bytes, torchscript_bytes

from belay_api import receipts
from belay_api.artifact import Manifest

KEY = receipts.namespace_key(secrets.token_bytes(32), "team-a")
START_S = 90.0  # far more than the 3 s it takes: the machine may be busy


@dataclass
class Pod:
    """The serving container's process and where it answers."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    metrics_port: int
    environment: dict[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/predictions/policy"

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10).text

    def wait_ready(self) -> "Pod":
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(self.url, timeout=2).status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready after {START_S} s:\n{self.log.read_text()}")

    def wait_listening(self) -> "Pod":
        """Wait for the port, whatever will answer there: the worker may fail before TorchServe has opened it."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
            except OSError:
                time.sleep(0.1)
            else:
                return self
        raise AssertionError(f"nobody listens after {START_S} s:\n{self.log.read_text()}")

    def queued(self) -> int:
        """Return how many requests wait for the worker, those in its hands not counted."""
        port = self.environment["BELAY_MANAGEMENT_PORT"]
        [policy] = httpx.get(f"http://127.0.0.1:{port}/models/policy", timeout=10).json()
        return policy["jobQueueStatus"]["pendingRequests"]

    def worker_pid(self) -> int:
        """Return the id of TorchServe's Python process, the only child of java."""
        found = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        (pid,) = {int(text) for path in found for text in path.read_text().split()}
        return pid


@contextmanager
def serving(folder: Path, manifest: Manifest, **environment: str) -> Iterator[Pod]:
    """Serve the artifact in `folder/artifact` until the block ends."""
    (folder / "key").write_bytes(KEY)
    ports = _free_ports()
    log = folder / "log"
    names = ("BELAY_SERVING_PORT", "BELAY_MANAGEMENT_PORT", "BELAY_FRONTEND_METRICS_PORT", "BELAY_METRICS_PORT")
    settings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "BELAY_POLICY": "cartpole-1",
        "BELAY_NAMESPACE": "team-a",
        "BELAY_ARTIFACT_DIGEST": manifest.digest(),
        "BELAY_ARTIFACT_DIR": str(folder / "artifact"),
        "BELAY_RECEIPT_KEY_FILE": str(folder / "key"),
        "BELAY_TOKEN_FILE": str(folder / "token"),
        "BELAY_SERVE_DIR": str(folder / "serve"),
        **{name: str(port) for name, port in zip(names, ports, strict=True)},
        **environment,
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "belay_handler.serve"], env=settings, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield Pod(process, log, ports[0], ports[3], settings)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder / "serve", ignore_errors=True)


def _free_ports() -> list[int]:
    """Return four ports that nobody uses, nor the two below that gRPC takes (see `config_properties`).

    From below the range that outgoing connections take theirs from: until the server binds them, seconds later, any of
    those could take one away.
    """
    for first in random.SystemRandom().sample(range(12_000, 32_000, 10), 100):
        with ExitStack() as stack:
            try:
                for port in (*range(first, first + 4), first - 1010, first - 1009):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return list(range(first, first + 4))
    raise AssertionError("no free ports")


@pytest.fixture(scope="session", params=["policy.onnx", "policy.pt"])
def pod(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """A ready server; once per network format."""
    folder = tmp_path_factory.mktemp("pod")
    content = {"policy.onnx": onnx_bytes, "policy.pt": torchscript_bytes}[request.param]()
    manifest = write(folder / "artifact", {request.param: content})
    with serving(folder, manifest, BELAY_RESPONSE_TIMEOUT_S="60") as started:  # the machine may be busy
        yield started.wait_ready()
