"""What a scraper reads: requests, errors wherever they arose, and latency with the wait in the queue."""

import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.handler.web import Response, serving

from belay_handler import exporter
from belay_handler.exporter import read_frontend, render, serve
from belay_handler.meter import BUCKETS_S, Frontend, Meter


class World:
    """TorchServe's totals, as a test sets them."""

    def __init__(self) -> None:
        self.frontend: Frontend | None = Frontend()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def meter(world: World) -> Meter:
    return Meter(lambda: world.frontend)


def samples(meter: Meter, **options) -> dict[tuple[str, str | None], float]:
    found = {}
    for family in text_string_to_metric_families(render("cartpole-1", meter.read(), **options).decode()):
        for sample in family.samples:
            assert sample.labels["policy"] == "cartpole-1"
            found[sample.name, sample.labels.get("le")] = sample.value
    return found


def test_batches_become_counters_and_a_histogram(meter: Meter) -> None:
    meter.add(0.0002, requests=3, errors=0, probes=1)
    meter.add(0.0123, requests=1, errors=1, probes=0)
    meter.add(60.0, requests=1, errors=0, probes=0)
    meter.add(0.0001, requests=0, errors=0, probes=1)

    found = samples(meter, starts=(7, 2))

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
    assert samples(meter)["belay_request_seconds_count", None] == 5, "reading twice counts once"


def test_a_bound_belongs_to_its_own_bucket(meter: Meter) -> None:
    meter.add(BUCKETS_S[5], requests=1, errors=0, probes=0)

    found = samples(meter)

    assert found["belay_request_seconds_bucket", str(BUCKETS_S[4])] == 0
    assert found["belay_request_seconds_bucket", str(BUCKETS_S[5])] == 1


def test_the_mean_wait_since_the_last_reading_is_added(meter: Meter, world: World) -> None:
    meter.add(0.001, requests=3, errors=0, probes=1)
    world.frontend = Frontend(queue_s=0.4)  # 0.1 s for each of the four
    assert samples(meter)["belay_request_seconds_sum", None] == pytest.approx(3 * 0.101)

    meter.add(0.001, requests=1, errors=0, probes=0)  # no further wait
    assert samples(meter)["belay_request_seconds_sum", None] == pytest.approx(3 * 0.101 + 0.001)


def test_a_wait_of_requests_not_yet_answered_is_kept_for_them(meter: Meter, world: World) -> None:
    world.frontend = Frontend(queue_s=0.2)
    meter.read()
    meter.add(0.001, requests=2, errors=0, probes=0)

    assert samples(meter)["belay_request_seconds_sum", None] == pytest.approx(2 * 0.101)


def test_the_frontend_may_be_away_for_a_while(meter: Meter, world: World) -> None:
    world.frontend = None
    meter.add(0.001, requests=1, errors=0, probes=0)
    assert samples(meter)["belay_requests_total", None] == 1


def test_failures_that_never_reached_the_handler_are_counted_once(meter: Meter, world: World) -> None:
    meter.add(0.001, requests=10, errors=2, probes=0)  # two of its own, which TorchServe counts as well
    world.frontend = Frontend(errors=5, queue_s=2.5)

    found = samples(meter)

    assert found["belay_request_errors_total", None] == 5
    assert found["belay_requests_total", None] == 13
    assert found["belay_queue_seconds_total", None] == 2.5


def test_no_counter_falls_while_the_frontend_is_away(meter: Meter, world: World) -> None:
    """A counter that falls would be taken for a restart, and all of it would be counted again."""
    world.frontend = Frontend(errors=5, queue_s=2.5)  # a full queue: nothing reached the handler
    before = samples(meter)
    world.frontend = None

    assert samples(meter) == before
    assert before["belay_request_errors_total", None] == 5


def test_a_new_worker_does_not_inherit_the_waits_of_the_last(world: World) -> None:
    world.frontend = Frontend(queue_s=100.0)
    meter = Meter(lambda: world.frontend)
    meter.add(0.001, requests=1, errors=0, probes=0)

    assert samples(meter)["belay_request_seconds_sum", None] == pytest.approx(0.001)


def test_reading_torchserves_metrics() -> None:
    text = b"""# TYPE Requests5XX counter
Requests5XX{Level="Host",Hostname="Unknown",} 3.0
# TYPE ts_queue_latency_microseconds counter
ts_queue_latency_microseconds{model_name="policy",model_version="default",hostname="Unknown",} 2455379.745
ts_queue_latency_microseconds{model_name="policy",model_version="1",hostname="Unknown",} 1.0E-3
"""
    with serving(lambda request: Response(200, text)) as url, httpx.Client() as client:
        port = int(url.rsplit(":", 1)[1])
        assert read_frontend(client, port) == Frontend(errors=3, queue_s=pytest.approx(2.455379746))
    with httpx.Client() as client:
        assert read_frontend(client, port) is None
    with serving(lambda request: Response(503, b"starting")) as url, httpx.Client() as client:
        assert read_frontend(client, int(url.rsplit(":", 1)[1])) is None, "not zero"


def test_a_connection_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "PATIENCE_S", 0.1)
    with serving(lambda request: Response()) as url:
        port = int(url.rsplit(":", 1)[1])
    serve(port, lambda: b"text")
    with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
        assert client.get(f"http://127.0.0.1:{port}/metrics").text == "text"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
        assert silent.recv(1) == b""


def test_the_port_answers_metrics_only() -> None:
    with serving(lambda request: Response()) as url:
        port = int(url.rsplit(":", 1)[1])
    serve(port, lambda: b"text")
    with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:
        assert client.get(f"http://127.0.0.1:{port}/metrics").text == "text"
        assert client.get(f"http://127.0.0.1:{port}/").status_code == 404
