"""kubectl and Helm, bound to one kubeconfig; and how they get on a machine that lacks them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from belay_cluster.gobuild import build
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps, run, succeeds


class Kube:
    """The programs, pointed at one cluster."""

    def __init__(self, paths: Paths, kubeconfig: Path) -> None:
        self.paths, self._flag = paths, f"--kubeconfig={kubeconfig}"

    def command(self, *arguments: str) -> list[str]:
        """A kubectl command line."""
        return [program(self.paths, "kubectl"), self._flag, *arguments]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl; its standard output."""
        return run(self.command(*arguments), what=f"kubectl {' '.join(arguments[:3])}", stdin=stdin)

    def answers(self, *arguments: str) -> bool:
        """True when a kubectl command succeeds."""
        return succeeds(self.command(*arguments))

    def items(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """Objects of a kind; none where it is a custom one, named in full, that the cluster does not have.

        Args:
            arguments: More for `kubectl get`.
        """
        if "." in kind and not self.answers("get", "crd", kind):
            return []
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *arguments, "-o", "json"))["items"]
        return found

    def helm(self, *arguments: object, what: str, log: Path | None = None) -> str:
        """Run Helm; its standard output."""
        return run([program(self.paths, "helm"), *arguments, self._flag], what=what, log=log)

    def clear_pending(self, release: str, namespace: str) -> None:
        """Uninstall a release whose installation or upgrade was killed half-way: Helm refuses to go on from there."""
        pending = self.helm("list", "--pending", "--short", "--namespace", namespace, what="listing Helm's releases")
        if release in pending.split():
            flags = ("--namespace", namespace, "--wait", "--timeout=120s")
            self.helm("uninstall", release, *flags, what=f"uninstalling {release}, which was interrupted")


def program(paths: Paths, name: str) -> str:
    """The built program if there is one, else the machine's own."""
    return str(built) if (built := paths.bin / name).exists() else name


def ensure(paths: Paths, laps: Laps, name: str, *, only: str) -> None:
    """Build a program this machine does not have.

    Args:
        only: The part of `gobuild.build` that makes it.
    """
    if shutil.which(name) is None:
        build(paths, laps, only=only)
