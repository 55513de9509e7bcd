"""The serving source over real sockets on loopback, against exporters with the metrics that `names.METRICS_PORT` lists.

They are made with the Prometheus library, as any serving runtime would: the contract is the text, not our handler.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from tests.unit.rollout.desk import TableDesk
from tests.unit.rollout.stage import Stage

from belay_operator.rollout.facts import ServingFact
from belay_operator.rollout.sources import serving
from belay_operator.rollout.sources.serving import ServingSource

ADDRESSES = ("127.0.0.1", "127.0.0.2")


class Exporter:
    """One serving pod's counters."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("belay_requests", "Answered.", ["policy"], registry=self.registry).labels("b")
        self.errors = Counter("belay_request_errors", "With 5xx.", ["policy"], registry=self.registry).labels("b")
        buckets = (0.001, 0.01, 0.015, 0.025, 0.1, 1.0)
        self.seconds = Histogram(
            "belay_request_seconds", "Time.", ["policy"], buckets=buckets, registry=self.registry
        ).labels("b")


class Pods:
    """Two serving pods' exporters on one port and two loopback addresses."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind((ADDRESSES[0], 0))
            self.port = probe.getsockname()[1]
        self.exporters = [Exporter() for _ in ADDRESSES]
        self.servers = [self._serve(*pod) for pod in zip(ADDRESSES, self.exporters, strict=True)]

    def answer(self, pod: int, requests: int, *, errors: int = 0, seconds: float = 0.01) -> None:
        exporter = self.exporters[pod]
        exporter.requests.inc(requests)
        exporter.errors.inc(errors)
        for _ in range(requests):
            exporter.seconds.observe(seconds)

    def stop(self, pod: int) -> None:
        self.servers[pod].shutdown()
        self.servers[pod].server_close()

    def _serve(self, address: str, exporter: Exporter) -> ThreadingHTTPServer:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(generate_latest(exporter.registry))

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer((address, self.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@pytest.fixture
def pods(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pods]:
    made = Pods()
    monkeypatch.setattr(serving, "METRICS_PORT", made.port)
    yield made
    for pod in range(len(ADDRESSES)):
        made.stop(pod)


def on_trial() -> Stage:
    """Candidate b with two ready pods at a weight above 0."""
    stage = Stage("a").go()
    stage.publish("b", ready=2)
    for index, address in enumerate(ADDRESSES):
        ready = [{"type": "Ready", "status": "True"}]
        stage.world.patch("Pod", f"b-{index}", {"status": {"podIP": address, "conditions": ready}})
    stage.wants("b")
    return stage.go()


def fact(desk: TableDesk) -> Any:
    return desk.fact("serving", "default", "b")


@pytest.mark.asyncio
async def test_rates_an_outage_and_silence(pods: Pods) -> None:
    stage = on_trial()
    async with aiohttp.ClientSession() as http:
        desk = TableDesk(stage.world, http)
        running = asyncio.create_task(ServingSource().run(desk))
        try:
            await desk.until(lambda: fact(desk))
            pods.answer(0, 30, seconds=0.02)
            pods.answer(1, 10, errors=4, seconds=0.02)
            # A scrape may fall between the two pods' answers: then the next one has the rest.
            seen: ServingFact = await desk.until(
                lambda: fact(desk).request_rate and fact(desk).requests == 40 and fact(desk)
            )
            assert seen.error_rate == 0.1
            assert seen.latency_p99 == pytest.approx(0.02, abs=0.005)
            assert {key.name for key in desk.woken} == {"cartpole"}

            seen = await desk.until(lambda: fact(desk).request_rate == 0.0 and fact(desk))
            assert seen.pods == 2

            await asyncio.to_thread(pods.stop, 1)
            seen = await desk.until(lambda: fact(desk).problem and fact(desk))
            assert "b-1 does not answer" in str(seen.problem)
            assert seen.request_rate is None, "a rate that misses a pod is not zero"

            stage.world.remove("Pod", "b-1")
            seen = await desk.until(lambda: fact(desk).problem is None and fact(desk))
            assert seen.pods == 1

            stage.world.patch("RLRollout", "cartpole", {"status": {"candidate": None}})
            await desk.until(lambda: fact(desk) is None)
        finally:
            running.cancel()
