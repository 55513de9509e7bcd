"""kubectl and helm as a person would use them: every act of the demo can be repeated by hand."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

NAMESPACE = "belay-demo"
SYSTEM = "belay-system"


class Failed(Exception):
    """A command or a wait that did not end well; the message is for the person at the terminal."""


def run(*command: str, stdin: str | None = None) -> str:
    """Return what the command prints. Raises: Failed with its words when it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"$ {' '.join(command)}\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl in the demo's namespace."""
    return run("kubectl", "--namespace", NAMESPACE, *arguments, stdin=stdin)


def apply(manifest: Path | Mapping[str, Any]) -> None:
    """Apply a file or an object."""
    if isinstance(manifest, Path):
        kubectl("apply", "-f", str(manifest))
    else:
        kubectl("apply", "-f", "-", stdin=json.dumps(manifest))


def get(kind: str, name: str, *, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return an object, or an empty dict when it does not exist."""
    text = run("kubectl", "--namespace", namespace, "get", kind, name, "--ignore-not-found", "-o", "json")
    return json.loads(text) if text.strip() else {}


def items(kind: str, selector: str, *, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """Return the objects a label selector finds."""
    return json.loads(run("kubectl", "--namespace", namespace, "get", kind, "-l", selector, "-o", "json"))["items"]


def wait(what: str, ready: Callable[[], Any], *, timeout_s: float, every_s: float = 1.0) -> Any:
    """Return the first true answer of `ready`. Raises: Failed when none came in time."""
    until = time.monotonic() + timeout_s
    while True:
        if answer := ready():
            return answer
        if time.monotonic() > until:
            raise Failed(f"waited {timeout_s:.0f} s for {what}; see: kubectl -n {NAMESPACE} get rl,pods,events")
        time.sleep(every_s)


def condition(thing: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of an object, or an empty dict."""
    return next((c for c in thing.get("status", {}).get("conditions", []) if c["type"] == kind), {})
