"""Workers around the agenda: N passes at once, exponential back-off per key, alarms, gauges.

The handler is given a key and answers when it wants to see it again; it raises when the pass failed. A failure is
retried with a growing, jittered delay, and any wake in between runs at once: news may be the cure.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from belay_operator.engine import metrics
from belay_operator.engine.agenda import PRIORITIES, Agenda
from belay_operator.engine.errors import ApiError
from belay_operator.engine.foreign import ForeignObject
from belay_operator.engine.plan import Key

WORKERS = 32
FIRST_BACKOFF = timedelta(milliseconds=200)
LONGEST_BACKOFF = timedelta(minutes=2)

Handler = Callable[[Key], Awaitable[timedelta | None]]
"""key -> when to look again without news; None: only on news."""

log = logging.getLogger(__name__)


class Queue:
    """The keyed work queue of the operator."""

    def __init__(
        self,
        handler: Handler,
        *,
        priority: Callable[[Key], int],
        clock: Callable[[], float],
        rng: random.Random,
        workers: int = WORKERS,
    ) -> None:
        self._handler, self._priority, self._clock, self._rng = handler, priority, clock, rng
        self._count = workers
        # One worker in eight is only for rollouts: passes that hang (a webhook of the cluster that times out, say, for
        # every training job) must not leave a rollback without anybody to carry it out.
        self._agenda: Agenda[Key] = Agenda(rest_at_once=workers - workers // 8)
        self._failures: dict[Key, int] = {}
        self._ready = asyncio.Semaphore(0)  # counts "look at the agenda"; spurious ones are harmless
        self._timer: asyncio.TimerHandle | None = None
        self._open = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.last_progress = clock()

    def wake(self, key: Key) -> None:
        """Ask for a pass over `key`, with the priority it has now."""
        self._agenda.wake(key, self._clock(), priority=self._priority(key))
        self._signal()

    def open(self) -> None:
        """Let the workers begin; before this, wakes only collect. Called once the cache is complete."""
        self._open = True
        self.last_progress = self._clock()
        for _ in range(min(len(self._agenda), self._count)):
            self._ready.release()
        self._arm()

    async def run(self) -> None:
        """Work until cancelled; passes under way then have been cancelled too."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._work(), name=f"worker-{number}")

    async def drained(self) -> None:
        """Return once no worker has a key in hand and no new one will be taken: for a clean end."""
        self._open = False
        await self._idle.wait()

    def stuck_for(self) -> float:
        """Return for how many seconds keys have waited while no pass ended; 0 when nothing waits."""
        oldest = self._agenda.oldest()
        if not self._open or oldest is None:
            return 0.0
        return self._clock() - max(oldest, self.last_progress)

    def gauge(self) -> None:
        """Write depth and age to the metrics."""
        for priority in range(PRIORITIES):
            metrics.QUEUE_DEPTH.labels(str(priority)).set(self._agenda.depth(priority))
        oldest = self._agenda.oldest()
        metrics.QUEUE_AGE.set(0 if oldest is None else self._clock() - oldest)
        metrics.QUEUE_BUSY.set(self._agenda.busy)

    async def _work(self) -> None:
        while True:
            await self._ready.acquire()
            while self._open and (key := self._agenda.take()) is not None:
                self._idle.clear()
                try:
                    await self._pass(key)
                finally:
                    self._agenda.finish(key, self._clock())
                    self.last_progress = self._clock()
                    if not self._agenda.busy:
                        self._idle.set()

    async def _pass(self, key: Key) -> None:
        self._agenda.silence(key)
        try:
            again = await self._handler(key)
        except Exception as error:  # one object's failure must never end a worker; it is counted, told and retried
            self._failed(key, error)
        else:
            self._failures.pop(key, None)
            if again is not None:
                self._agenda.alarm(key, self._clock() + max(0.0, again.total_seconds()))
                self._arm()

    def _failed(self, key: Key, error: Exception) -> None:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        delay = backoff(failures, self._rng)
        where = f"{key.kind} {key.namespace}/{key.name}"
        # An answer of the API server needs no traceback, nor a name that is taken; anything else is a bug until shown
        # otherwise.
        trace = None if isinstance(error, ApiError | ForeignObject) else error
        log.warning(
            "%s: pass failed (%d in a row), next try in %.1f s: %s",
            where,
            failures,
            delay.total_seconds(),
            error,
            exc_info=trace,
        )
        self._agenda.alarm(key, self._clock() + delay.total_seconds())
        self._arm()

    def _arm(self) -> None:
        """Wake what is due and set one timer for the next alarm."""
        if not self._open:
            return
        for key in self._agenda.due(self._clock()):
            self.wake(key)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (at := self._agenda.next_alarm()) is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, at - self._clock()), self._arm)

    def _signal(self) -> None:
        if self._open and self._agenda.busy < self._count:
            self._ready.release()


def backoff(failures: int, rng: random.Random) -> timedelta:
    """Return the pause after so many failures in a row: doubling, capped, times a random 0.5 to 1."""
    full: timedelta = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 20))
    return full * rng.uniform(0.5, 1.0)
