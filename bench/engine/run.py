"""Measure the operator's engine: latency at rest, rates, CPU, memory and writes with hundreds of rollouts.

A real control plane with fake nodes (`fake_cluster.py`): Deployments become pods that kwok calls Ready, routes are
accepted, nothing runs and nothing is served. All share the machine's cores, so rates are a lower bound and shift with
its load; CPU time, counts (writes, bytes) and ratios within one run hold still. What the API server and the other
programs use stands beside the operator's own: it is the part that no operator can save. Each rollout has its own
policies: first one is taken up (converge), then every rollout gets a second one and carries it through a weight step
(promote).

    python bench/engine/run.py [--quick | SIZE ...]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "api"), str(ROOT / "operator"), str(ROOT / "dev/cluster"), str(ROOT / "bench")]

import aiohttp  # noqa: E402
import orjson  # noqa: E402
import yaml  # noqa: E402
from fake_cluster import FakeCluster  # noqa: E402
from kubernetes.aio import config  # noqa: E402
from kubernetes.aio.client.configuration import Configuration  # noqa: E402

from belay_cluster import gomodule  # noqa: E402
from belay_cluster.api import Api  # noqa: E402
from belay_operator.engine.client import Client  # noqa: E402
from belay_operator.engine.resources import resource_of  # noqa: E402
from ranges import check  # noqa: E402

NAMESPACE = "bench"
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
WRITES = ("PATCH", "PUT", "POST", "DELETE")


def main() -> None:
    """Run the load and hold it against its bands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small size")
    parser.add_argument("sizes", type=int, nargs="*", help="rollouts; default: all of load.yaml. Each has its bands")
    options = parser.parse_args()
    load = yaml.safe_load((HERE / "load.yaml").read_text())
    results, faulty = {}, 0
    for size in options.sizes or ([load["quick"]] if options.quick else load["sizes"]):
        with FakeCluster() as cluster:
            results[size] = asyncio.run(measure(cluster, size, load))
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        faulty |= check(HERE / f"ranges.{size}.yaml", results[size])
    sys.exit(faulty)


async def measure(cluster: FakeCluster, size: int, load: dict[str, Any]) -> dict[str, float]:
    """Return every figure of one size."""
    api = cluster.api
    install(api)
    cluster.populate()
    client = await connect(api)
    watcher = Watcher(client)
    helpers = [asyncio.create_task(watcher.run("RLRollout"))]
    operator = Process(api, load["operator"])
    found: dict[str, float] = {}
    try:
        await operator.ready()
        raw = await raw_rate(client, load)
        found["raw_applies_per_s"] = raw
        found |= await at_rest(client, watcher, load)
        print({name: round(value, 1) for name, value in found.items()}, flush=True)
        idle = operator.rss_mib()
        found["idle_rss_mib"] = idle
        for step, make in (("converge", create), ("promote", change)):
            goal, began = "a" if step == "converge" else "b", time.monotonic()
            (writes, events), cpu = operator.writes(), cpu_ms(operator, cluster)
            await make(client, size)
            await watcher.until(lambda goal=goal: watcher.healthy(goal) >= size, limit_s=120 + 2 * size)
            took = time.monotonic() - began
            writes, events = (after - before for after, before in zip(operator.writes(), (writes, events), strict=True))
            found[f"{step}_per_s"] = size / took
            found[f"{step}_writes_per_rollout"] = writes / size
            found[f"{step}_events_per_rollout"] = events / size
            found[f"{step}_share_of_raw_rate"] = (writes + events) / took / raw
            for who, used in cpu_ms(operator, cluster).items():
                found[f"{step}_{who}_cpu_ms"] = (used - cpu[who]) / size
            print(f"{size} rollouts: {step} in {took:.1f} s, {writes / size:.1f} writes each", flush=True)
        await asyncio.sleep(3)
        objects = operator.metric("belay_cache_objects")
        found["rss_mib"] = operator.rss_mib()
        found["kib_per_object"] = (operator.rss_mib() - idle) * 1024 / objects
        before, _ = operator.writes()  # Events have a rate of their own, and still come long after
        await asyncio.sleep(5)
        found["writes_at_rest_per_s"] = (operator.writes()[0] - before) / 5
    finally:
        operator.stop()
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await client.close()
    return found


def cpu_ms(operator: "Process", cluster: FakeCluster) -> dict[str, float]:
    """Return the CPU milliseconds used so far by the operator, by API server and etcd, and by everything else."""
    return {
        "operator": operator.cpu_s() * 1000,
        "api_server": cluster.cpu_s("kube-apiserver", "etcd") * 1000,
        "others": cluster.cpu_s("kube-controller-manager", "kube-scheduler", "kwok") * 1000,
    }


# --- the load ---------------------------------------------------------------------------------------------------------
async def create(client: Client, size: int) -> None:
    """Policies a and b and a rollout of a, for each number."""
    await each(size, lambda n: client.create(policy(f"p{n}-a")))
    await each(size, lambda n: client.create(policy(f"p{n}-b")))
    await each(size, lambda n: client.create(rollout(n, f"p{n}-a")))


async def change(client: Client, size: int) -> None:
    """Give every rollout its second policy."""
    patch = [{"op": "replace", "path": "/spec/policy/name"}]
    resource = resource_of("RLRollout")
    await each(
        size,
        lambda n: client.call(
            "PATCH",
            resource,
            resource.path(NAMESPACE, f"r{n}"),
            body=[{**patch[0], "value": f"p{n}-b"}],
            media="application/json-patch+json",
        ),
    )


async def each(size: int, one: Callable[[int], Any]) -> None:
    gate = asyncio.Semaphore(16)

    async def held(number: int) -> None:
        async with gate:
            await one(number)

    await asyncio.gather(*(held(number) for number in range(size)))


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


async def at_rest(client: Client, watcher: "Watcher", load: dict[str, Any]) -> dict[str, float]:
    """Send commands to a resting rollout; time from the change in the watch to the status in the same watch."""
    await client.create(policy("rest-a"))
    await client.create(rollout("est", "rest-a"))
    await watcher.until(lambda: watcher.healthy("a") >= 1, limit_s=60)
    await asyncio.sleep(2)
    resource, waits, writes = resource_of("RLRollout"), [], []
    path = resource.path(NAMESPACE, "rest")
    for number in range(load["latency"]["samples"]):
        command = {"metadata": {"annotations": {"belay.dev/command": f"resume@{number}"}}}
        began = time.monotonic()
        await client.call("PATCH", resource, path, body=command, media="application/merge-patch+json")
        writes.append(time.monotonic() - began)
        await watcher.until(lambda number=number: number in watcher.answered, limit_s=10)
        waits.append(watcher.answered[number] - watcher.asked[number])
        await asyncio.sleep(load["latency"]["pause"])
    await client.call("DELETE", resource, path)
    policies = resource_of("RLPolicy")
    await client.call("DELETE", policies, policies.path(NAMESPACE, "rest-a"))
    await asyncio.sleep(1)
    watcher.forget()
    cuts = statistics.quantiles(waits, n=100)
    write = statistics.median(writes)
    return {
        "event_to_status.p50_ms": cuts[49] * 1000,
        "event_to_status.p50_over_one_write_ms": (cuts[49] - write) * 1000,
        "event_to_status.p99_ms": cuts[98] * 1000,
        "one_api_write.p50_ms": write * 1000,
    }


def policy(name: str) -> dict[str, Any]:
    digest = name.encode().hex().ljust(64, "0")[:64]
    artifact = {"uri": f"store://sha256/{digest}", "digest": f"sha256:{digest}"}
    return _object("RLPolicy", name, {"artifact": artifact})


def rollout(number: int | str, policy_name: str) -> dict[str, Any]:
    spec = {
        "policy": {"name": policy_name},
        "replicas": 1,
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "steps": [{"setWeight": 50}, {"pause": {"duration": "1s"}}],
        "bake": {"duration": "1s", "keepWarm": "1h"},
    }
    return _object("RLRollout", f"r{number}", spec)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "belay.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


# --- around it --------------------------------------------------------------------------------------------------------
class Watcher:
    """What a user with `kubectl get -w` would see, with times."""

    def __init__(self, client: Client) -> None:
        self._client, self._changed = client, asyncio.Event()
        self._stable: dict[str, str] = {}
        self.asked: dict[int, float] = {}
        self.answered: dict[int, float] = {}

    def healthy(self, side: str) -> int:
        """Return how many rollouts are Healthy on their policy `side`."""
        return sum(1 for policy in self._stable.values() if policy.endswith(f"-{side}"))

    def forget(self) -> None:
        self._stable.clear()

    async def until(self, true: Callable[[], bool], *, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def run(self, kind: str) -> None:
        """Follow `kind` until cancelled; a watch that the API server closes (we were too slow) starts over."""
        resource = resource_of(kind)
        while True:
            page = await self._client.list(kind, NAMESPACE)
            for item in page.items:
                self._see({"type": "MODIFIED", "object": item})
            query = f"watch=true&resourceVersion={page.resource_version}"
            url = f"{self._client.configuration.host}{resource.path(NAMESPACE)}?{query}"
            session = self._client._rest.pool_manager
            assert session is not None
            limit = aiohttp.ClientTimeout(total=None)
            try:
                async with session.get(url, timeout=limit) as stream:
                    async for line in stream.content:
                        self._see(orjson.loads(line))
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)

    def _see(self, event: dict[str, Any]) -> None:
        if event["type"] not in ("ADDED", "MODIFIED"):
            return
        obj, now = event["object"], time.monotonic()
        status = obj.get("status") or {}
        if status.get("phase") == "Healthy":
            self._stable[obj["metadata"]["name"]] = status["stable"]["policy"]
        command = (obj["metadata"].get("annotations") or {}).get("belay.dev/command")
        if command:
            self.asked.setdefault(int(command.partition("@")[2]), now)
        for done in status.get("commands") or ():
            self.answered.setdefault(int(done["id"]), now)
        self._changed.set()


class Process:
    """The operator under measurement."""

    def __init__(self, api: Api, settings: dict[str, Any]) -> None:
        self._log = api.folder / "operator.log"
        env = environment(api) | {
            "BELAY_SYSTEM_NAMESPACE": NAMESPACE,
            "BELAY_LEADER_ELECTION": "off",
            "BELAY_PORT": "0",
            "BELAY_QPS": str(settings["qps"]),
            "BELAY_BURST": str(settings["burst"]),
            "BELAY_WORKERS": str(settings["workers"]),
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, sys.executable, "-m", "belay_operator.main"], cwd=ROOT, env=env, stderr=log, stdout=log
            )

    async def ready(self) -> None:
        async with asyncio.timeout(30):
            while "complete after" not in self._log.read_text():  # noqa: ASYNC110 -- the fact is in a file
                await asyncio.sleep(0.05)
        await asyncio.sleep(2)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        lines = [line for line in self._log.read_text().splitlines() if " WARNING " in line or " ERROR " in line]
        for line in lines[:10]:
            print(f"operator: {line}", file=sys.stderr)

    def rss_mib(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_s(self) -> float:
        return self.metric("process_cpu_seconds_total")

    def writes(self) -> tuple[float, float]:
        """Return the writes so far, every try counted: those that change something, and Events."""
        made = [one for one in self._samples("belay_api_calls_total") if any(f'verb="{v}"' in one[0] for v in WRITES)]
        events = sum(value for labels, value in made if 'kind="Event"' in labels)
        return sum(value for _, value in made) - events, events

    def metric(self, name: str) -> float:
        return sum(value for _, value in self._samples(name))

    def _samples(self, name: str) -> list[tuple[str, float]]:
        port = self._log.read_text().split("health on port ")[1].split(",")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rsplit(" ", 1) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return [(labels, float(value)) for labels, value in found]


def environment(api: Api) -> dict[str, str]:
    """Return the environment of the processes beside us."""
    path = os.pathsep.join([str(ROOT / "api"), str(ROOT / "operator"), str(ROOT)])
    return {
        "KUBECONFIG": str(api.kubeconfig),
        "PYTHONPATH": path,
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
    }


def install(api: Api) -> None:
    """Apply the CRDs and make the namespace."""
    from tests.api.engine.kube import Kube  # noqa: PLC0415 -- after sys.path is set

    kube = Kube(api.kubeconfig)
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        kube.run("apply", "--server-side", "-f", str(path))
    crds = gomodule.folder("sigs.k8s.io/gateway-api") / "config/crd/standard"
    kube.run("apply", "--server-side", "-f", str(crds / "gateway.networking.k8s.io_httproutes.yaml"))
    kube.established()
    kube.run("create", "namespace", NAMESPACE)


async def connect(api: Api) -> Client:
    """Return a client without a rate limit worth the name."""
    configuration = Configuration()
    await config.load_kube_config(str(api.kubeconfig), client_configuration=configuration)
    return Client(configuration, rate_per_s=100_000, burst=100_000)


if __name__ == "__main__":
    main()
