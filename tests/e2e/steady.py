"""Steady requests from a pod, by a caller without our client: whether one fails is what most promises come down to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from belay_demo.install import images
from belay_demo.kube import Failed, Namespace
from belay_demo.players import Players

CALLERS = 4
EVERY_S = 0.05  # per caller: 80 requests a second, which leaves a machine of two cores to the pods that start
OBSERVATION = [0.01, 0.02, 0.03, 0.04]  # CartPole's

WHO = """
import json, os, sys, urllib.request as u
for headers in json.loads(sys.argv[1]):
    headers = {"content-type": "application/json", **headers}
    asked = [u.Request(os.environ["ASK_URL"], os.environ["ASK_ITEM"].encode(), headers) for _ in range(20)]
    print(",".join(sorted({u.urlopen(one, timeout=10).headers["x-belay-policy"] for one in asked})))
"""


class Steady:
    """Requests to one rollout's route, from `start` to `stop`."""

    def __init__(
        self,
        here: Namespace,
        rollout: str,
        *,
        name: str = "",
        callers: int = CALLERS,
        every_s: float = EVERY_S,
        observations: int = 1,
        policy: str = "",
        asking: Mapping[str, Any] | None = None,
        url: str = "",
    ) -> None:
        """Args: name: tells several of a rollout apart. observations: of a request; many take long. policy: pinned.
        asking: what each of them says beside its observation. url: empty: by the gateway."""
        self._here = here
        self._name = f"ask-{rollout}{name}"
        self._asked = {
            "ASK_CALLERS": str(callers),
            "ASK_EVERY_S": str(every_s),
            "ASK_OBSERVATIONS": str(observations),
            "ASK_POLICY": policy,
            "ASK_ITEM": json.dumps({"observation": OBSERVATION, **(asking or {})}),
        }
        self._url = url or Players(here, rollout=rollout).url()

    def start(self) -> None:
        """Begin to ask, and count from here on."""
        self._here.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": self._name},
                "data": {"ask.py": (Path(__file__).parent / "ask.py").read_text()},
            }
        )
        self.stop()
        self._here.apply(self._pod())
        self._here.wait("the first answers", lambda: self.totals().get("by"), timeout_s=90, every_s=0.5)

    def stop(self) -> None:
        """Ask no more."""
        self._here.kubectl("delete", "pod", self._name, "--ignore-not-found", "--grace-period=0", "--force")

    def totals(self) -> dict[str, Any]:
        """Return what was counted up to a second ago; empty before the first line."""
        try:
            lines = self._here.kubectl("logs", self._name, "--tail", "1").splitlines()
        except Failed:
            return {}  # its container is not there yet
        return json.loads(lines[-1]) if lines else {}

    def answered(self) -> dict[str, int]:
        """Return the answers by policy."""
        return self.totals().get("by", {})

    def who_answers(self, *headers: Mapping[str, str]) -> list[str]:
        """Ask 20 times with each of these, from the same pod; return the policies that answered, joined by a comma."""
        return self._here.kubectl("exec", self._name, "--", "python3", "-c", WHO, json.dumps(headers)).split()

    def settled(self) -> dict[str, Any]:
        """Return the totals once they count every request sent before this call."""
        asked = self.totals()["asked"]
        seen = self._here.wait(
            "a later count", lambda: self.totals()["asked"] > asked and self.totals(), timeout_s=30, every_s=0.5
        )
        return seen

    def _pod(self) -> dict[str, Any]:
        environment = {"ASK_URL": self._url, **self._asked}
        container = {
            "name": "ask",
            "image": images()["belay-trainer"],
            "command": ["python3", "/ask/ask.py"],
            "env": [{"name": name, "value": value} for name, value in environment.items()],
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "ask", "mountPath": "/ask", "readOnly": True}],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self._name},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
                "volumes": [{"name": "ask", "configMap": {"name": self._name}}],
            },
        }
