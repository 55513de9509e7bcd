"""From counters of pods that come, go and restart to rates of a policy. Pure: counters in, facts out.

Counters only say something by their differences. A counter that fell began anew at 0 (the container restarted), so
what it shows is what came since. A pod seen for the first time gives a baseline and no difference, and a rate over an
interval is only known when every pod had one: an unknown part is not zero.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families

from belay_operator.rollout.facts import MIN_REQUESTS, WINDOW, ServingFact

REQUESTS, ERRORS, SECONDS = "belay_requests_total", "belay_request_errors_total", "belay_request_seconds_bucket"


@dataclass(frozen=True, slots=True)
class Counters:
    """One pod's counters at one scrape."""

    requests: float
    errors: float
    buckets: Mapping[float, float]  # cumulative, by upper bound in seconds; the last bound is infinite


@dataclass(frozen=True, slots=True)
class PodScrape:
    """What one pod said at one scrape."""

    uid: str  # of the pod: a successor of the same name starts from 0
    counters: Counters | None  # None: it did not answer
    problem: str | None = None  # why it should have answered and did not; None: it did, or nobody expects it to


@dataclass(slots=True)
class Meter:
    """One policy's counters over time."""

    _last: dict[str, Counters] = field(default_factory=dict)
    _at: datetime | None = None
    _interrupted: bool = False
    _deltas: deque[tuple[datetime, datetime, Counters]] = field(default_factory=deque)
    """Beginning and end of an interval, and what was counted in it; oldest first."""

    def restart(self) -> None:
        """Forget everything: the next scrape is the first."""
        self._last, self._at = {}, None
        self._deltas.clear()

    def interrupt(self) -> None:
        """End the interval that `request_rate` would be over: the next scrape begins one, however soon it comes."""
        self._interrupted = True

    def add(self, at: datetime, pods: Iterable[PodScrape]) -> ServingFact:
        """Take one scrape of all pods and return what is known now."""
        pods = tuple(pods)
        before, self._last = self._last, {pod.uid: pod.counters for pod in pods if pod.counters is not None}
        since, self._at = self._at, at
        interrupted, self._interrupted = self._interrupted, False
        parts = [_difference(before[uid], counters) for uid, counters in self._last.items() if uid in before]
        problem = "; ".join(pod.problem for pod in pods if pod.problem is not None) or None
        complete = problem is None and all(uid in before for uid in self._last)
        rate_since = None if interrupted else since

        if since is not None:
            self._deltas.append((since, at, _sum(parts)))
        while self._deltas and self._deltas[0][1] <= at - WINDOW:
            self._deltas.popleft()
        total = _sum(counted for _, _, counted in self._deltas)
        enough = total.requests >= MIN_REQUESTS
        elapsed = (at - rate_since).total_seconds() if rate_since is not None else 0.0
        return ServingFact(
            at=at,
            rate_since=rate_since,
            pods=len(pods),
            request_rate=_sum(parts).requests / elapsed if complete and elapsed > 0 else None,
            window_since=self._deltas[0][0] if self._deltas else None,
            requests=total.requests if self._deltas else None,
            error_rate=min(total.errors / total.requests, 1.0) if enough else None,
            latency_p99=quantile(total.buckets, 0.99) if enough else None,
            problem=problem,
        )


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
    return Counters(requests, errors, buckets)


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return the value below which `share` of the observations lie, linear within its bucket; None: there are none.

    Beyond the last finite bound nothing is known but that, so that bound is returned.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    low, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if bound == float("inf"):
                return low
            inside = buckets[bound] - below
            return low + (bound - low) * ((rank - below) / inside if inside > 0 else 1.0)
        low, below = bound, buckets[bound]
    return low


def _difference(before: Counters, now: Counters) -> Counters:
    """What was counted in between; everything, when a counter began anew.

    Errors begin anew apart from the rest: they are TorchServe's own count, which outlives its worker. What it remembers
    of hours ago has not happened since the worker's requests began at 0.
    """
    anew = now.requests < before.requests
    counted = {bound: max(count - before.buckets.get(bound, 0.0), 0.0) for bound, count in now.buckets.items()}
    return Counters(
        requests=now.requests if anew else now.requests - before.requests,
        errors=now.errors if now.errors < before.errors else now.errors - before.errors,
        buckets=now.buckets if anew else counted,
    )


def _sum(parts: Iterable[Counters]) -> Counters:
    requests = errors = 0.0
    buckets: dict[float, float] = {}
    for part in parts:
        requests, errors = requests + part.requests, errors + part.errors
        for bound, count in part.buckets.items():
            buckets[bound] = buckets.get(bound, 0.0) + count
    return Counters(requests, errors, buckets)
