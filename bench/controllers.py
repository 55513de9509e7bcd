"""A controller under measurement: how it is started as a process, and what it has used.

Ours is here. A controller is a process and its children: Argo Rollouts (`engine/argo.py`) runs its traffic router as a
plugin, in a process of its own.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from belay_cluster.api import Api
from belay_cluster.shell import Problem

ROOT = Path(__file__).parents[1]
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
WRITES = ("PATCH", "PUT", "POST", "DELETE")


class Controller(ABC):
    """A process with a log, whose CPU and memory are counted with its children's."""

    def __init__(self, api: Api, name: str, argv: list[str], environment: Mapping[str, str]) -> None:
        self.log = api.folder / f"{name}.log"
        everywhere = {
            "KUBECONFIG": str(api.kubeconfig),
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
        }
        # In a folder that is thrown away: Argo Rollouts copies its plugin into the one it runs in.
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, *argv], cwd=api.folder, env=everywhere | environment, stderr=log, stdout=log
            )

    @abstractmethod
    def answers(self) -> bool:
        """True once it works."""

    async def ready(self) -> None:
        """Return once it works. Raises: Problem when it has ended instead."""
        async with asyncio.timeout(60):
            while not self.answers():
                if self._process.poll() is not None:
                    raise Problem(f"the controller has ended:\n{self.log.read_text()[-2000:]}")
                await asyncio.sleep(0.05)
        await asyncio.sleep(2)

    def stop(self) -> None:
        """End it, and show what it complained about."""
        self._process.terminate()
        self._process.wait(20)
        marks = (" WARNING ", " ERROR ", "level=error", "level=fatal")
        lines = [line for line in self.log.read_text().splitlines() if any(mark in line for mark in marks)]
        for line in lines[:10]:
            print(f"{self.log.stem}: {line}", file=sys.stderr)

    def rss_mib(self) -> float:
        """Return the memory it holds."""
        pages = sum(int((folder / "statm").read_text().split()[1]) for folder in self._folders())
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_s(self) -> float:
        """Return the CPU seconds it has used."""
        ticks = 0
        for folder in self._folders():
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _folders(self) -> Iterator[Path]:
        """Yield /proc/ID of the process and of its children; the controllers' children have none of their own."""
        own = str(self._process.pid)
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                    if own in (folder.name, parent):
                        yield folder


class Operator(Controller):
    """Belay's operator; what `environment` does not say is as the chart has it."""

    def __init__(self, api: Api, namespace: str, environment: Mapping[str, str]) -> None:
        given = {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "api"), str(ROOT / "operator")]),
            "BELAY_SYSTEM_NAMESPACE": namespace,
            "BELAY_LEADER_ELECTION": "off",
            "BELAY_PORT": "0",
        }
        super().__init__(api, "operator", [sys.executable, "-m", "belay_operator.main"], given | dict(environment))

    def answers(self) -> bool:
        """See `Controller.answers`."""
        return "complete after" in self.log.read_text()

    def writes(self) -> float:
        """Return its own writes so far, every try counted, without Events."""
        calls = self.samples("belay_api_calls_total")
        return sum(
            value
            for labels, value in calls
            if 'kind="Event"' not in labels and any(f'verb="{verb}"' in labels for verb in WRITES)
        )

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        return sum(value for _, value in self.samples(name))

    def samples(self, name: str) -> list[tuple[str, float]]:
        """Return a metric's samples with their labels as text."""
        port = self.log.read_text().split("health on port ")[1].split(",")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rsplit(" ", 1) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return [(labels, float(value)) for labels, value in found]
