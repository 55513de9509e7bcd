"""Bring up the cluster, build the images, install the chart: what must stand before anything of Belay can be tried."""

import json
import os
import subprocess
import sys
from pathlib import Path

from belay_demo.kube import Failed, run

ROOT = Path(__file__).parents[3]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "belay"
EXAMPLES = ROOT / "examples" / "quickstart"
SYSTEM = "belay-system"


def cluster(*arguments: str, quiet: bool = False) -> str:
    """Run a command of dev/cluster; its own progress is shown unless `quiet`."""
    done = subprocess.run(
        [sys.executable, "-m", "belay_cluster", *arguments],
        check=False,
        text=True,
        stdout=subprocess.PIPE if quiet else None,
    )
    if done.returncode != 0:
        raise Failed(f"python -m belay_cluster {' '.join(arguments)} failed; it says above what to do")
    return done.stdout or ""


def use_cluster() -> None:
    """Point kubectl and helm, of this process and its children, at the chosen cluster."""
    os.environ["KUBECONFIG"] = cluster("kubeconfig", quiet=True).strip()
    os.environ["PATH"] = f"{CACHE / 'bin'}{os.pathsep}{os.environ['PATH']}"


def images() -> dict[str, str]:
    """Return the image references that `belay_cluster images` wrote."""
    found: dict[str, str] = json.loads((CACHE / "images.json").read_text())
    return found


def chart() -> None:
    """Install or upgrade the chart and wait until operator and logbook are ready."""
    refs = images()
    values = [f"images.{name}={refs[f'belay-{name}']}" for name in ("operator", "trainer", "handler", "logbook")]
    run(
        *("helm", "upgrade", "--install", "belay", str(ROOT / "charts" / "belay")),
        *("--namespace", SYSTEM, "--create-namespace", "--set", ",".join(values)),
    )
    for name in ("belay-operator", "belay-logbook"):
        run("kubectl", "-n", SYSTEM, "rollout", "status", f"deploy/{name}", "--timeout=180s")
