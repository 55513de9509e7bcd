"""Measure the operator's engine, and the Argo Rollouts controller beside it, with hundreds of rollouts.

A real control plane with fake nodes (`fake_cluster.py`): workloads become pods that kwok calls Ready, routes are
accepted, nothing runs and nothing is served. Each controller gets a fresh control plane, so that neither pays for what
the other has left. All share the machine's cores, so rates are a lower bound and shift with its load; CPU time, counts
(requests, bytes) and ratios within one run hold still. What the API server and the other programs use stands beside
the controller's own: it is the part that no controller can save. What is done to each is in `loads.py`.

A step's rate counts until the last rollout has settled; its requests and CPU time until the API server has been quiet
for a while, so that Events which wait in a queue count as well.

    make bench-engine [ARGS="[--quick] [--alone] [--plugin PATH] [SIZE ...]"]
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "api"), str(ROOT / "operator"), str(ROOT / "dev/cluster"), str(ROOT / "bench")]

import yaml  # noqa: E402
from argo import ArgoRollouts, argo_programs, plugins  # noqa: E402
from fake_cluster import FakeCluster  # noqa: E402
from loads import NAMESPACE, ArgoLoad, BelayLoad, Load, rollout  # noqa: E402
from mutations import Mutations  # noqa: E402

from belay_cluster import gomodule  # noqa: E402
from belay_cluster.api import Api  # noqa: E402
from belay_operator.engine.client import Client  # noqa: E402
from belay_operator.engine.resources import resource_of  # noqa: E402
from controllers import Controller, Operator  # noqa: E402
from kubeapi import connect, install, policy  # noqa: E402
from ranges import check  # noqa: E402
from watching import Listener, Watcher  # noqa: E402

C = TypeVar("C", bound=Controller)
STEPS = ("converge", "promote")
COMPARED = ("per_s", "requests_per_rollout", "events_per_rollout", "controller_cpu_ms")
QUIET_S = 5  # between two looks at the API server's counters; the operator posts ten Events a second


def main() -> None:
    """Run the load and hold it against its bands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small size")
    parser.add_argument("--alone", action="store_true", help="without Argo Rollouts, and without bands")
    parser.add_argument(
        "--plugin", type=Path, help="a Gateway API plugin of Argo Rollouts; default: our stand-in for it"
    )
    parser.add_argument("sizes", type=int, nargs="*", help="rollouts; default: all of load.yaml, which have bands")
    options = parser.parse_args()
    # Now, and not after minutes of measuring ours.
    programs = None if options.alone else argo_programs(options.plugin)
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    results, faulty = {}, 0
    for size in options.sizes or ([load["quick"]] if options.quick else load["sizes"]):
        with FakeCluster() as cluster:
            results[size] = asyncio.run(measure(cluster, size, load))
        if programs is not None:
            with FakeCluster() as cluster:
                argo = asyncio.run(measure_argo(cluster, size, load, *programs))
            results[size] |= {f"argo.{name}": value for name, value in argo.items()} | compared(results[size], argo)
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        bands = HERE / f"ranges.{size}.yaml"
        if options.alone or not bands.exists():
            print(json.dumps(results[size], indent=1))
        else:
            faulty |= check(bands, results[size])
    sys.exit(faulty)


@dataclass(frozen=True)
class Trial(Generic[C]):
    """One controller at work on one fake cluster."""

    cluster: FakeCluster
    controller: C
    load: Load
    client: Client
    watcher: Watcher
    size: int


@contextlib.asynccontextmanager
async def started(
    cluster: FakeCluster, controller: Callable[[Api], C], load: Load, size: int, *listeners: Listener
) -> AsyncIterator[Trial[C]]:
    """Give a controller that works, followed by a watcher, and end both."""
    cluster.populate()
    client = await connect(cluster.api.kubeconfig)
    watcher = Watcher(client, load.resource, NAMESPACE, load.settled, *listeners)
    process = controller(cluster.api)
    try:
        async with asyncio.TaskGroup() as group:  # a watch that fails ends the run: nobody would see anything any more
            watching = group.create_task(watcher.run())
            await process.ready()
            yield Trial(cluster, process, load, client, watcher, size)
            watching.cancel()
    finally:
        process.stop()
        await client.close()


async def measure(cluster: FakeCluster, size: int, load: dict[str, Any]) -> dict[str, float]:
    """Return every figure of our own operator at one size."""
    install(cluster.api, NAMESPACE)
    commands = Commands()

    def operator(api: Api) -> Operator:
        settings = {f"BELAY_{name.upper()}": str(value) for name, value in load["controller"].items()}
        return Operator(api, NAMESPACE, settings)

    async with started(cluster, operator, BelayLoad(), size, commands) as trial:
        found = {"raw_applies_per_s": await raw_rate(trial.client, load)}
        found |= await at_rest(trial, commands, load)
        print({name: round(value, 1) for name, value in found.items()}, flush=True)
        idle, own = trial.controller.rss_mib(), trial.controller.writes()
        found |= {"idle_rss_mib": idle} | await storm(trial)
        found["operator_writes_per_rollout"] = (trial.controller.writes() - own) / size
        found["events_dropped_per_rollout"] = trial.controller.metric("belay_events_dropped_total") / size
        found["kib_per_object"] = (found["rss_mib"] - idle) * 1024 / trial.controller.metric("belay_cache_objects")
    return found


async def measure_argo(
    cluster: FakeCluster, size: int, load: dict[str, Any], program: Path, plugin: Path
) -> dict[str, float]:
    """Return the figures of Argo Rollouts at one size."""
    kube = install(cluster.api, NAMESPACE)
    crds = gomodule.folder("github.com/argoproj/argo-rollouts", pinned_in="argotools") / "manifests/crds"
    for path in sorted(crds.glob("*-crd.yaml")):
        kube.run("apply", "--server-side", "-f", str(path))
    kube.established()
    kube.apply(plugins(NAMESPACE, plugin, load["controller"]))

    def argo(api: Api) -> ArgoRollouts:
        return ArgoRollouts(api, NAMESPACE, program, load["controller"])

    async with started(cluster, argo, ArgoLoad(), size) as trial:
        return {"idle_rss_mib": trial.controller.rss_mib()} | await storm(trial)


async def storm(trial: Trial[Any]) -> dict[str, float]:
    """Make all rollouts at once, then change all at once; return what each took, and what stays."""
    found: dict[str, float] = {}
    size, settled, client = trial.size, trial.load.settled, await connect(trial.cluster.api.kubeconfig)
    for step, make, goal in zip(STEPS, (trial.load.create, trial.load.change), "ab", strict=True):
        began, before, cpu = time.monotonic(), trial.cluster.mutations(), cpu_ms(trial)
        await make(client, size)
        await trial.watcher.until(lambda goal=goal: settled.on(goal) >= size, limit_s=120 + 2 * size)
        took = time.monotonic() - began
        made = (await quiet(trial.cluster, limit_s=120 + 2 * size)).since(before)
        found[f"{step}_per_s"] = size / took
        found[f"{step}_requests_per_rollout"] = made.others / size
        found[f"{step}_events_per_rollout"] = made.events / size
        for who, used in cpu_ms(trial).items():
            found[f"{step}_{who}_cpu_ms"] = (used - cpu[who]) / size
        print(f"{size} rollouts: {step} in {took:.1f} s; requests for each:\n{made.table(size)}", flush=True)
    await client.close()
    found["rss_mib"] = trial.controller.rss_mib()
    before = trial.cluster.mutations()
    await asyncio.sleep(QUIET_S)
    at_rest = trial.cluster.mutations().since(before)
    found["requests_at_rest_per_s"] = (at_rest.others + at_rest.events) / QUIET_S
    return found


async def quiet(cluster: FakeCluster, *, limit_s: float) -> Mutations:
    """Return the API server's counters once they stand still. Raises: TimeoutError."""
    async with asyncio.timeout(limit_s):
        found = cluster.mutations()
        while True:
            await asyncio.sleep(QUIET_S)
            before, found = found, cluster.mutations()
            if found == before:
                return found


def compared(ours: dict[str, float], argo: dict[str, float]) -> dict[str, float]:
    """Return our figures as multiples of Argo's."""
    names = [f"{step}_{figure}" for step in STEPS for figure in COMPARED] + ["rss_mib"]
    ratios = {f"of_argo.{name}": ours[name] / argo[name] for name in names if argo[name]}
    for whole, parts in (
        ("all_requests", ("requests_per_rollout", "events_per_rollout")),
        ("all_controller_cpu", ("controller_cpu_ms",)),
    ):
        sums = [sum(side[f"{step}_{part}"] for step in STEPS for part in parts) for side in (ours, argo)]
        ratios[f"of_argo.{whole}"] = sums[0] / sums[1]
    return ratios


def cpu_ms(trial: Trial[Any]) -> dict[str, float]:
    """Return the CPU milliseconds used so far by the controller, by API server and etcd, and by everything else."""
    cluster = trial.cluster
    return {
        "controller": trial.controller.cpu_s() * 1000,
        "api_server": cluster.cpu_s("kube-apiserver", "etcd") * 1000,
        "others": cluster.cpu_s("kube-controller-manager", "kube-scheduler", "kwok") * 1000,
    }


# --- at rest ----------------------------------------------------------------------------------------------------------
class Commands:
    """When each command was seen in a rollout's annotation, and when its answer in the status."""

    def __init__(self) -> None:
        self.asked: dict[int, float] = {}
        self.answered: dict[int, float] = {}

    def __call__(self, obj: Any) -> None:
        now = time.monotonic()
        command = (obj["metadata"].get("annotations") or {}).get("belay.dev/command")
        if command:
            self.asked.setdefault(int(command.partition("@")[2]), now)
        for done in (obj.get("status") or {}).get("commands") or ():
            self.answered.setdefault(int(done["id"]), now)


async def raw_rate(client: Client, load: dict[str, Any]) -> float:
    """Return how many server-side applies a second this API server takes from one client process like ours."""
    end, count = time.monotonic() + load["raw_seconds"], 0

    async def go(number: int) -> None:
        nonlocal count
        turn = 0
        while time.monotonic() < end:
            turn += 1
            data = {"turn": str(turn)}
            meta = {"name": f"raw-{number}", "namespace": NAMESPACE}
            await client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
            count += 1

    began = time.monotonic()
    await asyncio.gather(*(go(number) for number in range(load["clients"])))
    return count / (time.monotonic() - began)


async def at_rest(trial: Trial[Any], commands: Commands, load: dict[str, Any]) -> dict[str, float]:
    """Send commands to a resting rollout; time from the change in the watch to the status in the same watch."""
    client, watcher, settled = trial.client, trial.watcher, trial.load.settled
    await client.create(policy(NAMESPACE, "rest-a"))
    await client.create(rollout("rest", "rest-a"))
    await watcher.until(lambda: settled.on("a") >= 1, limit_s=60)
    await asyncio.sleep(2)
    resource, waits, writes = resource_of("RLRollout"), [], []
    path = resource.path(NAMESPACE, "rest")
    for number in range(load["latency"]["samples"]):
        command = {"metadata": {"annotations": {"belay.dev/command": f"resume@{number}"}}}
        began = time.monotonic()
        await client.call("PATCH", resource, path, body=command, media="application/merge-patch+json")
        writes.append(time.monotonic() - began)
        await watcher.until(lambda number=number: number in commands.answered, limit_s=10)
        waits.append(commands.answered[number] - commands.asked[number])
        await asyncio.sleep(load["latency"]["pause"])
    await client.call("DELETE", resource, path)
    policies = resource_of("RLPolicy")
    await client.call("DELETE", policies, policies.path(NAMESPACE, "rest-a"))
    await asyncio.sleep(1)
    settled.forget()
    cuts = statistics.quantiles(waits, n=100)
    write = statistics.median(writes)
    return {
        "event_to_status.p50_ms": cuts[49] * 1000,
        "event_to_status.p50_over_one_write_ms": (cuts[49] - write) * 1000,
        "event_to_status.p99_ms": cuts[98] * 1000,
        "one_api_write.p50_ms": write * 1000,
    }


if __name__ == "__main__":
    main()
