"""Sources of a Go module that the tools are built from: charts and CRDs come from the version that is pinned there."""

import json
from pathlib import Path

from belay_cluster import golang
from belay_cluster.shell import Laps, run

CLUSTER = Path(__file__).parents[1]


def folder(module: str, *, pinned_in: str = "tools") -> Path:
    """Return the read-only folder of a module, downloaded if this machine does not have it.

    Args:
        pinned_in: Folder under dev/cluster whose go.mod says which version.
    Raises: Problem.
    """
    # Not `go list -m`: of a module that is not downloaded yet it prints an empty folder and succeeds.
    command = [golang.program(Laps()), "mod", "download", "-json", module]
    said = run(command, what=f"fetching the Go module {module}", cwd=CLUSTER / pinned_in)
    return Path(json.loads(said)["Dir"])
