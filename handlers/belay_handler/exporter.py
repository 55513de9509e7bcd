"""The handler's own metrics on a port of their own: requests, server errors, latency; what a rollout's limits look at.

TorchServe's metrics cannot carry them: a sum where a histogram is needed, fixed buckets from 5 ms, one log line per
observation. Here the hot path is three additions; text is made when somebody asks.

`belay_request_seconds` is the time spent in the handler. TorchServe does not tell when a request arrived, so the wait
in its queue and for a fuller batch is not in it; `belay_queue_seconds_total` is TorchServe's own sum of those waits,
probes included. Failures that never reach the handler (a dead worker, a full queue) are read from TorchServe at each
scrape, so that a policy that kills its worker does not look healthy.
"""

import re
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025),
    *(0.03, 0.04, 0.05, 0.06, 0.075, 0.09, 0.1, 0.11, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0),
    *(1.5, 2.0, 3.0, 5.0),
)
"""Fine between 1 ms and 1 s, where latency limits are set."""

_FRONTEND = re.compile(r"^(Requests5XX|ts_queue_latency_microseconds)\{[^}]*\} ([0-9.eE+-]+)$", re.MULTILINE)


class Counts:
    """What the handler counts; written by the worker's one thread, read by the exporter's."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0  # answers with 5xx
        self.seconds = 0.0
        self.buckets = [0] * (len(BUCKETS_S) + 1)  # one per bound, and one beyond the last

    def add(self, requests: int, errors: int, seconds: float) -> None:
        """Count a batch: each of its requests took `seconds`."""
        self.requests += requests
        self.errors += errors
        self.seconds += seconds * requests
        self.buckets[bisect_left(BUCKETS_S, seconds)] += requests


class _Metrics(Collector):
    """Turns the counts into metric families."""

    def __init__(
        self,
        policy: str,
        counts: Counts,
        frontend: Callable[[], dict[str, float]],
        starts: Callable[[], tuple[int, int]],
    ) -> None:
        self._policy = policy
        self._counts = counts
        self._frontend = frontend
        self._starts = starts

    def collect(self) -> Iterable[Metric]:
        frontend = self._frontend()
        counts = self._counts
        errors = max(counts.errors, int(frontend.get("Requests5XX", 0)))  # TorchServe counts the handler's errors too
        reported, dropped = self._starts()
        yield self._counter(
            "belay_requests", "Requests answered, probes not counted.", counts.requests + errors - counts.errors
        )
        yield self._counter("belay_request_errors", "Requests answered with 5xx.", errors)
        queue_s = frontend.get("ts_queue_latency_microseconds", 0.0) / 1e6
        yield self._counter(
            "belay_queue_seconds", "Time requests waited in TorchServe's queue, probes included.", queue_s
        )
        yield self._counter("belay_starts_reported", "Episode starts the logbook took.", reported)
        yield self._counter("belay_starts_dropped", "Episode starts lost: buffer full, or refused for good.", dropped)
        histogram = HistogramMetricFamily("belay_request_seconds", "Time in the handler.", labels=["policy"])
        total, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), list(counts.buckets), strict=True):
            total += count
            buckets.append((bound, float(total)))
        histogram.add_metric([self._policy], buckets, sum_value=counts.seconds)
        yield histogram

    def _counter(self, name: str, text: str, value: float) -> CounterMetricFamily:
        family = CounterMetricFamily(name, text, labels=["policy"])
        family.add_metric([self._policy], value)
        return family


def read_frontend(port: int) -> dict[str, float]:
    """Return TorchServe's own count of 5xx answers and queue time; empty while it does not answer."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=1.0)
    except httpx.HTTPError:
        return {}
    found: dict[str, float] = {}
    for name, value in _FRONTEND.findall(answer.text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def render(
    policy: str,
    counts: Counts,
    *,
    frontend: Callable[[], dict[str, float]],
    starts: Callable[[], tuple[int, int]] = lambda: (0, 0),
) -> bytes:
    """Return the metrics as Prometheus text.

    Args:
        frontend: See `read_frontend`.
        starts: Episode starts reported and dropped.
    """
    registry = CollectorRegistry()
    registry.register(_Metrics(policy, counts, frontend, starts))
    return generate_latest(registry)


def serve(port: int, text: Callable[[], bytes]) -> None:
    """Serve `text` at /metrics from a background thread, for as long as the process lives."""

    class Handler(BaseHTTPRequestHandler):
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
