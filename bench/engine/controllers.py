"""The two controllers under measurement as processes: how they are started, and what they say they have used."""

import asyncio
import os
import subprocess
import sys
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from belay_cluster.api import Api, free_ports
from belay_cluster.paths import from_environment
from belay_cluster.shell import Problem

ROOT = Path(__file__).parents[2]
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def argo_program() -> Path:
    """Return the path of the Argo Rollouts controller. Raises: Problem when it is not built."""
    program = from_environment(os.environ).bin / "rollouts-controller"
    if not program.exists():
        raise Problem(
            "Argo Rollouts is not built. Run `python -m belay_cluster build --only argo` (minutes), or --alone."
        )
    return program


class Controller(ABC):
    """A process with Prometheus metrics; a subclass says how it starts and which of its calls are writes."""

    calls: str
    """Its counter of API calls."""
    verbs: tuple[str, ...]
    """Those that write, as its label `verb` spells them."""
    event: str
    """An Event, as its label `kind` spells it."""

    def __init__(self, api: Api, name: str, argv: list[str], environment: Mapping[str, str]) -> None:
        self.log = api.folder / f"{name}.log"
        everywhere = {
            "KUBECONFIG": str(api.kubeconfig),
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
        }
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, *argv], cwd=ROOT, env=everywhere | environment, stderr=log, stdout=log
            )

    @abstractmethod
    def port(self) -> str:
        """Return where the metrics are; raises while nobody knows yet."""

    def writes(self) -> tuple[float, float]:
        """Return the writes so far, every try counted: those that change something, and Events."""
        calls = self.samples(self.calls)
        made = [(labels, value) for labels, value in calls if any(f'verb="{verb}"' in labels for verb in self.verbs)]
        events = sum(value for labels, value in made if f'kind="{self.event}"' in labels)
        return sum(value for _, value in made) - events, events

    async def ready(self) -> None:
        """Return once it works."""
        async with asyncio.timeout(60):
            while not self._answers():
                if self._process.poll() is not None:
                    raise Problem(f"the controller has ended:\n{self.log.read_text()[-2000:]}")
                await asyncio.sleep(0.05)
        await asyncio.sleep(2)

    def stop(self) -> None:
        """End it, and show what it complained about."""
        self._process.terminate()
        self._process.wait(20)
        lines = [line for line in self.log.read_text().splitlines() if " WARNING " in line or " ERROR " in line]
        for line in lines[:10]:
            print(f"{self.log.stem}: {line}", file=sys.stderr)

    def rss_mib(self) -> float:
        """Return the memory it holds."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_s(self) -> float:
        """Return the CPU seconds it has used."""
        return self.metric("process_cpu_seconds_total")

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        return sum(value for _, value in self.samples(name))

    def samples(self, name: str) -> list[tuple[str, float]]:
        """Return a metric's samples with their labels as text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port()}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rsplit(" ", 1) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return [(labels, float(value)) for labels, value in found]

    def _answers(self) -> bool:
        try:
            return bool(self.samples("process_cpu_seconds_total"))
        except (OSError, IndexError):
            return False


class Operator(Controller):
    """Belay's operator."""

    calls, verbs, event = "belay_api_calls_total", ("PATCH", "PUT", "POST", "DELETE"), "Event"

    def __init__(self, api: Api, namespace: str, settings: Mapping[str, Any]) -> None:
        environment = {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "api"), str(ROOT / "operator"), str(ROOT)]),
            "BELAY_SYSTEM_NAMESPACE": namespace,
            "BELAY_LEADER_ELECTION": "off",
            "BELAY_PORT": "0",
            "BELAY_QPS": str(settings["qps"]),
            "BELAY_BURST": str(settings["burst"]),
            "BELAY_WORKERS": str(settings["workers"]),
        }
        super().__init__(api, "operator", [sys.executable, "-m", "belay_operator.main"], environment)

    def port(self) -> str:
        """See `Controller.port`."""
        return self.log.read_text().split("health on port ")[1].split(",")[0]

    def _answers(self) -> bool:
        return "complete after" in self.log.read_text()


class ArgoRollouts(Controller):
    """The Argo Rollouts controller, with the rate and the workers ours gets."""

    calls, verbs, event = "controller_clientset_k8s_request_total", ("Create", "Update", "Patch", "Delete"), "events"

    def __init__(self, api: Api, settings: Mapping[str, Any]) -> None:
        metrics, health = free_ports(2)
        self._port = str(metrics)
        flags = {
            "kubeconfig": api.kubeconfig,
            "qps": settings["qps"],
            "burst": settings["burst"],
            "rollout-threads": settings["workers"],
            "leader-elect": "false",
            "loglevel": "error",
            "metricsPort": metrics,
            "healthzPort": health,
        }
        super().__init__(
            api, "argo", [str(argo_program()), *(f"--{flag}={value}" for flag, value in flags.items())], {}
        )

    def port(self) -> str:
        """See `Controller.port`."""
        return self._port
