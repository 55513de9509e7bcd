"""Bring up the cluster, build the images, install the chart: what must stand before anything of Belay can be tried."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from belay_cluster.paths import from_environment
from belay_demo.kube import Failed, Namespace, condition, run

ROOT = Path(__file__).parents[3]
BIN = from_environment(os.environ).bin
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
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"


def images() -> dict[str, str]:
    """Return the newest images by name, as the chosen cluster's nodes know them."""
    return dict(line.split() for line in cluster("references", quiet=True).splitlines())


def pull_secrets() -> list[str]:
    """Return the Secrets `belay_cluster up` has made for a registry that asks for a login."""
    return ["belay-pull"] if os.environ.get("PULL_AUTH") else []


def chart() -> None:
    """Install or upgrade the chart and wait until operator and logbook are ready."""
    refs = images()
    values = [f"images.{name}={refs[f'belay-{name}']}" for name in ("operator", "trainer", "handler", "logbook")]
    values += [f"images.pullSecrets={{{secret}}}" for secret in pull_secrets()]
    if "belay" in run("helm", "list", "--pending", "--short", "--namespace", SYSTEM).split():
        # It was killed half-way, and Helm refuses to go on from there. CRDs, and what the logbook has recorded, stay.
        run("helm", "uninstall", "belay", "--namespace", SYSTEM, "--wait")
    run(
        *("helm", "upgrade", "--install", "belay", str(ROOT / "charts" / "belay")),
        *("--namespace", SYSTEM, "--create-namespace", "--set", ",".join(values)),
    )
    for name in ("belay-operator", "belay-logbook"):
        run("kubectl", "-n", SYSTEM, "rollout", "status", f"deploy/{name}", "--timeout=180s")


def gateway(namespace: Namespace) -> None:
    """Apply the examples' Gateway, with a GatewayClass the cluster has."""
    classes = namespace.items("gatewayclasses.gateway.networking.k8s.io")
    name = gateway_class(classes, named=os.environ.get("GATEWAY_CLASS"))
    for manifest in yaml.safe_load_all((EXAMPLES / "00-gateway.yaml").read_text()):
        if manifest["kind"] == "Gateway":
            manifest["spec"]["gatewayClassName"] = name
        namespace.apply(manifest)


def gateway_class(classes: Sequence[Mapping[str, Any]], *, named: str | None) -> str:
    """Return the class to use: the one named, else `eg`, else the only one. Pure.

    Raises: Failed when that is none or not clear.
    """
    names = [each["metadata"]["name"] for each in classes if condition(each, "Accepted").get("status") == "True"]
    wanted = named or ("eg" if "eg" in names or len(names) != 1 else names[0])
    if wanted in names:
        return wanted
    raise Failed(
        f"accepted GatewayClasses are {', '.join(names) or 'none'}: name one, as in GATEWAY_CLASS=eg make demo"
    )
