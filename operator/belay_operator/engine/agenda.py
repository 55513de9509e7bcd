"""Who is next: the queue's rules as a plain state machine, without tasks, clock or randomness of its own.

A key is in one of four places: nowhere, waiting, busy, busy-and-dirty; beside that it may have one alarm.

    nowhere ──wake──▶ waiting ──take──▶ busy ──finish──▶ nowhere (and perhaps an alarm)
                         ▲               │ wake
                         └──finish── busy-and-dirty

So a key is worked on by one worker at a time, any number of wakes while it waits are one pass, and a wake while it is
worked on gives exactly one more pass, which sees everything that happened. `queue.py` puts workers around this.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

PRIORITIES = 3  # 0 rollbacks, 1 rollouts, 2 the rest
REST = PRIORITIES - 1
PATIENCE = 16  # keys of better priority served while a lower one waits, before that one gets its turn

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Waiting:
    priority: int
    since: float
    ticket: int  # which queue entry is the valid one, after a key moved to a better priority


class Agenda(Generic[K]):
    """Keys with priorities and alarms. Every method takes the time in seconds; time never runs backwards."""

    def __init__(self, *, rest_at_once: int | None = None) -> None:
        """Args: rest_at_once: How many keys of the lowest priority may be busy together; None: any number."""
        self._rest_at_once = rest_at_once
        self._waiting: dict[K, _Waiting] = {}
        self._lines: list[deque[tuple[int, K]]] = [deque() for _ in range(PRIORITIES)]
        self._passed = 0  # keys of better priority served since a lower waiting line had its turn
        self._turns = 0  # of lower lines so far
        self._busy: dict[K, int | None] = {}  # None: clean; a priority: dirty, to be queued with it
        self._busy_rest: set[K] = set()  # those of them that were taken at the lowest priority
        self._alarms: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._tickets = itertools.count()

    def wake(self, key: K, now: float, *, priority: int = REST) -> None:
        """Ask for a pass over `key`. A better priority than before moves it up, a worse one changes nothing."""
        if key in self._busy:
            dirty = self._busy[key]
            self._busy[key] = priority if dirty is None else min(dirty, priority)
            return
        known = self._waiting.get(key)
        if known is not None and known.priority <= priority:
            return
        ticket = next(self._tickets)
        self._waiting[key] = _Waiting(priority, known.since if known else now, ticket)
        self._lines[priority].append((ticket, key))

    def alarm(self, key: K, at: float) -> None:
        """Set the time at which `key` is due; replaces its earlier alarm, because the latest pass knows best."""
        self._alarms[key] = at
        if len(self._heap) > 2 * len(self._alarms) + 64:  # replaced alarms may lie a day ahead: do not keep them
            self._heap = [(time, next(self._tickets), of) for of, time in self._alarms.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (at, next(self._tickets), key))

    def silence(self, key: K) -> None:
        """Drop the alarm of `key`."""
        self._alarms.pop(key, None)

    def due(self, now: float) -> list[K]:
        """Return the keys whose alarm has come, and drop those alarms; the caller wakes them."""
        keys = []
        while (at := self.next_alarm()) is not None and at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._alarms[key]
            keys.append(key)
        return keys

    def next_alarm(self) -> float | None:
        """Return when the next key is due, or None."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._alarms.get(key) == at:
                return at
            heapq.heappop(self._heap)  # replaced or silenced
        return None

    def take(self) -> K | None:
        """Hand out the next key and mark it busy; None when nothing waits that may be worked on now."""
        full = self._rest_at_once is not None and len(self._busy_rest) >= self._rest_at_once
        lines = [line for line in range(REST if full else PRIORITIES) if self._front(line) is not None]
        if not lines:
            return None
        line = lines[0]
        if len(lines) > 1:
            self._passed += 1
            if self._passed > PATIENCE:  # the lower lines in turn: one that is never empty must not hide the other
                line, self._passed = lines[1 + self._turns % (len(lines) - 1)], 0
                self._turns += 1
        else:
            self._passed = 0
        _, key = self._lines[line].popleft()
        del self._waiting[key]
        self._busy[key] = None
        if line == REST:
            self._busy_rest.add(key)
        return key

    def finish(self, key: K, now: float) -> None:
        """Take `key` back from its worker; it waits again when it was woken meanwhile."""
        dirty = self._busy.pop(key)
        self._busy_rest.discard(key)
        if dirty is not None:
            self.wake(key, now, priority=dirty)

    def depth(self, priority: int) -> int:
        """Return how many keys wait at a priority."""
        return sum(1 for waiting in self._waiting.values() if waiting.priority == priority)

    def oldest(self) -> float | None:
        """Return since when the longest waiting key waits, or None."""
        return min((waiting.since for waiting in self._waiting.values()), default=None)

    @property
    def busy(self) -> int:
        """Return the number of keys in workers' hands."""
        return len(self._busy)

    def __len__(self) -> int:
        return len(self._waiting)

    def _front(self, line: int) -> K | None:
        """Return the first valid key of a line, dropping entries of keys that moved up."""
        entries = self._lines[line]
        while entries:
            ticket, key = entries[0]
            waiting = self._waiting.get(key)
            if waiting is not None and waiting.ticket == ticket:
                return key
            entries.popleft()
        return None
