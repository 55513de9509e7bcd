"""Workers around the work queue: N passes at once, and a back-off for each key in trouble.

The handler is given a key and answers what it wants next; it raises when the pass failed. A key whose passes fail is in
trouble until a pass succeeds and asks for nothing more. Each failure of the same trouble doubles the wait, in two ways:

    without news   the pass is made again after the back-off, at most two minutes
    with news      (somebody wakes the key) as well, but held off for a shorter time, by its priority: most wakes come
                   from the writes of a pass itself, yet any of them may bring the cure, or the end of a candidate

When people change the object, its trouble is over: they may have mended it.

A pass may wait long for a slow API server. When its key becomes a rollback meanwhile, it is left after a few seconds
and the rollback's own pass begins: each pass decides anew from what is there, so none needs its end.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from belay_operator.engine import metrics
from belay_operator.engine.backoff import backoff
from belay_operator.engine.blocked import BlockedChildren
from belay_operator.engine.errors import ApiError
from belay_operator.engine.kind import Priority
from belay_operator.engine.plan import Key
from belay_operator.engine.workqueue import WorkQueue

WORKERS = 32
LONGEST_HOLD = {
    Priority.ROLLBACK: timedelta(milliseconds=500),  # a part of the second within which a rollback should be over
    Priority.ROLLOUT: timedelta(seconds=1),  # the pass that is held off may be the one that decides a rollback
    Priority.REST: timedelta(seconds=5),
}
"""How long a key in trouble is kept from news, by the priority of the news."""
PREEMPT_AFTER = timedelta(seconds=5)  # what a rollback gives the pass before it to end by itself


@dataclass(frozen=True, slots=True)
class Result:
    """What a pass wants next."""

    requeue: bool = False  # another pass at once: this one wrote something
    requeue_after: timedelta | None = None  # another pass after this long without news; None: only on news
    error: Exception | None = None  # the pass failed, and still knows when it is due at the latest


Handler = Callable[[Key], Awaitable[Result]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Trouble:
    """What is wrong with a key, from its first failed pass to the first that succeeds and asks for nothing more."""

    asked: object  # what people asked of the object when it began
    failures: int = 0


class Queue:
    """The keyed work queue of the operator, and those who work it off."""

    def __init__(
        self,
        handler: Handler,
        *,
        priority: Callable[[Key], Priority],
        asked: Callable[[Key], object],
        clock: Callable[[], float],
        rng: random.Random,
        workers: int = WORKERS,
    ) -> None:
        """Args: asked: What people ask of an object; a value that differs once they have changed it."""
        self._handler, self._priority, self._asked = handler, priority, asked
        self._clock, self._rng, self._count = clock, rng, workers
        self._work: WorkQueue[Key] = WorkQueue(workers=workers)
        self._troubles: dict[Key, _Trouble] = {}
        self._ready = asyncio.Semaphore(0)  # counts "look at the work queue"; spurious ones are harmless
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._ordinary: dict[Key, asyncio.Timeout] = {}  # passes under way that a rollback need not wait for
        self._open = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.last_progress = clock()

    def wake(self, key: Key) -> None:
        """Ask for a pass over `key`, with the priority it has now."""
        trouble = self._troubles.get(key)
        if trouble is not None and trouble.asked != self._asked(key):
            self._end_trouble(key)
        priority = self._priority(key)
        self._work.add(key, self._clock(), priority=priority)
        if priority == Priority.ROLLBACK:
            self._preempt(key)
        if self._open and self._work.busy < self._count:
            self._ready.release()
        self._arm()

    def open(self) -> None:
        """Let the workers begin; before this, wakes only collect. Called once the cache is complete."""
        self._open = True
        self.last_progress = self._clock()
        for _ in range(min(len(self._work), self._count)):
            self._ready.release()
        self._arm()

    async def run(self) -> None:
        """Work until cancelled; passes under way then have been cancelled too."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._worker(), name=f"worker-{number}")

    async def drained(self) -> None:
        """Return once no worker has a key in hand and no new one will be taken: for a clean end."""
        self._open = False
        await self._idle.wait()

    def stuck_for(self) -> float:
        """Return for how many seconds keys have waited while no pass ended; 0 when nothing waits."""
        oldest = self._work.oldest()
        if not self._open or oldest is None:
            return 0.0
        return self._clock() - max(oldest, self.last_progress)

    def gauge(self) -> None:
        """Write depth and age to the metrics."""
        for priority in Priority:
            metrics.QUEUE_DEPTH.labels(str(int(priority))).set(self._work.depth(priority))
        oldest = self._work.oldest()
        metrics.QUEUE_AGE.set(0 if oldest is None else self._clock() - oldest)
        metrics.QUEUE_BUSY.set(self._work.busy)

    async def _worker(self) -> None:
        while True:
            await self._ready.acquire()
            while self._open and (key := self._work.get()) is not None:
                self._idle.clear()
                try:
                    await self._pass(key)
                finally:
                    self._work.done(key, self._clock())
                    self._arm()
                    self.last_progress = self._clock()
                    if not self._work.busy:
                        self._idle.set()

    async def _pass(self, key: Key) -> None:
        self._work.drop_requeue(key)
        asked = self._asked(key)
        try:
            if self._priority(key) == Priority.ROLLBACK:
                result = await self._handler(key)
            else:
                result = await self._preemptible(key)
        except _Preempted:
            log.info(
                "%s %s/%s: a pass waits for an answer, and is left for a rollback", key.kind, key.namespace, key.name
            )
            return  # the next one follows at once
        except Exception as error:  # one object's failure must never end a worker; it is counted, told and retried
            result = Result(error=error)
        if result.error is not None:
            self._failed(key, asked, result)
            return
        if result.requeue_after is not None:
            self._work.requeue_at(key, self._clock() + max(0.0, result.requeue_after.total_seconds()))
        if result.requeue:
            self.wake(key)
        else:
            self._end_trouble(key)

    async def _preemptible(self, key: Key) -> Result:
        """Make a pass that is left when the key has become a rollback. Raises: _Preempted."""
        limit = asyncio.timeout(None)
        self._ordinary[key] = limit
        try:
            async with limit:
                return await self._handler(key)
        except TimeoutError as error:
            if limit.expired():
                raise _Preempted from error
            raise
        finally:
            del self._ordinary[key]

    def _preempt(self, key: Key) -> None:
        """Let the ordinary pass over `key` that is under way, if there is one, end soon."""
        limit = self._ordinary.get(key)
        if limit is not None and limit.when() is None:
            limit.reschedule(asyncio.get_running_loop().time() + PREEMPT_AFTER.total_seconds())

    def _failed(self, key: Key, asked: object, result: Result) -> None:
        """Count the failure, say so, hold the key off and set the time of the next try."""
        trouble = self._troubles.get(key)
        if trouble is None or trouble.asked != asked:
            trouble = self._troubles[key] = _Trouble(asked)
        trouble.failures += 1
        priority, delay, now = self._priority(key), backoff(trouble.failures, self._rng), self._clock()
        holds = {of: min(delay, longest) for of, longest in LONGEST_HOLD.items()}
        self._work.hold_off(key, [now + holds[of].total_seconds() for of in Priority])
        if priority == Priority.ROLLBACK:
            delay = holds[priority]
        if result.requeue_after is not None:
            delay = min(delay, max(result.requeue_after, holds[priority]))
        self._work.requeue_at(key, now + delay.total_seconds())
        if self._asked(key) != asked:  # people changed it while the pass was under way
            self._end_trouble(key)
        # An answer of the API server needs no traceback, nor a child that is blocked; anything else may be a bug.
        trace = None if isinstance(result.error, ApiError | BlockedChildren) else result.error
        log.warning(
            "%s: pass failed (%d times), next try in %.1f s: %s",
            f"{key.kind} {key.namespace}/{key.name}",
            trouble.failures,
            delay.total_seconds(),
            result.error,
            exc_info=trace,
        )

    def _end_trouble(self, key: Key) -> None:
        if self._troubles.pop(key, None) is not None:
            self._work.release(key)

    def _arm(self) -> None:
        """Wake what is due, and have one timer for the next that will be."""
        if not self._open:
            return
        for key in self._work.due(self._clock()):
            self.wake(key)
        at = self._work.next_due()
        if at is None or at >= self._timer_at:
            return  # the timer that is set comes early enough, and looks again then
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - self._clock()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._arm()


class _Preempted(Exception):
    """A pass was left because something more urgent waits for its key."""
