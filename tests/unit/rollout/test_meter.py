"""Rates from counters of pods that come, go and restart; what is not known stays unknown."""

from datetime import UTC, datetime, timedelta

import pytest

from belay_operator.rollout.sources.meter import Counters, Meter, PodScrape, parse, quantile

START = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
INF = float("inf")


def counters(requests: float, errors: float = 0.0, slow: float = 0.0) -> Counters:
    """Counters of one pod: all requests took up to 10 ms but `slow` of them, which took up to 1 s."""
    return Counters(requests, errors, {0.01: requests - slow, 1.0: requests, INF: requests})


class Clock:
    def __init__(self) -> None:
        self.meter, self.now = Meter(), START

    def scrape(self, **pods: Counters | str | None):  # type: ignore[no-untyped-def]
        """One scrape a second later; a pod is its counters, why it does not answer, or None where nobody asks."""
        self.now += timedelta(seconds=1)
        scrapes = [
            PodScrape(pod, said if isinstance(said, Counters) else None, said if isinstance(said, str) else None)
            for pod, said in pods.items()
        ]
        return self.meter.add(self.now, scrapes)


def test_the_first_scrape_is_a_baseline_and_no_rate() -> None:
    fact = Clock().scrape(x=counters(1000))
    assert (fact.request_rate, fact.rate_since, fact.error_rate, fact.latency_p99) == (None, None, None, None)


def test_a_rate_is_the_difference_over_the_time_between() -> None:
    clock = Clock()
    clock.scrape(x=counters(1000), y=counters(10))
    fact = clock.scrape(x=counters(1030), y=counters(30, errors=5))
    assert fact.request_rate == 50.0
    assert fact.rate_since == START + timedelta(seconds=1)
    assert fact.error_rate == 0.1


def test_silence_is_zero_and_only_zero_is_silence() -> None:
    clock = Clock()
    clock.scrape(x=counters(1000), y=counters(10))
    assert clock.scrape(x=counters(1000), y=counters(10)).request_rate == 0.0
    assert clock.scrape(x=counters(1000), y="y does not answer").request_rate is None
    assert clock.scrape(x=counters(1000), y=counters(10)).request_rate is None, "y has no difference yet"
    assert clock.scrape(x=counters(1000), y=counters(10)).request_rate == 0.0


def test_a_counter_that_fell_began_anew() -> None:
    clock = Clock()
    clock.scrape(x=counters(1000))
    assert clock.scrape(x=counters(20)).request_rate == 20.0


def test_old_errors_are_not_new_ones_because_a_worker_was_replaced() -> None:
    clock = Clock()
    clock.scrape(x=counters(100_000, errors=50))
    fact = clock.scrape(x=counters(200, errors=52, slow=20))
    assert fact.error_rate == 0.01
    assert fact.latency_p99 is not None
    assert fact.latency_p99 > 0.8, "its slow requests are those since it began"


def test_a_pod_that_is_gone_or_starting_is_no_problem() -> None:
    clock = Clock()
    clock.scrape(x=counters(1000), y=counters(5))
    assert clock.scrape(x=counters(1010), y=None).request_rate == 10.0
    fact = clock.scrape(x=counters(1010))
    assert (fact.request_rate, fact.problem, fact.pods) == (0.0, None, 1)


def test_no_pods_at_all_have_no_requests() -> None:
    clock = Clock()
    clock.scrape()
    assert clock.scrape().request_rate == 0.0


def test_a_scrape_out_of_turn_begins_an_interval_and_ends_none() -> None:
    """Two scrapes in one breath see no request, whatever the traffic: that is no silence."""
    clock = Clock()
    clock.scrape(x=counters(1000))
    clock.meter.interrupt()
    fact = clock.scrape(x=counters(1000))
    assert (fact.request_rate, fact.rate_since) == (None, None)
    fact = clock.scrape(x=counters(1000))
    assert (fact.request_rate, fact.rate_since) == (0.0, START + timedelta(seconds=2))


def test_after_a_restart_nothing_that_was_counted_before_counts() -> None:
    clock = Clock()
    clock.scrape(x=counters(0))
    assert clock.scrape(x=counters(100, errors=100)).error_rate == 1.0
    clock.meter.restart()
    fact = clock.scrape(x=counters(150, errors=150))
    assert (fact.requests, fact.error_rate, fact.request_rate) == (None, None, None)
    fact = clock.scrape(x=counters(170, errors=150))
    assert (fact.requests, fact.error_rate) == (20.0, 0.0)


def test_the_window_forgets() -> None:
    clock = Clock()
    clock.scrape(x=counters(0))
    assert clock.scrape(x=counters(100, errors=100)).error_rate == 1.0
    for i in range(29):
        clock.scrape(x=counters(100 + i, errors=100))
    assert clock.scrape(x=counters(200, errors=100)).error_rate == 0.0


def test_few_requests_say_nothing_of_shares() -> None:
    clock = Clock()
    clock.scrape(x=counters(0))
    fact = clock.scrape(x=counters(3, errors=1, slow=1))
    assert (fact.error_rate, fact.latency_p99) == (None, None)
    assert fact.requests == 3


def test_p99_is_that_of_the_window_and_not_of_all_time() -> None:
    clock = Clock()
    clock.scrape(x=counters(1_000_000))
    fact = clock.scrape(x=counters(1_000_100, slow=50))
    assert fact.latency_p99 == pytest.approx(0.9802)


@pytest.mark.parametrize(
    ("buckets", "share", "want"),
    [
        ({0.1: 0.0, 0.2: 100.0, INF: 100.0}, 0.5, 0.15),
        ({0.1: 50.0, 0.2: 100.0, INF: 100.0}, 0.99, 0.198),
        ({0.1: 0.0, INF: 10.0}, 0.99, 0.1),  # beyond the last bound: at least that
        ({0.1: 0.0, INF: 0.0}, 0.99, None),
        ({}, 0.99, None),
    ],
)
def test_quantile(buckets: dict[float, float], share: float, want: float | None) -> None:
    assert quantile(buckets, share) == (None if want is None else pytest.approx(want))


def test_another_policys_counters_are_not_ours() -> None:
    with pytest.raises(ValueError, match="of policy b"):
        parse('belay_requests_total{policy="a"} 5\nbelay_request_errors_total{policy="a"} 0\n', "b")
