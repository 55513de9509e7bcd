"""The pod's metrics on a port of their own, as Prometheus text; what a rollout's limits look at.

TorchServe's metrics cannot carry them: a sum where a histogram is needed, fixed buckets from 5 ms, one log line per
observation. `meter` measures; here it becomes text, and only when somebody asks.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from belay_handler.meter import BUCKETS_S, Frontend, Reading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE_S = 10.0  # with a connection that asks nothing: each one has a thread

_FRONTEND = re.compile(r"^(Requests5XX|ts_queue_latency_microseconds)\{[^}]*\} ([0-9.eE+-]+)$", re.MULTILINE)


def read_frontend(client: httpx.Client, port: int) -> Frontend | None:
    """Return TorchServe's own totals; None while it does not answer."""
    try:
        answer = client.get(f"http://127.0.0.1:{port}/metrics", timeout=1.0)
    except httpx.HTTPError:
        return None
    if answer.status_code != 200:
        return None
    found = {"Requests5XX": 0.0, "ts_queue_latency_microseconds": 0.0}
    for name, value in _FRONTEND.findall(answer.text):
        found[name] += float(value)
    return Frontend(errors=int(found["Requests5XX"]), queue_s=found["ts_queue_latency_microseconds"] / 1e6)


def render(policy: str, reading: Reading, *, starts: tuple[int, int] = (0, 0)) -> bytes:
    """Return the metrics as Prometheus text.

    Args:
        starts: Episode starts reported and dropped.
    """
    registry = CollectorRegistry()
    registry.register(_Families(policy, reading, starts))
    return generate_latest(registry)


class _Families(Collector):
    """One reading as metric families."""

    def __init__(self, policy: str, reading: Reading, starts: tuple[int, int]) -> None:
        self._policy = policy
        self._reading = reading
        self._starts = starts

    def collect(self) -> Iterable[Metric]:
        reading, (reported, dropped) = self._reading, self._starts
        yield self._counter("belay_requests", "Requests answered, probes not counted.", reading.requests)
        yield self._counter("belay_request_errors", "Requests answered with 5xx.", reading.errors)
        yield self._counter("belay_mirrors", "Mirrors answered in shadow steps; nobody hears it.", reading.mirrors)
        yield self._counter("belay_queue_seconds", "Time in TorchServe's queue, probes included.", reading.queue_s)
        yield self._counter("belay_starts_reported", "Episode starts the logbook took.", reported)
        yield self._counter("belay_starts_dropped", "Episode starts lost: buffer full, or refused for good.", dropped)
        histogram = HistogramMetricFamily(
            "belay_request_seconds", "What callers waited: in the queue and for the answer.", labels=["policy"]
        )
        total, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), reading.buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        histogram.add_metric([self._policy], buckets, sum_value=reading.seconds)
        yield histogram

    def _counter(self, name: str, text: str, value: float) -> CounterMetricFamily:
        family = CounterMetricFamily(name, text, labels=["policy"])
        family.add_metric([self._policy], value)
        return family


def serve(port: int, text: Callable[[], bytes]) -> None:
    """Serve `text` at /metrics from a background thread, for as long as the process lives."""

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def do_GET(self) -> None:
            found = self.path.split("?")[0] == "/metrics"
            body = text() if found else b"see /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("content-type", CONTENT_TYPE)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A scrape a second is no news."""

    def run() -> None:
        while True:
            try:
                server = ThreadingHTTPServer(("", port), Handler)
                break
            except OSError:  # the worker this one replaces is still on its way out
                time.sleep(0.1)
        server.serve_forever()

    threading.Thread(target=run, name="exporter", daemon=True).start()
