"""A real API server, operator and logbook, and a stand-in for controllers, pods and gateway (`tests/api/dataplane.py`).

Decisions are drawn here, by the weights and pins of the HTTPRoute as a watcher last saw it, and counted on the page
that the operator scrapes. So a run shows everything from the proof to the route in the API server, and the scrapes that
see the candidate silent; it shows nothing of how long Envoy takes to follow its route, nor of a request that fails.
"""

import asyncio
import contextlib
import os
import random
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from played import Episode, Played
from stage import BENCH, ROLLOUT, Sides, Stage
from tests.api.dataplane import DataPlane
from tests.unit.logbook.support import MASTER, Process
from trouble import Silence

from belay_api.names import METRICS_PORT, POLICY_HEADER
from belay_api.receipts import Receipt, namespace_key, sign
from belay_cluster.api import ApiServer
from belay_cluster.paths import from_environment
from belay_operator.engine.resources import resource_of
from controllers import Operator
from kubeapi import connect, install, policy
from watching import Watcher

SYSTEM = "belay-system"
PODS = "127.101.0.1"  # where the stand-in's pods are scraped
SILENT = "127.102.0.{}"
KEY = namespace_key(MASTER, BENCH.name)


class Gateway:
    """Answers decisions as the route says, once the watcher has seen it."""

    def __init__(self, plane: DataPlane, load: Mapping[str, Any]) -> None:
        self._plane, self._load = plane, load
        self._rules: list[Mapping[str, Any]] = []

    def __call__(self, route: Mapping[str, Any]) -> None:
        """Take up a route from a watcher."""
        if route["metadata"]["name"] == ROLLOUT:
            self._rules = route["spec"]["rules"]

    def policy(self, pinned: str | None, rng: random.Random) -> str | None:
        """Return who answers; None: there is no route yet."""
        rules = {_header(rule): rule["backendRefs"] for rule in self._rules}
        backends = rules.get(pinned) or rules.get(None)
        if not backends:
            return None
        name: str = rng.choices(backends, weights=[backend["weight"] for backend in backends])[0]["name"]
        return name

    async def episode(self, played: Played, rng: random.Random) -> Episode | None:
        """See `Player.episode`."""
        first = began = None
        for _ in range(self._load["decisions"]):
            answers = self.policy(first, rng)
            if answers is not None:
                self._plane.served[answers] += 1
                played.answer(answers)
                first, began = first or answers, began or time.time()
            await asyncio.sleep(self._load["think_s"])
        if first is None or began is None or answers != first:
            return None
        receipt = Receipt(BENCH.name, first, uuid.uuid4().hex, 0, datetime.fromtimestamp(began, UTC), ROLLOUT)
        return Episode(first, began, sign(receipt, KEY))


def _header(rule: Mapping[str, Any]) -> str | None:
    """The policy that a rule pins episodes to; None: it is for new ones."""
    for header in rule["matches"][0].get("headers", ()):
        if header["name"] == POLICY_HEADER:
            return str(header["value"])
    return None


@contextlib.asynccontextmanager
async def stand_in(silent: int, load: Mapping[str, Any]) -> AsyncIterator[Stage]:
    """Start everything and give the stage; all of it ends with this process."""
    async with contextlib.AsyncExitStack() as stack:
        api = stack.enter_context(ApiServer())
        os.environ["KUBECONFIG"] = str(api.kubeconfig)
        os.environ["PATH"] = f"{from_environment(os.environ).bin}{os.pathsep}{os.environ['PATH']}"
        install(api, BENCH.name, SYSTEM)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="belay-bench-")))
        logbook = Process(folder).start()
        stack.callback(logbook.stop)
        silence = Silence()
        stack.callback(silence.close)
        addresses = tuple(SILENT.format(number + 1) for number in range(silent))
        for address in addresses:
            await silence.listen(address, METRICS_PORT)

        client = await connect(api.kubeconfig)
        stack.push_async_callback(client.close)
        plane = DataPlane(api.kubeconfig, BENCH.name, address=PODS)
        gateway = Gateway(plane, load)
        watcher = Watcher(client, resource_of("HTTPRoute"), BENCH.name, gateway)
        for task in (asyncio.create_task(plane.run()), asyncio.create_task(watcher.run())):
            stack.push_async_callback(_end, task)
        sides = [Sides(f"{name}-one", f"{name}-two") for name in ("bench", "out")]
        for side in sides:
            for name in (side.stable, side.candidate):
                await client.create(policy(BENCH.name, name))
        operator = Operator(api, SYSTEM, {"BELAY_LOGBOOK_URL": logbook.url})
        stack.callback(operator.stop)
        await operator.ready()
        yield Stage(
            kubeconfig=str(api.kubeconfig),
            measured=sides[0],
            outage=sides[1],
            player=gateway,
            outcomes=f"{logbook.url}/v1/namespaces/{BENCH.name}/outcomes",
            token="nobody asks",
            silent=addresses,
            asked=lambda: silence.taken,
        )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
