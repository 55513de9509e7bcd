"""The serving source over real sockets on loopback, against exporters with the metrics that `names.METRICS_PORT` lists.

They are made with the Prometheus library, as any serving runtime would: the contract is the text, not our handler.
"""

import asyncio
import copy
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.stage import Stage

from belay_api.names import POLICY_LABEL
from belay_api.units import parse_instant
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

    def start(self, pod: int) -> None:
        self.servers[pod] = self._serve(ADDRESSES[pod], self.exporters[pod])

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
    monkeypatch.setattr("belay_operator.rollout.sources.pods.METRICS_PORT", made.port)
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


def fact(context: WorldPollerContext) -> Any:
    return context.fact("serving", "default", "b")


@pytest.mark.asyncio
async def test_rates_an_outage_and_silence(pods: Pods) -> None:
    stage = on_trial()
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(stage.world, http)
        running = asyncio.create_task(ServingSource().run(context))
        try:
            await context.until(lambda: fact(context))
            pods.answer(0, 30, seconds=0.02)
            pods.answer(1, 10, errors=4, seconds=0.02)
            # A scrape may fall between the two pods' answers: then the next one has the rest.
            seen: ServingFact = await context.until(
                lambda: fact(context).request_rate and fact(context).requests == 40 and fact(context)
            )
            last = seen.scrapes[-1]
            assert (last.requests, last.errors, last.latencies.beyond(0.015), last.latencies.beyond(0.025)) == (
                40.0,
                4.0,
                40.0,
                0.0,
            )
            assert {key.name for key in context.woken} == {"cartpole"}

            seen = await context.until(lambda: fact(context).request_rate == 0.0 and fact(context))
            assert seen.pods == 2

            await asyncio.to_thread(pods.stop, 1)
            seen = await context.until(lambda: fact(context).problem and fact(context))
            assert "b-1 does not answer" in str(seen.problem)
            assert seen.request_rate is None, "a rate that misses a pod is not zero"

            stage.world.remove("Pod", "b-1")
            seen = await context.until(lambda: fact(context).problem is None and fact(context))
            assert seen.pods == 1

            stage.world.patch("RLRollout", "cartpole", {"status": {"candidate": None}})
            await context.until(lambda: fact(context) is None)
        finally:
            running.cancel()


SILENT = "127.0.0.3"  # takes connections and never answers


@pytest.fixture
def silent(pods: Pods) -> Iterator[None]:
    with socket.socket() as taken:
        taken.bind((SILENT, pods.port))
        taken.listen(4096)
        yield


@contextmanager
def scraping(context: WorldPollerContext) -> Iterator[None]:
    task = asyncio.create_task(ServingSource().run(context))
    try:
        yield
    finally:
        task.cancel()


def dead_policy(stage: Stage, *, pods: int) -> None:
    """Another rollout on trial, all of whose pods keep silent."""
    other = copy.deepcopy(stage.world.objects["RLRollout", "default", "cartpole"])
    other["metadata"] = {"name": "other", "namespace": "default"}
    other["status"]["candidate"]["policy"] = other["spec"]["policy"]["name"] = "dead"
    stage.world.put(other)
    ready = [{"type": "Ready", "status": "True"}]
    for number in range(pods):
        pod = {"kind": "Pod", "metadata": {"name": f"dead-{number}", "labels": {POLICY_LABEL: "dead"}}}
        stage.world.put(pod | {"status": {"phase": "Running", "podIP": SILENT, "conditions": ready}})


@pytest.mark.asyncio
async def test_dead_pods_of_one_policy_hold_up_no_other(pods: Pods, silent: None) -> None:
    """500 of them took 64 places for 800 ms each: 12 s to prove silence, in an outage of all times."""
    stage = on_trial()
    dead_policy(stage, pods=300)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        context = WorldPollerContext(stage.world, http)
        with scraping(context):
            dead = await context.until(lambda: context.fact("serving", "default", "dead"))
            assert dead.pods == 300
            assert "dead-299 does not answer" in dead.problem
            stage.command("abort@1")
            stage.passes()
            began, clock = datetime.now(UTC), time.monotonic()
            silence = await context.until(
                lambda: (said := fact(context)).rate_since and said.rate_since > began and said, within_s=60
            )
            assert silence.request_rate == 0.0
            assert time.monotonic() - clock < 5, "two scrapes, a second apart"


@pytest.mark.asyncio
async def test_a_rollback_is_scraped_at_once_when_it_begins(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "FAST", timedelta(seconds=30))
    stage = on_trial()
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(stage.world, http)
        with scraping(context):
            first = await context.until(lambda: fact(context))
            stage.command("abort@1")
            stage.passes()
            await context.until(lambda: fact(context) is not first, within_s=5)
            assert fact(context).request_rate is None, "what came between two scrapes in a row is no rate"


@pytest.mark.asyncio
async def test_a_fact_says_which_trial_it_was_counted_under(pods: Pods) -> None:
    """Whatever clock the leader had that wrote the trial's beginning: decades ahead, here."""
    stage = on_trial()
    ahead = "2100-01-01T00:00:00Z"
    began = parse_instant(stage.world.objects["RLRollout", "default", "cartpole"]["status"]["analysisStartedAt"])
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(stage.world, http)
        with scraping(context):
            await context.until(lambda: fact(context) and fact(context).trials == {"cartpole": began})
            pods.answer(0, 100, errors=100)
            await context.until(lambda: fact(context).requests == 100)

            stage.world.patch("RLRollout", "cartpole", {"status": {"analysisStartedAt": ahead}})
            again = await context.until(
                lambda: fact(context).trials == {"cartpole": parse_instant(ahead)} and fact(context)
            )
            assert again.scrapes[-1].errors == 0, "the errors of the trial before are not this one's"
            await context.until(lambda: fact(context).requests == 0)
            assert fact(context).weights["cartpole"][1] == 0

            raised = "2099-01-01T00:00:00Z"
            stage.world.patch("RLRollout", "cartpole", {"status": {"weight": {"since": raised}}})
            seen = await context.until(
                lambda: fact(context).weights["cartpole"][0] == parse_instant(raised) and fact(context)
            )
            first = seen.weights["cartpole"][1]
            assert 0 < first == seen.scrapes[-1].number, "what was counted up to this scrape was counted before"
            await context.until(lambda: fact(context).scrapes[-1].number > first)
            assert fact(context).weights["cartpole"][1] == first

            stage.command("abort@1")
            stage.passes()
            assert fact(context).off_route == {}
            stage.world.patch("RLRollout", "cartpole", {"status": {"rollback": {"weightZeroAt": ahead}}})
            last = await context.until(lambda: fact(context).off_route and fact(context))
            assert last.off_route == {"cartpole": parse_instant(ahead)}
            assert last.request_rate == 0.0


@pytest.mark.asyncio
async def test_a_rollback_is_measured_whatever_stands_in_the_analysis(pods: Pods) -> None:
    stage = on_trial()
    stage.command("abort@1")
    stage.passes()
    stage.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"metrics": [{"newer": "than we"}]}}})
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(stage.world, http)
        with scraping(context):
            await context.until(lambda: fact(context) and fact(context).request_rate == 0.0)
