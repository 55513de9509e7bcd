"""Simulated users in a pod of the trainer image, which has Gymnasium; the client library comes by ConfigMap."""

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from belay_demo.install import ROOT, images
from belay_demo.kube import Failed, Namespace

USERS = 32
# Between two actions of one user. Little, because an episode has 500 of them: its length, and with it the rollout's
# grace, is mostly waiting.
THINK_S = 0.002
GATEWAY = "public"


class Players:
    """The users of one route."""

    def __init__(self, namespace: Namespace, *, rollout: str) -> None:
        self._namespace = namespace
        self._path = f"/predictions/{rollout}"

    def start(self) -> None:
        """Start the players; a second call replaces them."""
        self._namespace.apply(_config())
        self._namespace.kubectl("delete", "deployment", "players", "--ignore-not-found", "--wait")
        self._namespace.apply(_deployment(self._namespace.name, self.url()))
        self._namespace.kubectl("rollout", "status", "deploy/players", "--timeout=120s")

    def url(self) -> str:
        """Return the address of the route: what the Gateway says of itself, whoever implements it."""
        addresses = self._namespace.wait(
            f"an address of the Gateway {GATEWAY}",
            lambda: self._namespace.status("gateway", GATEWAY).get("addresses"),
            timeout_s=120,
        )
        return f"http://{addresses[0]['value']}{self._path}"

    def totals(self) -> dict[str, Any]:
        """Return what the players counted last; empty before their first line."""
        lines = self._namespace.kubectl("logs", "deploy/players", "--tail", "1").splitlines()
        try:
            return json.loads(lines[-1]) if lines else {}
        except json.JSONDecodeError as error:
            raise Failed(f"the players died; see: kubectl -n {self._namespace.name} logs deploy/players") from error

    def sentence(self) -> str:
        """Return the totals as a sentence."""
        seen = self.totals()
        sides = ", ".join(
            f"{name} {side['episodes']} (mean return {side['return'] / max(side['episodes'], 1):.0f})"
            for name, side in sorted(seen.get("by", {}).items())
        )
        return (
            f"{seen.get('decisions', 0)} decisions, {seen.get('failed', 0)} failed; "
            f"{seen.get('episodes', 0)} episodes: {sides}; "
            f"{seen.get('moved', 0)} were taken over by another version on the way"
        )


def _config() -> dict[str, Any]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted((ROOT / "client" / "belay_client").rglob("*.py")):
            archive.write(path, path.relative_to(ROOT / "client"))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "players"},
        "data": {"play.py": (Path(__file__).parent.parent / "players" / "play.py").read_text()},
        "binaryData": {"client.zip": base64.b64encode(packed.getvalue()).decode()},
    }


def _deployment(namespace: str, url: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "players"}
    environment = {
        "PLAYERS_URL": url,
        "PLAYERS_USERS": str(USERS),
        "PLAYERS_THINK_S": str(THINK_S),
        "PYTHONPATH": "/players/client.zip:/opt/belay",
        "BELAY_NAMESPACE": namespace,
        "BELAY_LOGBOOK_URL": "http://belay-logbook.belay-system.svc:8600",
    }
    token = {"serviceAccountToken": {"path": "token", "audience": "belay-logbook"}}
    container = {
        "name": "players",
        "image": images()["belay-trainer"],
        "command": ["python3", "/players/play.py"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [
            {"name": "players", "mountPath": "/players", "readOnly": True},
            {"name": "token", "mountPath": "/var/run/belay", "readOnly": True},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "players", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                    "volumes": [
                        {"name": "players", "configMap": {"name": "players"}},
                        {"name": "token", "projected": {"sources": [token]}},
                    ],
                },
            },
        },
    }
