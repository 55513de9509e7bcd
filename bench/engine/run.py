"""Measure the operator's engine, and the Argo Rollouts controller beside it, with hundreds of rollouts.

A real control plane with fake nodes (`fake_cluster.py`): workloads become pods that kwok calls Ready, routes are
accepted, nothing runs and nothing is served. Each controller gets a fresh control plane, so that neither pays for what
the other has left. All share the machine's cores, so rates are a lower bound and shift with its load; CPU time, counts
(writes, bytes) and ratios within one run hold still. What the API server and the other programs use stands beside the
controller's own: it is the part that no controller can save. What is done to each is in `loads.py`.

    make bench-engine [ARGS="[--quick] [--alone] [SIZE ...]"]
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "api"), str(ROOT / "operator"), str(ROOT / "dev/cluster"), str(ROOT / "bench")]

import yaml  # noqa: E402
from controllers import ArgoRollouts, Controller, Operator, argo_program  # noqa: E402
from fake_cluster import FakeCluster  # noqa: E402
from kubernetes.aio import config  # noqa: E402
from kubernetes.aio.client.configuration import Configuration  # noqa: E402
from loads import NAMESPACE, ArgoLoad, BelayLoad, Load, policy, rollout  # noqa: E402
from watching import Settled, Watcher  # noqa: E402

from belay_cluster import gomodule  # noqa: E402
from belay_cluster.api import Api  # noqa: E402
from belay_operator.engine.client import Client  # noqa: E402
from belay_operator.engine.resources import resource_of  # noqa: E402
from ranges import check  # noqa: E402

COMPARED = ("per_s", "writes_per_rollout", "events_per_rollout", "controller_cpu_ms")


def main() -> None:
    """Run the load and hold it against its bands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small size")
    parser.add_argument("--alone", action="store_true", help="without Argo Rollouts, and without bands")
    parser.add_argument("sizes", type=int, nargs="*", help="rollouts; default: all of load.yaml. Each has its bands")
    options = parser.parse_args()
    if not options.alone:
        argo_program()  # now, and not after minutes of measuring ours
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    results, faulty = {}, 0
    for size in options.sizes or ([load["quick"]] if options.quick else load["sizes"]):
        with FakeCluster() as cluster:
            results[size] = asyncio.run(measure(cluster, size, load))
        if not options.alone:
            with FakeCluster() as cluster:
                argo = asyncio.run(measure_argo(cluster, size, load))
            results[size] |= argo | compared(results[size], argo)
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        if options.alone:
            print(json.dumps(results[size], indent=1))
        else:
            faulty |= check(HERE / f"ranges.{size}.yaml", results[size])
    sys.exit(faulty)


async def measure(cluster: FakeCluster, size: int, load: dict[str, Any]) -> dict[str, float]:
    """Return every figure of our own operator at one size."""
    install(cluster.api)
    cluster.populate()
    client = await connect(cluster.api)
    belay = BelayLoad()
    commands = Commands()
    watcher = Watcher(client, belay.resource, NAMESPACE, belay.settled, commands)
    watching = asyncio.create_task(watcher.run())
    operator = Operator(cluster.api, NAMESPACE, load["controller"])
    found: dict[str, float] = {}
    try:
        await operator.ready()
        raw = found["raw_applies_per_s"] = await raw_rate(client, load)
        found |= await at_rest(client, watcher, belay.settled, commands, load)
        print({name: round(value, 1) for name, value in found.items()}, flush=True)
        idle = found["idle_rss_mib"] = operator.rss_mib()
        found |= await storm(cluster, operator, belay, watcher, size)
        for step in ("converge", "promote"):
            written = found[f"{step}_writes_per_rollout"] + found[f"{step}_events_per_rollout"]
            found[f"{step}_share_of_raw_rate"] = written * found[f"{step}_per_s"] / raw
        await asyncio.sleep(3)
        found["rss_mib"] = operator.rss_mib()
        found["kib_per_object"] = (operator.rss_mib() - idle) * 1024 / operator.metric("belay_cache_objects")
        before, _ = operator.writes()  # Events have a rate of their own, and still come long after
        await asyncio.sleep(5)
        found["writes_at_rest_per_s"] = (operator.writes()[0] - before) / 5
    finally:
        operator.stop()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await client.close()
    return found


async def measure_argo(cluster: FakeCluster, size: int, load: dict[str, Any]) -> dict[str, float]:
    """Return the figures of Argo Rollouts at one size, each with the prefix `argo.`."""
    install(cluster.api, argo=True)
    cluster.populate()
    client = await connect(cluster.api)
    theirs = ArgoLoad()
    watcher = Watcher(client, theirs.resource, NAMESPACE, theirs.settled)
    watching = asyncio.create_task(watcher.run())
    controller = ArgoRollouts(cluster.api, load["controller"])
    found: dict[str, float] = {}
    try:
        await controller.ready()
        found["idle_rss_mib"] = controller.rss_mib()
        found |= await storm(cluster, controller, theirs, watcher, size)
        await asyncio.sleep(3)
        found["rss_mib"] = controller.rss_mib()
    finally:
        controller.stop()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await client.close()
    return {f"argo.{name}": value for name, value in found.items()}


async def storm(
    cluster: FakeCluster, controller: Controller, load: Load, watcher: Watcher, size: int
) -> dict[str, float]:
    """Make all rollouts at once, then change all at once; return rates, writes and CPU time for each."""
    found: dict[str, float] = {}
    client = await connect(cluster.api)
    for step, make, goal in (("converge", load.create, "a"), ("promote", load.change, "b")):
        began = time.monotonic()
        (writes, events), cpu = controller.writes(), cpu_ms(controller, cluster)
        await make(client, size)
        await watcher.until(lambda goal=goal: load.settled.on(goal) >= size, limit_s=120 + 2 * size)
        took = time.monotonic() - began
        writes, events = (after - before for after, before in zip(controller.writes(), (writes, events), strict=True))
        found[f"{step}_per_s"] = size / took
        found[f"{step}_writes_per_rollout"] = writes / size
        found[f"{step}_events_per_rollout"] = events / size
        for who, used in cpu_ms(controller, cluster).items():
            found[f"{step}_{who}_cpu_ms"] = (used - cpu[who]) / size
        print(f"{size} rollouts: {step} in {took:.1f} s, {writes / size:.1f} writes each", flush=True)
    await client.close()
    return found


def compared(ours: dict[str, float], argo: dict[str, float]) -> dict[str, float]:
    """Return our figures as multiples of Argo's."""
    names = [f"{step}_{figure}" for step in ("converge", "promote") for figure in COMPARED] + ["rss_mib"]
    ratios = {f"of_argo.{name}": ours[name] / argo[f"argo.{name}"] for name in names if argo[f"argo.{name}"]}
    writes = [
        sum(
            found[f"{prefix}{step}_{what}_per_rollout"]
            for step in ("converge", "promote")
            for what in ("writes", "events")
        )
        for found, prefix in ((ours, ""), (argo, "argo."))
    ]
    return ratios | {"of_argo.all_writes": writes[0] / writes[1]}


def cpu_ms(controller: Controller, cluster: FakeCluster) -> dict[str, float]:
    """Return the CPU milliseconds used so far by the controller, by API server and etcd, and by everything else."""
    return {
        "controller": controller.cpu_s() * 1000,
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


async def at_rest(
    client: Client, watcher: Watcher, settled: Settled, commands: Commands, load: dict[str, Any]
) -> dict[str, float]:
    """Send commands to a resting rollout; time from the change in the watch to the status in the same watch."""
    await client.create(policy("rest-a"))
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


# --- around it --------------------------------------------------------------------------------------------------------
def install(api: Api, *, argo: bool = False) -> None:
    """Apply the CRDs and make the namespace."""
    from tests.api.engine.kube import Kube  # noqa: PLC0415 -- after sys.path is set

    kube = Kube(api.kubeconfig)
    routes = gomodule.folder("sigs.k8s.io/gateway-api") / "config/crd/standard"
    paths = [*sorted((ROOT / "crds").glob("*.yaml")), routes / "gateway.networking.k8s.io_httproutes.yaml"]
    if argo:
        crds = gomodule.folder("github.com/argoproj/argo-rollouts", pinned_in="argotools") / "manifests/crds"
        paths += sorted(crds.glob("*-crd.yaml"))
    for path in paths:
        kube.run("apply", "--server-side", "-f", str(path))
    kube.established()
    kube.run("create", "namespace", NAMESPACE)


async def connect(api: Api) -> Client:
    """Return a client without a rate limit worth the name."""
    configuration = Configuration()
    await config.load_kube_config(str(api.kubeconfig), client_configuration=configuration)
    return Client(configuration, rate_per_s=100_000, burst=100_000)


if __name__ == "__main__":
    main()
