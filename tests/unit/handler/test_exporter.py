"""What a scraper reads: requests, errors wherever they arose, and what callers waited."""

import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.handler.web import Response, serving

from belay_api.rollout.limit import LONGEST_LATENCY
from belay_handler import exporter
from belay_handler.exporter import read_frontend, render, serve
from belay_handler.meter import BUCKETS_S, Frontend, Meter
from belay_handler.slow import SLOW_S


class World:
    """TorchServe's totals and slow answers, as a test sets them, and the time."""

    def __init__(self) -> None:
        self.frontend: Frontend | None = Frontend()
        self.slow: list[float] = []
        self.now = 0.0

    def meter(self) -> Meter:
        return Meter(lambda: self.frontend, self.take, lambda: self.now)

    def take(self) -> list[float]:
        slow, self.slow = self.slow, []
        return slow


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def meter(world: World) -> Meter:
    return world.meter()


def samples(meter: Meter, world: World, **options) -> dict[tuple[str, str | None], float]:
    """What a scraper reads, and reads again half a second later, when the histogram has all."""
    meter.read()
    world.now += 1.0
    found = {}
    for family in text_string_to_metric_families(render("cartpole-1", meter.read(), **options).decode()):
        for sample in family.samples:
            assert sample.labels["policy"] == "cartpole-1"
            found[sample.name, sample.labels.get("le")] = sample.value
    return found


def test_batches_become_counters_and_a_histogram(meter: Meter, world: World) -> None:
    meter.add(0.0002, requests=3, errors=0, probes=1)
    meter.add(0.0123, requests=1, errors=1, probes=0)
    meter.add(60.5, requests=1, errors=0, probes=0)
    meter.add(0.0001, requests=0, errors=0, probes=1)
    world.slow = [0.013, 61.0]

    found = samples(meter, world, starts=(7, 2))

    assert found["belay_requests_total", None] == 5
    assert found["belay_request_errors_total", None] == 1
    assert found["belay_request_seconds_count", None] == 5
    assert found["belay_request_seconds_sum", None] == pytest.approx(3 * 0.0002 + 0.013 + 61)
    assert found["belay_request_seconds_bucket", "0.0001"] == 0
    assert found["belay_request_seconds_bucket", "0.00025"] == 3
    assert found["belay_request_seconds_bucket", "0.015"] == 4
    assert found["belay_request_seconds_bucket", "60.0"] == 4
    assert found["belay_request_seconds_bucket", "+Inf"] == 5
    assert found["belay_starts_reported_total", None] == 7
    assert found["belay_starts_dropped_total", None] == 2
    assert samples(meter, world)["belay_request_seconds_count", None] == 5, "reading twice counts once"


def test_a_bound_belongs_to_its_own_bucket(meter: Meter, world: World) -> None:
    meter.add(BUCKETS_S[5], requests=1, errors=0, probes=0)
    world.slow = [0.1]
    meter.add(0.001, requests=1, errors=0, probes=0)

    found = samples(meter, world)

    assert found["belay_request_seconds_bucket", str(BUCKETS_S[4])] == 1
    assert found["belay_request_seconds_bucket", "0.09"] == 1
    assert found["belay_request_seconds_bucket", "0.1"] == 2


def test_every_limit_that_may_be_set_has_a_bound() -> None:
    assert BUCKETS_S[-1] == LONGEST_LATENCY.total_seconds()
    assert SLOW_S in BUCKETS_S, "what is not in the access log is certain to lie within this one"


def test_each_slow_answer_counts_as_what_its_caller_waited(meter: Meter, world: World) -> None:
    """A stall of 2 s: eight requests come meanwhile, and the mean of their second says 1 s of all forty."""
    meter.add(2.0, requests=1, errors=0, probes=0)
    meter.add(0.001, requests=8, errors=0, probes=0)
    meter.add(0.001, requests=31, errors=0, probes=0)
    world.slow = [2.001, *(0.25 * n for n in range(1, 9))]
    world.frontend = Frontend(queue_s=sum(world.slow) - 2.0)

    found = samples(meter, world)

    assert found["belay_request_seconds_count", None] == 40
    assert found["belay_request_seconds_bucket", "0.1"] == 31
    assert found["belay_request_seconds_bucket", "0.25"] == 32
    assert found["belay_request_seconds_bucket", "1.0"] == 35
    assert found["belay_request_seconds_bucket", "0.0015"] == 31, "the wait of the others is not shared by the slow"


def test_a_slow_answer_whose_line_is_late_is_not_counted_as_a_quick_one(meter: Meter, world: World) -> None:
    meter.add(0.001, requests=10, errors=0, probes=0)
    before = meter.read()
    assert (before.requests, sum(before.buckets)) == (10, 0), "nobody knows yet"
    world.slow, world.now = [0.3], 0.1
    assert sum(meter.read().buckets) == 1
    world.now = 0.6
    found = samples(meter, world)
    assert found["belay_request_seconds_count", None] == 10
    assert found["belay_request_seconds_bucket", "0.25"] == 9


def test_a_slow_answer_whose_line_is_early_is_one_request(meter: Meter, world: World) -> None:
    world.slow = [0.3]
    meter.read()
    meter.add(0.001, requests=2, errors=0, probes=0)
    found = samples(meter, world)
    assert found["belay_request_seconds_count", None] == 2
    assert found["belay_request_seconds_bucket", "0.25"] == 1


def test_a_quick_answer_took_ten_milliseconds_at_most(meter: Meter, world: World) -> None:
    meter.add(0.001, requests=2, errors=0, probes=0)
    world.frontend = Frontend(queue_s=5.0)  # of requests that are not answered yet, in part
    found = samples(meter, world)
    assert found["belay_request_seconds_bucket", "0.01"] == 2
    assert found["belay_request_seconds_bucket", "0.0075"] == 0


def test_the_mean_wait_since_the_last_reading_is_added(meter: Meter, world: World) -> None:
    meter.add(0.001, requests=3, errors=0, probes=1)
    world.frontend = Frontend(queue_s=0.008)  # 2 ms for each of the four
    assert samples(meter, world)["belay_request_seconds_sum", None] == pytest.approx(3 * 0.003)

    meter.add(0.001, requests=1, errors=0, probes=0)  # no further wait
    assert samples(meter, world)["belay_request_seconds_sum", None] == pytest.approx(3 * 0.003 + 0.001)


def test_a_wait_of_requests_not_yet_answered_is_kept_for_them(meter: Meter, world: World) -> None:
    world.frontend = Frontend(queue_s=0.004)
    meter.read()
    meter.add(0.001, requests=2, errors=0, probes=0)

    assert samples(meter, world)["belay_request_seconds_sum", None] == pytest.approx(2 * 0.003)


def test_the_frontend_may_be_away_for_a_while(meter: Meter, world: World) -> None:
    world.frontend = None
    meter.add(0.001, requests=1, errors=0, probes=0)
    assert samples(meter, world)["belay_requests_total", None] == 1


def test_failures_that_never_reached_the_handler_are_counted_once(meter: Meter, world: World) -> None:
    meter.add(0.001, requests=10, errors=2, probes=0)  # two of its own, which TorchServe counts as well
    world.frontend = Frontend(errors=5, queue_s=2.5)
    world.slow = [2.0]  # one of them hung

    found = samples(meter, world)

    assert found["belay_request_errors_total", None] == 5
    assert found["belay_requests_total", None] == 13
    assert found["belay_queue_seconds_total", None] == 2.5
    assert found["belay_request_seconds_count", None] == 13, "their callers waited too"
    assert found["belay_request_seconds_bucket", "1.5"] == 12


def test_no_counter_falls_while_the_frontend_is_away(meter: Meter, world: World) -> None:
    """A counter that falls would be taken for a restart, and all of it would be counted again."""
    world.frontend = Frontend(errors=5, queue_s=2.5)  # a full queue: nothing reached the handler
    before = samples(meter, world)
    world.frontend = None

    assert samples(meter, world) == before
    assert before["belay_request_errors_total", None] == 5


def test_a_new_worker_does_not_inherit_the_waits_of_the_last(world: World) -> None:
    world.frontend = Frontend(queue_s=100.0)
    meter = world.meter()
    meter.add(0.001, requests=1, errors=0, probes=0)

    assert samples(meter, world)["belay_request_seconds_sum", None] == pytest.approx(0.001)


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
