"""Which cluster is used: the one place that knows there are three kinds.

| kind | used when | images get there by | `down` |
|---|---|---|---|
| own | KUBECONFIG or BELAY_CONTEXT names it | a push to REGISTRY | removes what was installed there, nothing else |
| kind | a Docker daemon answers, and the local one is not up | `kind load` | deletes the kind cluster |
| local | otherwise | containerd's import | ends every process of it |

Each has a kubeconfig file that reaches it alone, so no command of ours goes where a current context happens to point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from belay_cluster.builder import Builder, docker_answers
from belay_cluster.kind import KindCluster
from belay_cluster.local import LocalCluster
from belay_cluster.own import OwnCluster, Wanted
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps


class Kind(StrEnum):
    """Where the cluster comes from."""

    OWN = "own"
    """The user's: the driver starts and stops nothing."""
    KIND = "kind"
    """kind, in Docker."""
    LOCAL = "local"
    """Processes on this machine."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which cluster, and why."""

    kind: Kind
    why: str
    """For the user, who may wonder."""
    wanted: Wanted | None = None
    """What the user said about a cluster of their own; None for the others."""


class Cluster(Protocol):
    """What the commands ask of a cluster, whichever it is."""

    def kubeconfig(self) -> Path:
        """File that reaches this cluster and no other."""

    def up(self) -> None:
        """Bring it to the state where a pod, a Service, a volume and a Gateway work; idempotent."""

    def builder(self) -> Builder:
        """What builds images for it."""

    def pulled(self, ref: str) -> str:
        """Name under which its nodes know the image that was built as `ref`."""

    def give(self, references: Mapping[str, str]) -> None:
        """Hand it images; those it has cost nothing."""

    def down(self, *, wipe: bool) -> None:
        """Take away whatever `up` brought."""


def choose(environ: Mapping[str, str], paths: Paths, *, docker: bool, local: bool) -> Choice:
    """Choose from the environment and what the machine offers. Pure.

    Args:
        docker: A Docker daemon answers.
        local: The local cluster has been brought up and not taken down since; a Docker daemon that was started later
            does not change which one is meant.
    """
    variable = "BELAY_KUBECONFIG" if environ.get("BELAY_KUBECONFIG") else "KUBECONFIG"
    named, context = environ.get(variable) or None, environ.get("BELAY_CONTEXT") or None
    if named == str(paths.kubeconfig):
        return Choice(Kind.LOCAL, f"{variable} names its file")
    if named == str(paths.kind_kubeconfig):
        return Choice(Kind.KIND, f"{variable} names its file")
    if named or context:
        why = f"{'BELAY_CONTEXT' if context else variable} names it"
        registry, login = environ.get("REGISTRY") or None, environ.get("PULL_AUTH") or None
        return Choice(Kind.OWN, why, Wanted(why, named, context, registry, Path(login) if login else None))
    if local:
        return Choice(Kind.LOCAL, "it is up")
    if docker:
        return Choice(Kind.KIND, "a Docker daemon answers")
    return Choice(Kind.LOCAL, "no Docker daemon answers")


def look(environ: Mapping[str, str], paths: Paths) -> Choice:
    """Choose for this machine."""
    return choose(environ, paths, docker=docker_answers(), local=paths.kubeconfig.exists())


def cluster(choice: Choice, paths: Paths, laps: Laps) -> Cluster:
    """The chosen cluster, nothing started."""
    if choice.wanted is not None:
        return OwnCluster(paths, laps, choice.wanted)
    return KindCluster(paths, laps) if choice.kind is Kind.KIND else LocalCluster(paths, laps)
