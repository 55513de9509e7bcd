"""Rates from counters of pods that come, go and restart; what is not known stays unknown."""

from datetime import UTC, datetime, timedelta

import pytest

from belay_operator.rollout.facts import ServingFact
from belay_operator.rollout.histogram import Histogram
from belay_operator.rollout.sources.meter import KEEP_S, Counters, Meter, PodScrape, parse

START = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
INF = float("inf")


def counters(requests: float, errors: float = 0.0, slow: float = 0.0) -> Counters:
    """Counters of one pod: all requests took up to 10 ms but `slow` of them, which took up to 1 s."""
    return Counters(requests, errors, Histogram.of({0.01: requests - slow, 1.0: requests, INF: requests}))


def totals(fact: ServingFact) -> tuple[float, float, float]:
    """Requests, errors and slow ones since counting began."""
    last = fact.scrapes[-1]
    return last.requests, last.errors, last.latencies.beyond(0.01)


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
    assert (fact.request_rate, fact.rate_since, fact.requests) == (None, None, None)
    assert (fact.counting, totals(fact)) == (START + timedelta(seconds=1), (0.0, 0.0, 0.0))


def test_a_rate_is_the_difference_over_the_time_between() -> None:
    clock = Clock()
    clock.scrape(x=counters(1000), y=counters(10))
    fact = clock.scrape(x=counters(1030), y=counters(30, errors=5))
    assert fact.request_rate == 50.0
    assert fact.rate_since == START + timedelta(seconds=1)
    assert totals(fact) == (50.0, 5.0, 0.0)


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
    assert totals(fact) == (200.0, 2.0, 20.0), "its slow requests are those since it began"


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


def test_what_a_pod_counted_while_it_did_not_answer_comes_with_its_next_answer() -> None:
    clock = Clock()
    clock.scrape(x=counters(1000), y=counters(10))
    clock.scrape(x=counters(1010), y="y does not answer")
    fact = clock.scrape(x=counters(1020), y=counters(90, errors=80))
    assert totals(fact) == (100.0, 80.0, 0.0)
    assert fact.request_rate is None, "nobody knows when"
    gone = Clock()
    gone.scrape(x=counters(1000), y=counters(10))
    gone.scrape(x=counters(1010))
    assert totals(gone.scrape(x=counters(1020), y=counters(500))) == (20.0, 0.0, 0.0), "a pod that is new again"


def test_after_a_restart_nothing_that_was_counted_before_counts() -> None:
    clock = Clock()
    clock.scrape(x=counters(0))
    first = clock.scrape(x=counters(100, errors=100))
    assert totals(first) == (100.0, 100.0, 0.0)
    clock.meter.restart()
    fact = clock.scrape(x=counters(150, errors=150))
    assert (fact.requests, fact.request_rate, totals(fact)) == (None, None, (0.0, 0.0, 0.0))
    assert fact.counting != first.counting
    assert [scrape.number for scrape in fact.scrapes] == [0]
    fact = clock.scrape(x=counters(170, errors=150))
    assert (fact.requests, totals(fact)) == (20.0, (20.0, 0.0, 0.0))


def test_scrapes_are_numbered_timed_and_forgotten() -> None:
    clock = Clock()
    for second in range(200):
        fact = clock.scrape(x=counters(second // 100))
    numbers = [scrape.number for scrape in fact.scrapes]
    assert numbers == list(range(200 - len(numbers), 200))
    assert fact.scrapes[-1].elapsed_s == 199.0
    assert fact.scrapes[-1].elapsed_s - fact.scrapes[0].elapsed_s == KEEP_S
    assert fact.scrapes[-1].quiet_s == 99.0
    clock.now += timedelta(hours=1)
    fact = clock.scrape(x=counters(50))
    assert [scrape.number for scrape in fact.scrapes] == [199, 200], "a gap has a beginning"
    clock.now -= timedelta(hours=2)
    assert clock.scrape(x=counters(60)).scrapes[-1].elapsed_s == fact.scrapes[-1].elapsed_s, "a clock that was put back"


def test_requests_of_the_last_half_minute() -> None:
    clock = Clock()
    for second in range(100):
        fact = clock.scrape(x=counters(10 * second))
    assert fact.requests == 300.0


def test_another_policys_counters_are_not_ours() -> None:
    with pytest.raises(ValueError, match="of policy b"):
        parse('belay_requests_total{policy="a"} 5\nbelay_request_errors_total{policy="a"} 0\n', "b")
