"""How soon traffic is back, beside Argo Rollouts: asked for by a person, and by a number that goes bad.

Both work on a fake cluster of their own (`bench/engine`): real API server and controllers, pods that are called Ready,
a gateway that accepts every route and carries nothing. One rollout has its second version at half of the traffic, again
and again; a watcher of the HTTPRoute tells when that version gets nothing any more.

    abort    from before somebody's request to the API server
    number   from the instant at which a Prometheus server's answer goes bad; both ask it every `interval`

So a run shows the controllers alone. How long a gateway takes to follow is the same for both.

    make bench-rollback ARGS="--beside-argo [--quick]"      after `python -m belay_cluster build --only argo`
"""

import asyncio
import contextlib
import json
import math
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "engine"))

from argo import ArgoRollouts, argo_programs, plugins  # noqa: E402
from fake_cluster import FakeCluster  # noqa: E402
from loads import HALF, NAMESPACE, ArgoLoad, BelayLoad, Load  # noqa: E402
from tests.unit.rollout.prometheus_server import PrometheusServer  # noqa: E402

from belay_cluster import gomodule  # noqa: E402
from belay_operator.engine.client import Client  # noqa: E402
from belay_operator.engine.resources import Resource, resource_of  # noqa: E402
from controllers import Controller, Operator  # noqa: E402
from kubeapi import connect, install  # noqa: E402
from watching import Watcher  # noqa: E402

MERGE = "application/merge-patch+json"
ROLLOUT = "r0"  # the one that is measured; the others are at rest, or changed all the time
GOOD, LIMIT, BAD = 5, 10, 20
WITHIN_S = 120
STEPS = [HALF, {"pause": {}}]


class Number:
    """What Prometheus answers: good, until it goes bad at an instant; and good again when it is told so."""

    def __init__(self) -> None:
        self._bad_from = math.inf
        self.server = PrometheusServer(lambda _, at: BAD if at >= self._bad_from else GOOD)

    def is_bad(self, *, since: float = math.inf) -> None:
        """Let it be bad since an instant, in seconds since 1970; for ever good without."""
        self._bad_from = since


class Route:
    """When the measured rollout's second version began to get traffic, and when it got none any more."""

    def __init__(self, candidate: str) -> None:
        self._candidate, self.on = candidate, False
        self.changed = 0.0  # in seconds since 1970

    def __call__(self, route: Mapping[str, Any]) -> None:
        """Take up a route from a watcher."""
        if route["metadata"]["name"] != ROLLOUT:
            return
        backends = [backend for rule in route["spec"]["rules"] for backend in rule.get("backendRefs", ())]
        on = any(backend["name"] == self._candidate and backend.get("weight", 1) > 0 for backend in backends)
        if on != self.on:
            self.on, self.changed = on, time.time()


class Side(Protocol):
    """One of the two controllers."""

    name: str
    load: Load
    candidate: str
    """The Service of the second version of the measured rollout."""

    def start(self, cluster: FakeCluster, settings: Mapping[str, Any]) -> Controller:
        """Start it on a cluster; what it needs there is made before."""

    async def abort(self, client: Client) -> None:
        """Ask for the second version to be taken back."""

    async def again(self, client: Client) -> None:
        """Ask for a second version once more, when the traffic of the last was taken back."""


class Belay:
    """Ours."""

    name, candidate = "belay", "p0-b"

    def __init__(self, number: Number, interval: str) -> None:
        source = {"prometheus": {"address": number.server.url, "query": "bench", "interval": interval}}
        metric = {"name": "number", "source": source, "limit": {"max": str(LIMIT), "tolerates": "1s"}}
        # Nobody scrapes a fake pod, so that a rollback is over is known by its deadline alone.
        self.load = BelayLoad(steps=STEPS, analysis={"metrics": [metric]}, rollback={"deadline": "1s"})
        self._asked = 0

    def start(self, cluster: FakeCluster, settings: Mapping[str, Any]) -> Controller:
        """See `Side.start`."""
        install(cluster.api, NAMESPACE)
        cluster.populate()
        return Operator(
            cluster.api, NAMESPACE, {f"BELAY_{name.upper()}": str(value) for name, value in settings.items()}
        )

    async def abort(self, client: Client) -> None:
        """See `Side.abort`."""
        await self._command(client, "abort")

    async def again(self, client: Client) -> None:
        """See `Side.again`."""
        await self._command(client, "retry")

    async def _command(self, client: Client, what: str) -> None:
        self._asked += 1
        change = {"metadata": {"annotations": {"belay.dev/command": f"{what}@{self._asked}"}}}
        await _patch(client, self.load.resource, ROLLOUT, change)


class Argo:
    """Argo Rollouts with an analysis in the background; so many bad measurements are borne."""

    candidate = "r0-canary"

    def __init__(self, number: Number, interval: str, *, borne: int, programs: tuple[Path, Path]) -> None:
        self.name = f"argo_{borne}"
        self._programs, self._asked = programs, 0
        self._template = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisTemplate",
            "metadata": {"name": "number", "namespace": NAMESPACE},
            "spec": {
                "metrics": [
                    {
                        "name": "number",
                        "interval": interval,
                        "failureLimit": borne,
                        "successCondition": f"result[0] <= {LIMIT}",
                        "provider": {"prometheus": {"address": number.server.url, "query": "bench"}},
                    }
                ]
            },
        }
        analysis = {"templates": [{"templateName": "number"}], "startingStep": 1}
        self.load = ArgoLoad(steps=STEPS, analysis=analysis)

    def start(self, cluster: FakeCluster, settings: Mapping[str, Any]) -> Controller:
        """See `Side.start`."""
        kube = install(cluster.api, NAMESPACE)
        crds = gomodule.folder("github.com/argoproj/argo-rollouts", pinned_in="argotools") / "manifests/crds"
        for path in sorted(crds.glob("*-crd.yaml")):
            kube.run("apply", "--server-side", "-f", str(path))
        kube.established()
        program, plugin = self._programs
        for manifest in (plugins(NAMESPACE, plugin, settings), self._template):
            kube.apply(manifest)
        cluster.populate()
        return ArgoRollouts(cluster.api, NAMESPACE, program, settings)

    async def abort(self, client: Client) -> None:
        """See `Side.abort`."""
        await _patch(client, self.load.resource, ROLLOUT, {"status": {"abort": True}}, part="status")

    async def again(self, client: Client) -> None:
        """See `Side.again`. By another template: after its own `retry` (`status.abort: false`) the analysis that the
        abort had ended did not begin again, so no number took the second version back any more.
        """
        self._asked += 1
        labels = {"side": f"b{self._asked}"}
        change = {"spec": {"template": {"metadata": {"labels": labels}}}}
        await _patch(client, self.load.resource, ROLLOUT, change)


@dataclass(slots=True)
class Measured:
    """How long it took from each beginning until the route gave the second version nothing, in seconds."""

    abort: list[float] = field(default_factory=list)
    busy_abort: list[float] = field(default_factory=list)
    number: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Return medians and the longest, by what it began with."""
        found: dict[str, float] = {}
        for name in ("abort", "busy_abort", "number"):
            took = getattr(self, name)
            if took:
                found |= {f"{name}_s_p50": statistics.median(took), f"{name}_s_max": max(took)}
        return found


async def beside_argo(load: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of both, and ours as multiples of Argo's. Raises: Problem where a program is missing."""
    programs = argo_programs(None)
    number, interval = Number(), load["interval"]
    found: dict[str, float] = {}
    async with number.server:
        sides: list[Side] = [
            Belay(number, interval),
            *(Argo(number, interval, borne=borne, programs=programs) for borne in load["borne"]),
        ]
        for side in sides:
            with FakeCluster() as cluster:
                measured = await _measure(cluster, side, number, load)
            found |= {f"{side.name}.{name}": value for name, value in measured.figures().items()}
            print(json.dumps({name: round(value, 3) for name, value in found.items()}, indent=1), flush=True)
    for name in ("abort", "busy_abort"):
        found[f"of_argo.{name}_p50"] = found[f"belay.{name}_s_p50"] / found[f"argo_{load['borne'][0]}.{name}_s_p50"]
    return found


async def _measure(cluster: FakeCluster, side: Side, number: Number, load: Mapping[str, Any]) -> Measured:
    """Take the second version back again and again, each way."""
    number.is_bad()
    measured, rng, route = Measured(), random.Random(1), Route(side.candidate)
    async with _started(cluster, side, load, route) as (client, watcher):
        await side.load.change(client, 1)

        async def until(on: bool) -> float:
            await watcher.until(lambda: route.on == on, limit_s=WITHIN_S)
            return route.changed

        async def again() -> None:
            """Wait for what a rollback still has to do, then bring the second version in once more."""
            while not route.on:
                await asyncio.sleep(load["rest_s"])
                await side.again(client)
                with contextlib.suppress(TimeoutError):
                    await watcher.until(lambda: route.on, limit_s=3 * load["rest_s"])
            await asyncio.sleep(load["rest_s"] + rng.random())

        async def aborts(took: list[float], which: str) -> None:
            for turn in range(load["rollbacks"]):
                asked = time.time()
                await side.abort(client)
                took.append(await until(False) - asked)
                print(f"{side.name}: {which} {turn + 1:2}: {took[-1]:.3f} s", flush=True)
                await again()

        await until(True)
        await asyncio.sleep(load["rest_s"])
        await aborts(measured.abort, "abort")
        changing = asyncio.create_task(_keep_changing(client, side.load.resource, load))
        await aborts(measured.busy_abort, "abort beside others that change")
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        for turn in range(load["numbers"]):
            began = time.time()
            number.is_bad(since=began)
            measured.number.append(await until(False) - began)
            number.is_bad()
            print(f"{side.name}: number {turn + 1:2}: {measured.number[-1]:.3f} s", flush=True)
            await again()
    return measured


@contextlib.asynccontextmanager
async def _started(
    cluster: FakeCluster, side: Side, load: Mapping[str, Any], route: Route
) -> AsyncIterator[tuple[Client, Watcher]]:
    """Give a controller that has all rollouts at rest on their first version, with a client and a watcher of routes."""
    controller = side.start(cluster, load["controller"])
    client = await connect(cluster.api.kubeconfig)
    routes = Watcher(client, resource_of("HTTPRoute"), NAMESPACE, route)
    rollouts = Watcher(client, side.load.resource, NAMESPACE, side.load.settled)
    watching = [asyncio.create_task(watcher.run()) for watcher in (routes, rollouts)]
    try:
        await controller.ready()
        size = 1 + load["others"]
        await side.load.create(client, size)
        await rollouts.until(lambda: side.load.settled.on("a") >= size, limit_s=WITHIN_S + 2 * size)
        yield client, routes
    finally:
        controller.stop()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await client.close()


async def _keep_changing(client: Client, resource: Resource, load: Mapping[str, Any]) -> None:
    """Change an annotation of the other rollouts in turn, until cancelled."""
    for turn in range(10**9):
        name = f"r{1 + turn % load['others']}"
        await _patch(client, resource, name, {"metadata": {"annotations": {"bench": str(turn)}}})
        await asyncio.sleep(1 / load["changes_per_s"])


async def _patch(
    client: Client, resource: Resource, name: str, change: Mapping[str, Any], *, part: str | None = None
) -> None:
    path = resource.path(NAMESPACE, name) + (f"/{part}" if part else "")
    await client.call("PATCH", resource, path, body=change, media=MERGE)
