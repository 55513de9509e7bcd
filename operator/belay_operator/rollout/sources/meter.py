"""From counters of pods that come, go and restart to what a policy's pods have counted. Pure: counters in, facts out.

Counters only say something by their differences. A counter that fell began anew at 0 (the container restarted), so
what it shows is what came since. A pod seen for the first time gives a baseline and no difference; one that did not
answer for a while keeps its baseline, and what it counted meanwhile comes with its next answer. A rate over an interval
is only known when every pod answered at both ends: an unknown part is not zero.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families

from belay_operator.rollout.facts import Scrape, ServingFact
from belay_operator.rollout.histogram import EMPTY, Histogram

REQUESTS, ERRORS, SECONDS = "belay_requests_total", "belay_request_errors_total", "belay_request_seconds_bucket"
SHARE_OVER_S = 30.0  # requests of both sides are compared over this, for the observed weight
# The longest block of a limit (a minute) and the time that a judged block may wait to be recorded, with some to spare.
KEEP_S = 90.0


@dataclass(frozen=True, slots=True)
class Counters:
    """One pod's counters at one scrape."""

    requests: float
    errors: float
    latencies: Histogram


@dataclass(frozen=True, slots=True)
class PodScrape:
    """What one pod said at one scrape."""

    uid: str  # of the pod: a successor of the same name starts from 0
    counters: Counters | None  # None: it did not answer
    problem: str | None = None  # why it should have answered and did not; None: it did, or nobody expects it to


@dataclass(slots=True)
class Meter:
    """One policy's counters over time."""

    _last: dict[str, Counters] = field(default_factory=dict)  # of each pod there is: its last answer
    _answered: frozenset[str] = frozenset()  # pods that answered the last scrape
    _at: datetime | None = None
    _interrupted: bool = False
    _counting: datetime | None = None
    _scrapes: deque[Scrape] = field(default_factory=deque)

    def restart(self) -> None:
        """Forget everything: the next scrape is the first."""
        self._last, self._answered, self._at, self._counting = {}, frozenset(), None, None
        self._scrapes.clear()

    def interrupt(self) -> None:
        """End the interval that `request_rate` would be over: the next scrape begins one, however soon it comes."""
        self._interrupted = True

    def add(self, at: datetime, pods: Iterable[PodScrape]) -> ServingFact:
        """Take one scrape of all pods and return what is known now."""
        pods = tuple(pods)
        answers = {pod.uid: pod.counters for pod in pods if pod.counters is not None}
        before = {pod.uid: self._last[pod.uid] for pod in pods if pod.uid in self._last}
        counted = [_difference(before[uid], now) if uid in before else _nothing(now) for uid, now in answers.items()]
        since, self._at = self._at, at
        interrupted, self._interrupted = self._interrupted, False
        problem = "; ".join(pod.problem for pod in pods if pod.problem is not None) or None
        complete = problem is None and answers.keys() <= self._answered
        self._last, self._answered = before | answers, frozenset(answers)
        rate_since = None if interrupted else since
        elapsed_s = max((at - since).total_seconds(), 0.0) if since is not None else 0.0
        self._count(at, elapsed_s, counted)
        rate_over_s = elapsed_s if rate_since is not None else 0.0
        return ServingFact(
            at=at,
            rate_since=rate_since,
            pods=len(pods),
            request_rate=sum(one.requests for one in counted) / rate_over_s if complete and rate_over_s > 0 else None,
            requests=self._recently() if since is not None else None,
            counting=self._counting,
            scrapes=tuple(self._scrapes),
            problem=problem,
        )

    def _count(self, at: datetime, elapsed_s: float, counted: Iterable[Counters]) -> None:
        if self._counting is None:
            self._counting = at
        before = self._scrapes[-1] if self._scrapes else Scrape(-1, 0.0, 0.0, 0.0, 0.0, EMPTY)
        requests, errors, latencies = before.requests, before.errors, before.latencies
        for one in counted:
            requests, errors = requests + one.requests, errors + one.errors
            latencies = latencies.plus(one.latencies)
        now_s = before.elapsed_s + elapsed_s
        quiet_s = before.quiet_s + elapsed_s if requests == before.requests else 0.0
        self._scrapes.append(Scrape(before.number + 1, now_s, quiet_s, requests, errors, latencies))
        # One from before that time stays: a gap in the scrapes is a long block, and has a beginning.
        while len(self._scrapes) > 1 and self._scrapes[1].elapsed_s <= now_s - KEEP_S:
            self._scrapes.popleft()

    def _recently(self) -> float:
        last = self._scrapes[-1]
        first = next(one for one in self._scrapes if one.elapsed_s >= last.elapsed_s - SHARE_OVER_S)
        return last.requests - first.requests


def parse(text: str, policy: str) -> Counters:
    """Return one pod's counters from Prometheus text. Raises: ValueError when they are not in it."""
    requests = errors = None
    buckets: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("policy") != policy:
                continue
            if sample.name == REQUESTS:
                requests = sample.value
            elif sample.name == ERRORS:
                errors = sample.value
            elif sample.name == SECONDS:
                buckets[float(sample.labels["le"])] = sample.value
    if requests is None or errors is None:
        raise ValueError(f"no {REQUESTS} and {ERRORS} of policy {policy}: is it another version of the handler?")
    return Counters(requests, errors, Histogram.of(buckets))


def _difference(before: Counters, now: Counters) -> Counters:
    """What was counted in between; everything, when a counter began anew.

    Errors begin anew apart from the rest: they are TorchServe's own count, which outlives its worker. What it remembers
    of hours ago has not happened since the worker's requests began at 0.
    """
    anew = now.requests < before.requests
    return Counters(
        requests=now.requests if anew else now.requests - before.requests,
        errors=now.errors if now.errors < before.errors else now.errors - before.errors,
        latencies=now.latencies if anew else now.latencies.minus(before.latencies),
    )


def _nothing(now: Counters) -> Counters:
    """The baseline of a pod that is new to us: nothing counted, but its bounds are known."""
    return Counters(0.0, 0.0, now.latencies.minus(now.latencies))
