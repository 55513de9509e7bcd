"""kubectl for tests: what a user would type, answers as dicts."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from belay_cluster.paths import from_environment

CRDS = Path(__file__).parents[3] / "crds"
T = TypeVar("T")


class Kube:
    """kubectl against one API server, in one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self._program = str(from_environment(os.environ).bin / "kubectl")

    def run(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl and return what it prints."""
        command = [self._program, "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Apply as a user would."""
        self.run("apply", "-f", "-", stdin=json.dumps(manifest))

    def install(self) -> None:
        """Install Belay's CRDs, and the namespace that the operator's own things lie in."""
        for path in sorted(CRDS.glob("*.yaml")):
            self.run("apply", "--server-side", "-f", str(path))
        self.established()
        self.run("create", "namespace", "belay-system")

    def established(self) -> None:
        """Return once every CRD is served. Not `kubectl wait`: that fails on a CRD too young to have conditions."""

        def served() -> bool:
            crds = json.loads(self.run("get", "crd", "-o", "json"))["items"]
            return all(
                any(
                    c["type"] == "Established" and c["status"] == "True"
                    for c in (crd.get("status") or {}).get("conditions") or ()
                )
                for crd in crds
            )

        eventually(served, what="every CRD is established", timeout_s=30)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return the object, or None."""
        text = self.run("get", kind, name, "-o", "json", "--ignore-not-found")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all objects of the kind in this namespace."""
        items: list[dict[str, Any]] = json.loads(self.run("get", kind, "-o", "json"))["items"]
        return items

    def patch_status(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        """Write a status as the data plane would."""
        self.run("patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def eventually(ask: Callable[[], T], *, what: str, timeout_s: float = 60.0) -> T:
    """Return the first true answer of `ask`, or fail after `timeout_s` with what it said last."""
    end = time.monotonic() + timeout_s
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}; last answer: {answer!r}"
        time.sleep(0.05)
