"""A stand-in for controllers, kubelets and gateway, where only an API server runs.

It does what they would report, quickly and without pods: a Deployment gets its replicas and ready Pods with the init
container's LoadReport, an HTTPRoute is accepted by its gateways, and each pod answers a scrape with the requests that
`served` counts: none, unless somebody plays (`bench/rollback`). So it shows what the operator does with the API, and
nothing of traffic. Real controllers with fake nodes, for which a
test has no time, are in `bench/engine/fake_cluster.py`.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from tests.in_thread import in_thread

from belay_api import names
from belay_operator.engine.client import Client
from belay_operator.engine.errors import ApiError, Conflict, NotFound
from belay_operator.engine.resources import resource_of

SINCE = "2026-01-01T00:00:00Z"


class DataPlane:
    """Answers for every Deployment and HTTPRoute of one namespace."""

    def __init__(
        self, kubeconfig: Path, namespace: str, *, address: str = "127.0.0.1", pods_at: str | None = None
    ) -> None:
        """Args: pods_at: where pods say they are, for those who list them; None: where they are, and answer."""
        self._kubeconfig, self._namespace, self._address = kubeconfig, namespace, address
        self._pods_at = pods_at or address
        self.served: Counter[str] = Counter()  # requests by policy, all without an error
        self._policies: set[str] = set()
        self._gate = asyncio.Semaphore(16)
        self._known: dict[str, tuple[int, int]] = {}  # Deployment -> generation and replicas it was answered for

    async def run(self) -> None:
        """Answer until cancelled."""
        configuration = Configuration()
        await config.load_kube_config(str(self._kubeconfig), client_configuration=configuration)
        client = Client(configuration, rate_per_s=10_000, burst=10_000)
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, self._address, names.METRICS_PORT).start()
        try:
            async with asyncio.TaskGroup() as group:
                for kind, answer in (("Deployment", self._deploy), ("HTTPRoute", self._accept)):
                    group.create_task(self._follow(client, kind, answer, group))
        finally:
            await runner.cleanup()
            await client.close()

    async def _follow(self, client: Client, kind: str, answer: Any, group: asyncio.TaskGroup) -> None:
        async for obj in self._watch(client, kind):
            group.create_task(self._guarded(answer, client, obj))

    async def _guarded(self, answer: Any, client: Client, obj: dict[str, Any]) -> None:
        async with self._gate:
            for _ in range(5):
                try:
                    await answer(client, obj)
                    return
                except (NotFound, Conflict):
                    return  # it is gone, or newer already: that event comes
                except ApiError:
                    await asyncio.sleep(0.1)

    async def _watch(self, client: Client, kind: str) -> AsyncIterator[dict[str, Any]]:
        resource = resource_of(kind)
        while True:
            try:
                page = await client.list(kind, self._namespace)
            except ApiError:
                await asyncio.sleep(0.2)
                continue
            for item in page.items:
                yield item
            query = f"watch=true&resourceVersion={page.resource_version}&labelSelector={resource.selector}"
            url = f"{client.configuration.host}{resource.path(self._namespace)}?{query}"
            session = client._rest.pool_manager
            assert session is not None
            try:
                async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as stream:
                    async for line in stream.content:
                        event = json.loads(line)
                        if event["type"] in ("ADDED", "MODIFIED"):
                            yield event["object"]
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)

    async def _deploy(self, client: Client, deployment: dict[str, Any]) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        wanted = (meta["generation"], spec.get("replicas", 1))
        if self._known.get(meta["uid"]) == wanted or "deletionTimestamp" in meta:
            return
        before = self._known.get(meta["uid"], (0, 0))[1]
        self._known[meta["uid"]] = wanted
        labels = spec["template"]["metadata"]["labels"]
        policy, replicas = labels.get(names.POLICY_LABEL, meta["name"]), wanted[1]
        self._policies.add(policy)
        pods, path = resource_of("Pod"), resource_of("Pod").path(self._namespace)
        env = {entry["name"]: entry.get("value") for entry in spec["template"]["spec"]["containers"][0].get("env", ())}
        for number in range(replicas):
            pod = _pod(f"{meta['name']}-{number}", self._namespace, labels, deployment)
            try:
                made = await client.create(pod)
            except Conflict:
                continue
            status = _pod_status(self._pods_at, env.get("BELAY_ARTIFACT_DIGEST") or _digest(spec))
            await client.replace_status({**made, "apiVersion": "v1", "kind": "Pod"}, status)
        for number in range(replicas, before):
            with contextlib.suppress(NotFound):
                await client.call("DELETE", pods, f"{path}/{meta['name']}-{number}", body={"gracePeriodSeconds": 0})
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
        status = {"observedGeneration": meta["generation"], **(counts if replicas else {})}
        live = await client.get("Deployment", self._namespace, meta["name"])
        if live is not None:
            await client.replace_status(live, status)

    async def _accept(self, client: Client, route: dict[str, Any]) -> None:
        generation = route["metadata"]["generation"]
        held = [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "",
                "observedGeneration": generation,
                "lastTransitionTime": SINCE,
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        refs = route["spec"]["parentRefs"]
        parents = [{"parentRef": ref, "controllerName": "test.dev/stand-in", "conditions": held} for ref in refs]
        if (route.get("status") or {}).get("parents") != parents:
            await client.replace_status(route, {"parents": parents})

    async def _metrics(self, request: web.Request) -> web.Response:
        lines = []
        for policy in sorted(self._policies):
            label, served = f'{{policy="{policy}"}}', self.served[policy]
            lines += [f"belay_requests_total{label} {served}", f"belay_request_errors_total{label} 0"]
            lines += [f'belay_request_seconds_bucket{{policy="{policy}",le="+Inf"}} {served}']
            lines += [f"belay_request_seconds_count{label} {served}", f"belay_request_seconds_sum{label} 0"]
        return web.Response(text="\n".join(lines) + "\n")


class DataPlaneThread:
    """`with DataPlaneThread(...)`: the data plane in a thread of the test."""

    def __init__(self, kubeconfig: Path, namespace: str, *, address: str, pods_at: str | None = None) -> None:
        self._thread = in_thread(_running(DataPlane(kubeconfig, namespace, address=address, pods_at=pods_at)))

    def __enter__(self) -> "DataPlaneThread":
        self._thread.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.__exit__(kind, error, trace)


@contextlib.asynccontextmanager
async def _running(plane: DataPlane) -> AsyncIterator[None]:
    task = asyncio.create_task(plane.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _pod(name: str, namespace: str, labels: dict[str, str], deployment: dict[str, Any]) -> dict[str, Any]:
    meta = deployment["metadata"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {
            "nodeName": "stand-in",
            "automountServiceAccountToken": False,
            "initContainers": [{"name": "fetch", "image": "none"}],
            "containers": [{"name": "server", "image": "none"}],
        },
    }


def _digest(spec: dict[str, Any]) -> str | None:
    for container in spec["template"]["spec"].get("initContainers", ()):
        for entry in container.get("env", ()):
            if entry["name"] == "BELAY_ARTIFACT_DIGEST":
                return str(entry["value"])
    return None


def _pod_status(address: str, digest: str | None) -> dict[str, Any]:
    report = {"reason": "Verified", "digest": digest, "observation": "Box(4)", "action": "Discrete(2)"}
    ended = {
        "exitCode": 0,
        "message": json.dumps(report),
        "reason": "Completed",
        "startedAt": SINCE,
        "finishedAt": SINCE,
    }
    plain = {"ready": True, "restartCount": 0, "image": "none", "imageID": "none"}
    kinds = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": SINCE,
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": SINCE} for kind in kinds],
        "initContainerStatuses": [{"name": "fetch", "state": {"terminated": ended}, **plain}],
        "containerStatuses": [{"name": "server", "state": {"running": {"startedAt": SINCE}}, **plain, "started": True}],
    }
