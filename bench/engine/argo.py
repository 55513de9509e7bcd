"""The Argo Rollouts controller and its traffic router, as `bench/engine` runs them beside our operator.

The router is a plugin that the controller runs as its child. Ours (`dev/cluster/argotools/cmd/httproute-plugin`) stands
in for argoproj-labs' Gateway API plugin; whoever has that one can name it instead.
"""

import json
import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from belay_cluster.api import Api, free_ports
from belay_cluster.paths import from_environment
from belay_cluster.shell import Problem
from controllers import Controller

PLUGIN_NAME = "argoproj-labs/gatewayAPI"


def argo_programs(plugin: Path | None) -> tuple[Path, Path]:
    """Return the paths of the Argo Rollouts controller and its traffic router.

    Args:
        plugin: Another traffic router than ours, by the path of its program.
    Raises: Problem when one is missing.
    """
    binaries = from_environment(os.environ).bin
    programs = binaries / "rollouts-controller", plugin or binaries / "httproute-plugin"
    for program in programs:
        if not program.exists():
            advice = "Run `python -m belay_cluster build --only argo` (minutes), or --alone."
            raise Problem(f"{program.name} is not there. {advice}")
    return programs


class ArgoRollouts(Controller):
    """The Argo Rollouts controller and its plugin, with the rate and the workers ours gets.

    It reads `plugins` from the namespace when it starts.
    """

    def __init__(self, api: Api, namespace: str, program: Path, settings: Mapping[str, Any]) -> None:
        metrics, self._health = free_ports(2)
        flags = {
            "kubeconfig": api.kubeconfig,
            "qps": settings["qps"],
            "burst": settings["burst"],
            "rollout-threads": settings["workers"],
            "leader-elect": "false",
            "loglevel": "error",
            "metricsPort": metrics,
            "healthzPort": self._health,
        }
        argv = [str(program), *(f"--{flag}={value}" for flag, value in flags.items())]
        super().__init__(api, "argo", argv, {"POD_NAMESPACE": namespace})

    def answers(self) -> bool:
        """See `Controller.answers`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def plugins(namespace: str, program: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ConfigMap that tells Argo Rollouts where its traffic router is; it gets the controller's rate."""
    router = {
        "name": PLUGIN_NAME,
        "location": f"file://{program}",
        "args": [f"-kubeClientQPS={settings['qps']}", f"-kubeClientBurst={settings['burst']}"],
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argo-rollouts-config", "namespace": namespace},
        "data": {"trafficRouterPlugins": json.dumps([router])},
    }
