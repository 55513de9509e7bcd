"""The handler's metrics, as a scraper reads them."""

import httpx
import pytest
from belay_handler.exporter import BUCKETS_S, Counts, read_frontend, render, serve
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.handler.web import Response, serving


def samples(text: bytes) -> dict[tuple[str, str | None], float]:
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            assert sample.labels["policy"] == "cartpole-1"
            found[sample.name, sample.labels.get("le")] = sample.value
    return found


def test_counts_become_counters_and_a_histogram() -> None:
    counts = Counts()
    counts.add(3, 0, 0.0002)
    counts.add(1, 1, 0.0123)
    counts.add(1, 0, 60.0)

    found = samples(render("cartpole-1", counts, frontend=dict, starts=lambda: (7, 2)))

    assert found["belay_requests_total", None] == 5
    assert found["belay_request_errors_total", None] == 1
    assert found["belay_request_seconds_count", None] == 5
    assert found["belay_request_seconds_sum", None] == pytest.approx(3 * 0.0002 + 0.0123 + 60)
    assert found["belay_request_seconds_bucket", "0.0001"] == 0
    assert found["belay_request_seconds_bucket", "0.00025"] == 3
    assert found["belay_request_seconds_bucket", "0.015"] == 4
    assert found["belay_request_seconds_bucket", "5.0"] == 4
    assert found["belay_request_seconds_bucket", "+Inf"] == 5
    assert found["belay_starts_reported_total", None] == 7
    assert found["belay_starts_dropped_total", None] == 2


def test_a_bound_belongs_to_its_own_bucket() -> None:
    counts = Counts()
    counts.add(1, 0, BUCKETS_S[5])

    found = samples(render("cartpole-1", counts, frontend=dict))

    assert found["belay_request_seconds_bucket", str(BUCKETS_S[4])] == 0
    assert found["belay_request_seconds_bucket", str(BUCKETS_S[5])] == 1


def test_failures_that_never_reached_the_handler_are_counted_once() -> None:
    counts = Counts()
    counts.add(10, 2, 0.001)  # two of its own, which TorchServe counts as well

    frontend = {"Requests5XX": 5.0, "ts_queue_latency_microseconds": 2.5e6}
    found = samples(render("cartpole-1", counts, frontend=lambda: frontend))

    assert found["belay_request_errors_total", None] == 5
    assert found["belay_requests_total", None] == 13
    assert found["belay_queue_seconds_total", None] == 2.5


def test_reading_torchserves_metrics() -> None:
    text = b"""# TYPE Requests5XX counter
Requests5XX{Level="Host",Hostname="Unknown",} 3.0
# TYPE ts_queue_latency_microseconds counter
ts_queue_latency_microseconds{model_name="policy",model_version="default",hostname="Unknown",} 2455379.745
ts_queue_latency_microseconds{model_name="policy",model_version="1",hostname="Unknown",} 1.0E-3
"""
    with serving(lambda request: Response(200, text)) as url:
        port = int(url.rsplit(":", 1)[1])
        assert read_frontend(port) == {"Requests5XX": 3.0, "ts_queue_latency_microseconds": pytest.approx(2455379.746)}
    assert read_frontend(port) == {}


def test_the_port_answers_metrics_only() -> None:
    def free_port() -> int:
        with serving(lambda request: Response()) as url:
            return int(url.rsplit(":", 1)[1])

    port = free_port()
    serve(port, lambda: b"text")
    with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
        assert client.get(f"http://127.0.0.1:{port}/metrics").text == "text"
        assert client.get(f"http://127.0.0.1:{port}/").status_code == 404
