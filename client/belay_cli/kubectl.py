"""Everything asked of the cluster, through kubectl: with the person's own contexts, credentials and rights."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from belay_api.names import LOGBOOK_PORT, TOKEN_AUDIENCE, TOKEN_FILE
from belay_cli.errors import Failed, Missing

FORWARD_S = 15.0  # until a port-forward stands
SERVICE = "belay-logbook"
_ROLLOUTS = "rlrollouts"
_FORWARDING = re.compile(r"Forwarding from (127\.0\.0\.1:\d+)")


class Kubectl:
    """kubectl on one context."""

    def __init__(self, *, context: str | None = None, kubeconfig: str | None = None) -> None:
        """Set up; None: as kubectl would have it."""
        options = {"--context": context, "--kubeconfig": kubeconfig}
        self._command = ["kubectl", *(part for name, value in options.items() if value for part in (name, value))]

    def namespace(self) -> str:
        """Return the context's namespace."""
        return self._run("config", "view", "--minify", "-o", "jsonpath={..namespace}").strip() or "default"

    def training(self, namespace: str, name: str) -> dict[str, Any]:
        """Return an RLTrainingJob. Raises: Failed, in kubectl's words."""
        text = self._run("get", "rltrainingjobs.belay.dev", name, "--namespace", namespace, "-o", "json")
        found: dict[str, Any] = json.loads(text)
        return found

    def rollout(self, namespace: str, name: str) -> dict[str, Any]:
        """Return an RLRollout. Raises: Missing where there is none; Failed, else in kubectl's words."""
        try:
            text = self._run("get", f"{_ROLLOUTS}.belay.dev", name, "--namespace", namespace, "-o", "json")
        except Failed as error:
            words = str(error)
            if "(NotFound)" in words:
                raise Missing(
                    f"there is no RLRollout {name} in the namespace {namespace}: `kubectl get {_ROLLOUTS} -A` lists all"
                ) from error
            if "doesn't have a resource type" in words:
                raise Missing(
                    "this cluster has no RLRollouts, because Belay is not installed in it: install it, or name another "
                    "cluster with --context"
                ) from error
            if "(Forbidden)" in words:
                raise Missing(f"{words}: somebody has to give you `get` on {_ROLLOUTS}.belay.dev there") from error
            raise
        found: dict[str, Any] = json.loads(text)
        return found

    def token(self, namespace: str) -> str:
        """Return a token that the logbook takes for this namespace: in a pod its own, elsewhere a new one."""
        try:
            return Path(TOKEN_FILE).read_text().strip()
        except OSError:
            pass
        return self._run("create", "token", "default", "--namespace", namespace, "--audience", TOKEN_AUDIENCE).strip()

    @contextmanager
    def logbook(self, system_namespace: str) -> Iterator[str]:
        """Yield a local address of the logbook, which holds until the end. Raises: Failed."""
        command = [*self._command, "port-forward", "--namespace", system_namespace, f"service/{SERVICE}"]
        with self._start([*command, "--address", "127.0.0.1", f":{LOGBOOK_PORT}"]) as process:
            try:
                yield f"http://{_address(process)}"
            finally:
                process.kill()

    def _run(self, *arguments: str) -> str:
        process = self._start([*self._command, *arguments])
        output, errors = process.communicate()
        if process.returncode != 0:
            # Before its last word kubectl logs each try to reach an API server that does not answer.
            raise Failed(
                errors.strip().rpartition("\n")[2] or f"kubectl {arguments[0]} ended with {process.returncode}"
            )
        return output

    def _start(self, command: list[str]) -> "subprocess.Popen[str]":
        try:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise Failed(f"kubectl cannot be run: {error}. Put it on the PATH.") from error


def _address(process: "subprocess.Popen[str]") -> str:
    """Return where the port-forward listens, once it does. Raises: Failed when it does not; then it has ended."""
    # A pipe has no read with a deadline on every system; ending the process ends the read.
    too_late = threading.Timer(FORWARD_S, process.kill)
    too_late.start()
    try:
        for line in process.stdout:
            if found := _FORWARDING.match(line):
                return found[1]
        words = process.stderr.read().strip() or f"none came in {FORWARD_S:g} s"
    finally:
        too_late.cancel()
    raise Failed(
        f"the logbook cannot be reached through a port-forward: {words}. "
        "Say where it is with --logbook URL, or where Belay is installed with --system-namespace."
    )
