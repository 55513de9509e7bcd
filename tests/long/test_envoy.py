"""The gateway source against a real Envoy, set up as Envoy Gateway sets up its proxies, with pods that answer, answer
503, reset, hang and refuse connections. What it counts is held against what the callers saw.
"""

import asyncio
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.stage import KEY, SPEC
from tests.world import World, belay_object

from belay_api.names import POLICY_LABEL
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.watch import WatchSpec
from belay_api.units import format_instant
from belay_cluster.builder import fetch_envoy
from belay_cluster.paths import from_environment
from belay_cluster.shell import Laps
from belay_operator.rollout import standing
from belay_operator.rollout.facts import GatewayFact
from belay_operator.rollout.sources import proxies
from belay_operator.rollout.sources.endpoints import SETTLED_IN
from belay_operator.rollout.sources.gateway import GatewaySource
from belay_operator.rollout.standing import Standing

PATIENCE_S, IMPATIENCE_S = 30.0, 1.5  # of a caller: more than Envoy's, and less
SERVING = 18085
PODS = {"stable-0": "127.0.0.31", "candidate-0": "127.0.0.32", "stranger-0": "127.0.0.33"}
PROXIES = ("127.0.0.41", "127.0.0.42")
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 Bad\r\ncontent-length: 2\r\n\r\nno"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok"
MISSING = b"HTTP/1.1 404 Missing\r\ncontent-length: 2\r\n\r\nno"


class Pod:
    """A serving pod that answers as it is told to."""

    def __init__(self, address: str) -> None:
        self.address, self.way, self.asked = address, "answers", 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.address, SERVING)

    async def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                if self.way == "resets":
                    break
                if self.way == "hangs":
                    await asyncio.sleep(60)
                writer.write({"503": BAD, "404": MISSING, "cut": HEAD}.get(self.way, OK))
                await writer.drain()
                if self.way == "cut":  # once the head has gone on
                    await asyncio.sleep(0.1)
                    break
        writer.transport.abort()


@dataclass
class Proxy:
    """One Envoy on an address of its own, with its statistics where Envoy Gateway's proxies have them."""

    address: str
    folder: Path
    binary: Path
    stats_port: int
    clusters: dict[str, list[str]]
    by_endpoint: bool = True
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    async def start(self) -> None:
        log, process = self._launch()
        for port in (8080, self.stats_port):
            async with asyncio.timeout(120):
                while True:
                    with suppress(OSError):
                        (await asyncio.open_connection(self.address, port))[1].close()
                        break
                    assert process.poll() is None, log.read_text()[-2000:]
                    await asyncio.sleep(0.05)

    def _launch(self) -> tuple[Path, subprocess.Popen[bytes]]:
        config, path = (self.folder / f"{self.address}.{end}" for end in ("yaml", "log"))
        config.write_text(yaml.safe_dump(self._config()))
        options = ["--concurrency", "2", "--disable-hot-restart", "-l", "error"]
        with path.open("ab") as log:
            self.process = subprocess.Popen([self.binary, "-c", config, *options], stdout=log, stderr=log)
        return path, self.process

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pod(self) -> dict[str, Any]:
        labels = {proxies.NAME_LABEL: "gw", proxies.NAMESPACE_LABEL: "default"}
        meta = {"name": f"envoy-{self.address[-1]}", "namespace": "envoy-gateway-system", "labels": labels}
        ready = [{"type": "Ready", "status": "True"}]
        return {"kind": "Pod", "metadata": meta, "status": {"podIP": self.address, "conditions": ready}}

    def _config(self) -> dict[str, Any]:
        def listener(port: int, routes: list[dict[str, Any]]) -> dict[str, Any]:
            hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
            filters = [{"name": "router", "typed_config": {"@type": ROUTER}}]
            said = {
                "@type": HCM,
                "stat_prefix": "in",
                "route_config": {"virtual_hosts": hosts},
                "http_filters": filters,
            }
            chain = {"filters": [{"name": "hcm", "typed_config": said}]}
            return {"name": str(port), "address": _at(self.address, port), "filter_chains": [chain]}

        public = [
            {"match": {"path": f"/{index}"}, "route": {"cluster": name, "timeout": "2s"}}
            for index, name in enumerate(self.clusters)
        ]
        stats = [{"match": {"path": "/stats/prometheus"}, "route": {"cluster": "prometheus_stats"}}]
        ours = [
            _cluster(name, [(address, SERVING) for address in addresses])
            | ({"track_cluster_stats": {"per_endpoint_stats": True}} if self.by_endpoint else {})
            for name, addresses in self.clusters.items()
        ]
        return {
            "admin": {"address": _at(self.address, 19000)},
            "static_resources": {
                "listeners": [listener(8080, public), listener(self.stats_port, stats)],
                "clusters": [*ours, _cluster("prometheus_stats", [(self.address, 19000)])],
            },
        }


def _at(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _cluster(name: str, endpoints: list[tuple[str, int]]) -> dict[str, Any]:
    told = [{"endpoint": {"address": _at(*endpoint)}} for endpoint in endpoints]
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": told}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment}


class Scene:
    """A rollout on trial, its pods, two proxies, and the source that counts."""

    def __init__(self, folder: Path, binary: Path, http: aiohttp.ClientSession) -> None:
        with socket.socket() as probe:
            probe.bind((PROXIES[0], 0))
            port = probe.getsockname()[1]
        self.port, self.http = port, http
        self.pods = {name: Pod(address) for name, address in PODS.items()}
        served = [PODS["stable-0"], PODS["candidate-0"]]
        self.clusters = {
            "httproute/default/cartpole/rule/0": served,
            "httproute/default/cartpole/rule/1": [PODS["candidate-0"]],
            "httproute/default/cartpole/rule/0-mirror-0": [PODS["candidate-0"]],
            "httproute/default/another/rule/0": served,
        }
        self.proxies = [Proxy(address, folder, binary, port, self.clusters) for address in PROXIES]
        at = format_instant(datetime.now(UTC))
        sides = {side: {"policy": side, "digest": side, "since": at} for side in ("stable", "candidate")}
        status = sides | {"weight": {"desired": 50, "applied": 50, "since": at}, "analysisStartedAt": at}
        metrics = [{"name": "errors", "source": {"gateway": "errorRate"}, "limit": {"max": "5%", "tolerates": "1s"}}]
        spec = SPEC | {"analysis": {"metrics": metrics}}
        self.world = World([belay_object("RLRollout", "cartpole", spec, status=status)])
        for name, pod in self.pods.items():
            meta = {"name": name, "labels": {POLICY_LABEL: name.removesuffix("-0")}}
            self.world.put({"kind": "Pod", "metadata": meta, "status": {"podIP": pod.address, "phase": "Running"}})
        self.context = WorldPollerContext(self.world, http)

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait for it, on a busy machine as well."""
        await self.context.until(true, within_s=60)

    @property
    def fact(self) -> GatewayFact | None:
        found: GatewayFact | None = self.context.fact("gateway", "default", "cartpole")
        return found

    def counted(self, version: str) -> tuple[float, float]:
        """Requests and failures of a version."""
        assert self.fact is not None
        last = self.fact.versions[version].scrapes[-1]
        return last.requests, last.errors

    async def call(self, requests: int, path: str = "/0", *, patience_s: float = PATIENCE_S) -> Counter[str]:
        """Send so many requests at each proxy, one after the other, and return what their callers saw."""
        seen = Counter[str]()
        timeout = aiohttp.ClientTimeout(total=patience_s)
        for proxy in self.proxies:
            for _ in range(requests):
                try:
                    async with self.http.get(f"http://{proxy.address}:8080{path}", timeout=timeout) as answer:
                        seen["good" if answer.status < 500 else "bad"] += 1
                except TimeoutError:
                    seen["none"] += 1
        return seen

    async def is_counted(self, version: str, requests: float, failed: float) -> None:
        """Wait until it is; a caller who has gone is counted after three scrapes."""
        try:
            await self.until(lambda: self.fact and self.counted(version) == (requests, failed))
        except TimeoutError:
            assert self.counted(version) == (requests, failed)


@asynccontextmanager
async def scene(folder: Path, monkeypatch: pytest.MonkeyPatch, **proxy: Any) -> AsyncIterator[Scene]:
    paths = from_environment(os.environ)
    fetch_envoy(paths, Laps())
    async with aiohttp.ClientSession() as http:
        made = Scene(folder, paths.bin / "envoy", http)
        monkeypatch.setattr(proxies, "PORT", made.port)
        for pod in made.pods.values():
            await pod.start()
        for one in made.proxies:
            for name, value in proxy.items():
                setattr(one, name, value)
            await one.start()
            made.world.put(one.pod())
        running = asyncio.create_task(GatewaySource().run(made.context))
        try:
            await made.until(lambda: made.fact)
            yield made
        finally:
            running.cancel()
            for one in made.proxies:
                one.kill()
            for pod in made.pods.values():
                await pod.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["answers", "404", "cut", "503", "resets", "hangs", "refuses"])
async def test_what_callers_saw_is_counted_of_who_did_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with scene(tmp_path, monkeypatch) as made:
        made.pods["candidate-0"].way = way
        if way == "refuses":
            await made.pods["candidate-0"].stop()
        patience_s = IMPATIENCE_S if way == "hangs" else PATIENCE_S
        # By the weighted rule, and by the candidate's own for pinned episodes.
        seen = await made.call(12, patience_s=patience_s) + await made.call(2, "/1", patience_s=patience_s)
        assert (seen["bad"] > 0, seen["none"] > 0) == (way in ("503", "resets", "refuses"), way == "hangs"), seen
        of_stable, failed = made.pods["stable-0"].asked, seen["bad"] + seen["none"]
        assert 0 < of_stable < 24
        assert failed in (0, 28 - of_stable)
        await made.is_counted("candidate", 28 - of_stable, failed)
        await made.is_counted("stable", of_stable, 0)
        # What is mirrored, and what another rollout's callers see, is not.
        before = made.counted("candidate")
        await made.call(3, "/2")
        await made.call(4, "/3")
        scrape = made.fact and made.fact.versions["candidate"].scrapes[-1].number
        await made.until(lambda: made.fact and made.fact.versions["candidate"].scrapes[-1].number > scrape + 4)
        assert made.counted("candidate") == before
        assert made.fact is not None
        assert (made.fact.problem, made.fact.absence) == (None, None)


@pytest.mark.asyncio
async def test_a_proxy_that_is_started_anew_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch) as made:
        made.pods["candidate-0"].way = "503"
        bad = (await made.call(20))["bad"]
        await made.is_counted("candidate", bad, bad)
        first = made.proxies[0]
        first.kill()
        await made.until(lambda: made.fact and made.fact.problem)
        assert made.fact is not None
        assert "the proxy envoy-1 does not tell on port" in str(made.fact.problem)
        assert made.counted("candidate") == (bad, bad), "what was counted stays"
        await first.start()
        await made.until(lambda: made.fact and made.fact.problem is None)
        bad += (await made.call(4))["bad"]
        await made.is_counted("candidate", bad, bad)
        await made.is_counted("stable", 48 - bad, 0)

        # One that has gone for good is no outage.
        made.world.remove("Pod", "envoy-1", namespace="envoy-gateway-system")
        first.kill()
        made.proxies.remove(first)
        bad += (await made.call(4))["bad"]
        await made.is_counted("candidate", bad, bad)
        assert made.fact is not None
        assert made.fact.problem is None


@pytest.mark.asyncio
async def test_an_address_that_another_pod_has_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch) as made:
        made.pods["candidate-0"].way = "503"
        bad = (await made.call(10))["bad"]
        await made.is_counted("candidate", bad, bad)
        # Envoy has not heard of it: the same endpoint goes on counting.
        made.world.remove("Pod", "candidate-0")
        meta = {"name": "stable-1", "labels": {POLICY_LABEL: "stable"}}
        made.world.put({"kind": "Pod", "metadata": meta, "status": {"podIP": PODS["candidate-0"], "phase": "Running"}})
        at = made.fact and made.fact.at
        await made.until(lambda: made.fact and made.fact.at > at)
        await made.until(lambda: made.fact and len(made.fact.versions) == 2)
        failed = (await made.call(10))["bad"]
        await made.is_counted("stable", 40 - bad, failed)
        assert made.counted("candidate") == (bad, bad), "no failure of before, nor of after"


@pytest.mark.asyncio
async def test_proxies_that_count_nothing_by_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch, by_endpoint=False) as made:
        await made.call(5)
        await made.until(lambda: made.fact and made.fact.absence)
        assert made.fact is not None
        assert made.fact.refused
        assert "set spec.telemetry.metrics.enablePerEndpointStats: true" in str(made.fact.absence)
        assert made.counted("candidate") == (0, 0)


@pytest.mark.asyncio
async def test_no_proxy_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch) as made:
        for proxy in made.proxies:
            made.world.remove("Pod", proxy.pod()["metadata"]["name"], namespace="envoy-gateway-system")
        await made.until(lambda: made.fact and made.fact.refused)
        assert made.fact is not None
        assert "of a gateway that is not Envoy Gateway's" in str(made.fact.absence)
        made.context.forbidden.add(("Pod", "envoy-gateway-system", ""))
        await made.until(lambda: made.fact and "may not look into" in str(made.fact.absence))


@pytest.mark.asyncio
async def test_a_promoted_version_that_hangs_is_known_by_its_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted by looks that may be a minute apart: nothing of what happens between them is lost."""
    async with scene(tmp_path, monkeypatch) as made:
        rollout = made.world.objects["RLRollout", "default", "cartpole"]
        limits = standing.limits(AnalysisSpec.model_validate(rollout["spec"]["analysis"]), WatchSpec())
        counter = GatewaySource().at_rest(made.context)(Standing(KEY, "stable", limits))
        await counter.count()
        well = await made.call(6)
        made.pods["stable-0"].way = "hangs"
        hung = await made.call(6, patience_s=IMPATIENCE_S)
        for _ in range(SETTLED_IN):
            await counter.count()
        counts = counter.counts(limits[0])
        assert counts is not None
        requests, failed = counts.of(counts.scrapes[-1])
        assert (well["none"], failed) == (0, hung["none"])
        assert requests == made.pods["stable-0"].asked > failed > 0
