"""What a serving pod measures: requests, server errors, and how long their callers waited.

Every answer that took 10 ms or more is known by itself, from TorchServe's own access log (`slow`): from the request
read whole to the answer sent, its wait in the queue with it, whoever gave the answer. The others took less than that,
and nothing in TorchServe says how long each waited, only the sum. So they get the handler's time of their batch and the
mean wait of their second, and 10 ms at most: a limit of 10 ms and more is held to what each caller waited, one below
that to an estimate.

Failures that never reach the handler (a dead worker, a full queue) are taken from TorchServe's own count, so that a
policy that kills its worker does not look healthy. The pod cannot know of requests that never got to it, or whose
caller went away; those it answered all the same are counted in full.

Mirrors (`belay_api.shadowing`) are no requests: nobody waits for them. The access log does not tell them apart, so of
slow answers that came while there were both, as large a part is taken for mirrors' as these were of what was handled.
Failures that never reached the handler are always taken for a caller's.
"""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from belay_handler.slow import SLOW_S

TICK_S = 1.0
BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025),
    *(0.03, 0.04, 0.05, 0.06, 0.075, 0.09, 0.1, 0.11, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0),
    *(1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)
"""Fine between 1 ms and 1 s, where latency limits are set; up to the longest that may be set."""
RIPE_S = 0.5  # after the handler has answered, the line in the access log is written for certain


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
    mirrors: int = 0


_Batch = tuple[float, float, int, int, int, int]
"""When it was answered, seconds in the handler, requests, errors, probes, mirrors. One value, so that a reader sees all
of a batch or nothing."""


@dataclass(slots=True)
class _Quick:
    """Requests that were answered alike, and of which the access log may still say that some took long."""

    answered_at: float
    seconds: float  # at most SLOW_S
    requests: int
    mirrors: int = 0


class Meter:
    """Written by the worker's one thread, read by any other."""

    def __init__(
        self,
        frontend: Callable[[], Frontend | None],
        slow: Callable[[], list[float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin at nothing.

        Args:
            frontend: TorchServe's totals; None while it does not answer.
            slow: Seconds of each answer that took SLOW_S or more, since the last call.
        """
        self._frontend, self._slow, self._clock = frontend, slow, clock
        self._fresh: deque[_Batch] = deque()
        self._lock = threading.Lock()  # between readers; the worker never takes it
        self._quick: list[_Quick] = []  # not in the histogram yet
        self._slow_ahead = 0  # slow answers in the histogram, whose requests are not taken out of `_quick` yet
        self._due = 0.0  # of a slow answer that is a caller's, by the shares so far
        self._errors = 0
        self._requests = 0
        self._mirrors = 0
        self._seconds = 0.0
        self._buckets = [0] * (len(BUCKETS_S) + 1)
        self._known = frontend() or Frontend()
        self._added_s = self._known.queue_s  # of the wait: what was added to requests, or belonged to an earlier worker
        self._unhandled = self._known.errors  # failures that never reached a handler, in the histogram

    def add(self, seconds: float, *, requests: int, errors: int, probes: int, mirrors: int = 0) -> None:
        """Count a batch of requests, probes and mirrors that took `seconds` in the handler."""
        self._fresh.append((self._clock(), seconds, requests, errors, probes, mirrors))

    def read(self) -> Reading:
        """Return the totals. The histogram has what was answered quickly half a second later than the counters."""
        with self._lock:
            # While TorchServe does not answer its last totals stand: a counter that fell would mean a restart.
            self._known = now = self._frontend() or self._known
            slow = self._slow()
            fresh = [self._fresh.popleft() for _ in range(len(self._fresh))]
            for seconds in self._of_callers(slow, fresh):
                self._observe(seconds, 1)
                self._slow_ahead += 1
            self._take(now, slow, fresh)
            self._settle()
            errors = max(self._errors, now.errors)
            requests = self._requests + errors - self._errors
            return Reading(requests, errors, now.queue_s, self._seconds, tuple(self._buckets), self._mirrors)

    def start(self) -> None:
        """Begin to read once a second, whether or not anybody asks: the mean wait is to be that of a second."""
        threading.Thread(target=self._run, name="meter", daemon=True).start()

    def _of_callers(self, slow: list[float], fresh: list[_Batch]) -> list[float]:
        """Return the slow answers that callers waited for."""
        requests = sum(one[2] for one in fresh) + sum(one.requests for one in self._quick)
        mirrors = sum(one[5] for one in fresh) + sum(one.mirrors for one in self._quick)
        if not mirrors:
            return slow
        share, taken = requests / (requests + mirrors), []
        for seconds in slow:
            self._due += share
            if self._due >= 1:
                self._due -= 1
                taken.append(seconds)
        return taken

    def _take(self, now: Frontend, slow: list[float], fresh: list[_Batch]) -> None:
        """Take what was answered since the last time; as if all of it had been quick."""
        handled = sum(requests + probes + mirrors for _, _, requests, _, probes, mirrors in fresh)
        wait_s = 0.0
        if handled:  # else the wait belongs to requests that are not answered yet
            # That of the slow ones is known with the rest of their time, and is not shared out to the others.
            left_s = now.queue_s - self._added_s - sum(slow)
            wait_s = max(left_s, 0.0) / max(handled - len(slow), 1)
            self._added_s = now.queue_s
        for at, seconds, requests, errors, _, mirrors in fresh:
            self._requests += requests
            self._errors += errors
            self._mirrors += mirrors
            self._quick.append(_Quick(at, min(seconds + wait_s, SLOW_S), requests, mirrors))
        unhandled = max(self._errors, now.errors) - self._errors
        if unhandled > self._unhandled:
            self._quick.append(_Quick(self._clock(), 0.0, unhandled - self._unhandled))
            self._unhandled = unhandled

    def _settle(self) -> None:
        """Put into the histogram what was quick, once it is certain: as many were not as there are slow answers."""
        ripe_before = self._clock() - RIPE_S
        ripe = [one for one in self._quick if one.answered_at <= ripe_before]
        self._quick = [one for one in self._quick if one.answered_at > ripe_before]
        for one in sorted(ripe, key=lambda one: one.seconds, reverse=True):  # likelier those that took long here
            slow = min(self._slow_ahead, one.requests)
            self._slow_ahead -= slow
            self._observe(one.seconds, one.requests - slow)

    def _observe(self, seconds: float, requests: int) -> None:
        self._seconds += seconds * requests
        self._buckets[bisect_left(BUCKETS_S, seconds)] += requests

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            if self._fresh or self._quick:
                self.read()
