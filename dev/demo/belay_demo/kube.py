"""kubectl and helm as a person would use them: every act of the demo can be repeated by hand. tests/e2e use it too."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml


class Failed(Exception):
    """A command or a wait that did not end well; the message is for the person at the terminal."""


def run(*command: str, stdin: str | None = None) -> str:
    """Return what the command prints. Raises: Failed with its words when it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"$ {' '.join(command)}\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Namespace:
    """One namespace of the cluster that KUBECONFIG names."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl here."""
        return run("kubectl", "--namespace", self.name, *arguments, stdin=stdin)

    def apply(self, thing: Path | Mapping[str, Any]) -> None:
        """Apply a file's or an object's spec here, whatever namespace it names."""
        for manifest in yaml.safe_load_all(thing.read_text()) if isinstance(thing, Path) else [thing]:
            if manifest["kind"] == "Namespace":
                manifest["metadata"]["name"] = self.name
            else:
                manifest["metadata"]["namespace"] = self.name
            self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object, or an empty dict when it does not exist."""
        text = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else {}

    def status(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object's status, or an empty dict."""
        return self.get(kind, name).get("status", {})

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects a label selector finds; empty: all."""
        return json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        """Merge `change` into an object."""
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(change))

    def wait(self, what: str, ready: Callable[[], Any], *, timeout_s: float, every_s: float = 1.0) -> Any:
        """Return the first true answer of `ready`. Raises: Failed when none came in time."""
        until = time.monotonic() + timeout_s
        while True:
            if answer := ready():
                return answer
            if time.monotonic() > until:
                raise Failed(f"waited {timeout_s:.0f} s for {what}; see: kubectl -n {self.name} get rl,pods,events")
            time.sleep(every_s)


def condition(thing: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of an object, or an empty dict."""
    return next((c for c in thing.get("status", {}).get("conditions", []) if c["type"] == kind), {})
