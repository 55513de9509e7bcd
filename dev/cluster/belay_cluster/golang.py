"""The Go that builds the cluster's programs: the machine's own, or the toolchain that the pinned modules ask for.

A machine without Go gets Debian's. That one is years old: it can neither build today's Kubernetes nor switch to a newer
toolchain by itself, but a toolchain is a module like any other, so it can fetch one and check it by the same checksums.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from belay_cluster.debian import install_packages
from belay_cluster.shell import Laps, Problem, run

CLUSTER = Path(__file__).parents[1]
OWN = {"GOTOOLCHAIN": "local"}  # else a Go that can switch answers for the one it would switch to


def program(laps: Laps) -> Path:
    """Return the path of a Go that is new enough for every module under dev/cluster, installed if need be.

    Raises: Problem when there is none and none can be had.
    """
    wanted = max(version(path.read_text()) for path in CLUSTER.glob("*/go.mod"))
    advice = f"Install Go {_dotted(wanted)} or newer: https://go.dev/dl"
    if shutil.which("go") is None:
        try:
            install_packages(laps, {"go": "golang-go"})
        except Problem as error:
            raise Problem(f"Go is not installed; the cluster's programs are built from source. {advice}") from error
    own = Path(shutil.which("go") or "go")
    said = run([own, "version"], what="asking Go for its version", env=OWN)
    if version(f"go {said.rpartition(' go')[2]}") >= wanted:  # "go version go1.26.8 linux/amd64"
        return own
    try:
        return fetched(own, wanted)
    except Problem as error:
        trouble = f"{own} is too old for the pinned Kubernetes, and a newer one was not to be had"
        raise Problem(f"{trouble}. {advice}\n{error}") from error


def fetched(own: Path, wanted: tuple[int, ...]) -> Path:
    """Return the Go of the toolchain `wanted`, downloaded by `own`, a Go of any version. Raises: Problem."""
    machine = "-".join(run([own, "env", "GOOS", "GOARCH"], what="asking Go for its machine", env=OWN).split())
    module = f"golang.org/toolchain@v0.0.1-go{_dotted(wanted)}.{machine}"
    said = run([own, "mod", "download", "-json", module], what=f"fetching {module}", env=OWN, cwd=Path("/"))
    root = Path(json.loads(said)["Dir"])
    for path in (*(root / "bin").iterdir(), *(root / "pkg/tool").glob("*/*")):
        os.chmod(path, 0o755)  # a module's files come without the right to be run
    return root / "bin" / "go"


def version(text: str) -> tuple[int, ...]:
    """Version out of a go.mod's `go` line."""
    found = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?", text, re.MULTILINE)
    if found is None:
        raise Problem(f"no Go version in: {text[:80]!r}")
    return tuple(int(part or 0) for part in found.groups())


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
