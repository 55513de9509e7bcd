"""The operator as a process of its own: started, asked, killed."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[3]
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")  # however pytest ends
SMALL = "tests.api.engine.small_kind"  # the kind of these tests, instead of Belay's own


class Starter(Protocol):
    """Starts an operator; keyword arguments are environment variables."""

    def __call__(self, *, kubeconfig: Path | None = None, **env: str) -> "OperatorProcess": ...


class OperatorProcess:
    """`python -m belay_operator.main` for one namespace, its log in a file."""

    def __init__(
        self, kubeconfig: Path, namespace: str, folder: Path, *, number: int, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = folder / f"operator-{number}.log"
        self._port_line = ""
        given = {
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "api"), str(ROOT / "operator"), str(ROOT)]),
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "TMPDIR": str(folder),  # one that is killed leaves what it unpacked of the kubeconfig
            "BELAY_SYSTEM_NAMESPACE": "belay-system",
            "BELAY_WATCH_NAMESPACES": namespace,
            "BELAY_LEADER_ELECTION": "off",
            "BELAY_PORT": "0",
            "TEST_KIND_MODULES": SMALL,
            **(env or {}),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, sys.executable, "-m", "tests.api.engine.run_operator"],
                env=given,
                stderr=log,
                stdout=log,
                cwd=ROOT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def ready(self, *, timeout_s: float = 60.0) -> "OperatorProcess":
        """Return once /readyz says so."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            assert self.returncode is None, f"the operator ended:\n{self.text()}"
            if "complete after" in self.text() and self.ask("/readyz")[0] == 200:
                return self
            time.sleep(0.02)
        raise AssertionError(f"not ready within {timeout_s} s:\n{self.text()}")

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and text of the operator's own port."""
        port = self.text().split("health on port ")[1].split(",")[0]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = [line for line in self.ask("/metrics")[1].splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def terminate(self, *, timeout_s: float = 30.0) -> int:
        """SIGTERM, and the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def text(self) -> str:
        return self.log.read_text()
