"""What a serving pod measures: requests, server errors, and how long a request waited and took.

The handler adds one entry per batch and no more. TorchServe does not tell when a request arrived, only the sum of the
times requests waited in its queue; so once a second the mean wait of that second is added to each of its requests. The
histogram thus shows an overload, where the time in the handler alone would not, but smooths what happens within that
second.

Failures that never reach the handler (a dead worker, a full queue) are taken from TorchServe's own count, so that a
policy that kills its worker does not look healthy.
"""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

TICK_S = 1.0
BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025),
    *(0.03, 0.04, 0.05, 0.06, 0.075, 0.09, 0.1, 0.11, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0),
    *(1.5, 2.0, 3.0, 5.0),
)
"""Fine between 1 ms and 1 s, where latency limits are set."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """TorchServe's own totals since it started; it outlives its workers."""

    errors: int = 0  # answers with 5xx, the handler's among them
    queue_s: float = 0.0  # summed over all requests, probes included


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything measured so far."""

    requests: int  # probes not counted
    errors: int
    queue_s: float
    seconds: float  # sum over the requests in `buckets`
    buckets: tuple[int, ...]  # one per bound, and one beyond the last; not cumulative


_Batch = tuple[float, int, int, int]
"""Seconds in the handler, requests, errors, probes. One value, so that a reader sees all of a batch or nothing."""


class Meter:
    """Written by the worker's one thread, read by any other."""

    def __init__(self, frontend: Callable[[], Frontend | None]) -> None:
        """Args: frontend: None while TorchServe does not answer."""
        self._frontend = frontend
        self._fresh: deque[_Batch] = deque()
        self._lock = threading.Lock()  # between readers; the worker never takes it
        self._errors = 0
        self._requests = 0
        self._seconds = 0.0
        self._buckets = [0] * (len(BUCKETS_S) + 1)
        self._known = frontend() or Frontend()
        self._added_s = self._known.queue_s  # of the wait: what was added to requests, or belonged to an earlier worker

    def add(self, seconds: float, *, requests: int, errors: int, probes: int) -> None:
        """Count a batch of requests and probes that took `seconds` in the handler."""
        self._fresh.append((seconds, requests, errors, probes))

    def read(self) -> Reading:
        """Return the totals, all batches added so far included."""
        with self._lock:
            # While TorchServe does not answer its last totals stand: a counter that fell would mean a restart.
            self._known = now = self._frontend() or self._known
            fresh = [self._fresh.popleft() for _ in range(len(self._fresh))]
            handled = sum(requests + probes for _, requests, _, probes in fresh)
            wait_s = max(now.queue_s - self._added_s, 0.0) / handled if handled else 0.0
            if handled:  # else the wait belongs to requests that are not answered yet
                self._added_s = now.queue_s
            for seconds, requests, errors, _ in fresh:
                self._requests += requests
                self._errors += errors
                self._seconds += (seconds + wait_s) * requests
                self._buckets[bisect_left(BUCKETS_S, seconds + wait_s)] += requests
            errors = max(self._errors, now.errors)
            requests = self._requests + errors - self._errors
            return Reading(requests, errors, now.queue_s, self._seconds, tuple(self._buckets))

    def start(self) -> None:
        """Begin to read once a second, whether or not anybody asks: the mean wait is to be that of a second."""
        threading.Thread(target=self._run, name="meter", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            if self._fresh:
                self.read()
