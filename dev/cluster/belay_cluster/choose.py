"""Which cluster to use: the user's own, kind where Docker runs, else the one built here. Pure but for `look`.

The first two are kept small: a named cluster is used as it is, kind is created with its own defaults.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from belay_cluster.builder import docker_answers
from belay_cluster.paths import Paths


class Kind(StrEnum):
    """Where the cluster comes from."""

    EXISTING = "existing"
    """The user named it; the driver starts and stops nothing."""
    KIND = "kind"
    """kind, in Docker."""
    LOCAL = "local"
    """Processes on this machine."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The cluster to use and how to reach it."""

    kind: Kind
    kubeconfig: Path | None
    """None: kubectl's own default file."""
    context: str | None
    """None: the file's current context."""
    why: str
    """For the user, who may wonder."""


def choose(environ: Mapping[str, str], local: Path, *, docker: bool, kind: bool) -> Choice:
    """Choose from the environment and what the machine offers.

    Args:
        local: Kubeconfig of the local cluster: naming that one means the local cluster.
        docker: A Docker daemon answers.
        kind: The program `kind` is there.
    """
    named = environ.get("BELAY_KUBECONFIG") or environ.get("KUBECONFIG")
    context = environ.get("BELAY_CONTEXT") or None
    if (named or context) and named != str(local):
        what = "BELAY_CONTEXT" if context else "BELAY_KUBECONFIG" if environ.get("BELAY_KUBECONFIG") else "KUBECONFIG"
        return Choice(Kind.EXISTING, Path(named) if named else None, context, f"{what} names it")
    if docker and kind:
        return Choice(Kind.KIND, None, "kind-belay", "Docker answers and kind is installed")
    missing = "no Docker daemon answers" if not docker else "kind is not installed"
    return Choice(Kind.LOCAL, local, None, missing)


def look(environ: Mapping[str, str], paths: Paths) -> Choice:
    """Choose for this machine."""
    kind = shutil.which("kind") is not None
    return choose(environ, paths.kubeconfig, docker=kind and docker_answers(), kind=kind)
