"""Which key is next: the rules of the work queue as a plain state machine, without tasks, clock or randomness.

A key is in one of four places: nowhere, waiting, busy, busy-and-dirty; beside that it may have one time at which it is
due by itself.

    nowhere ──add──▶ waiting ──get──▶ busy ──done──▶ nowhere (and perhaps due later)
                        ▲              │ add
                        └──done── busy-and-dirty

So a key is worked on by one worker at a time, any number of adds while it waits are one pass, and an add while it is
worked on gives exactly one more pass, which sees everything that happened. A key that is held off is added when its
time has come and not before, whoever adds it. `queue.py` puts workers around this.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from belay_operator.engine.kind import Priority

PATIENCE = 16  # keys of better priority served while a lower one waits, before that one gets its turn

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Waiting:
    priority: Priority
    since: float
    ticket: int  # which queue entry is the valid one, after a key moved to a better priority


class WorkQueue(Generic[K]):
    """Keys with priorities. Every method takes the time in seconds; time never runs backwards."""

    def __init__(self, *, workers: int) -> None:
        """Args: workers: How many keys may be busy together; some of them are kept for the better priorities."""
        self._limits = limits(workers)
        self._waiting: dict[K, _Waiting] = {}
        self._lines: dict[Priority, deque[tuple[int, K]]] = {priority: deque() for priority in Priority}
        self._passed = 0  # keys of better priority served since a lower waiting line had its turn
        self._turns = 0  # of lower lines so far
        self._busy: dict[K, Priority] = {}  # with the priority they were taken at
        self._dirty: dict[K, Priority] = {}  # busy keys that wait again once they are done
        self._not_before: dict[K, Sequence[float]] = {}  # by priority
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._tickets = itertools.count()

    def add(self, key: K, now: float, *, priority: Priority) -> None:
        """Ask for a pass over `key`. A better priority than before moves it up, a worse one changes nothing."""
        if key in self._busy:
            self._dirty[key] = min(priority, self._dirty.get(key, priority))
            return
        if key in self._not_before and (at := self._not_before[key][priority]) > now:
            self.requeue_at(key, min(at, self._due.get(key, at)))
            return
        known = self._waiting.get(key)
        if known is not None and known.priority <= priority:
            return
        ticket = next(self._tickets)
        self._waiting[key] = _Waiting(priority, known.since if known else now, ticket)
        self._lines[priority].append((ticket, key))

    def hold_off(self, key: K, not_before: Sequence[float]) -> None:
        """Let nobody work on `key` before its time. Args: not_before: One time for each priority."""
        self._not_before[key] = not_before

    def release(self, key: K) -> None:
        """Hold `key` off no longer."""
        self._not_before.pop(key, None)

    def requeue_at(self, key: K, at: float) -> None:
        """Set when `key` is due by itself; replaces the earlier time, because the latest pass knows best."""
        self._due[key] = at
        if len(self._heap) > 2 * len(self._due) + 64:  # replaced times may lie a day ahead: do not keep them
            self._heap = [(time, next(self._tickets), of) for of, time in self._due.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (at, next(self._tickets), key))

    def drop_requeue(self, key: K) -> None:
        """Forget the time at which `key` is due."""
        self._due.pop(key, None)

    def due(self, now: float) -> list[K]:
        """Return the keys whose time has come, and forget those times; the caller adds the keys."""
        keys = []
        while (at := self.next_due()) is not None and at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._due[key]
            keys.append(key)
        return keys

    def next_due(self) -> float | None:
        """Return when the next key is due, or None."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._due.get(key) == at:
                return at
            heapq.heappop(self._heap)  # replaced or dropped
        return None

    def get(self) -> K | None:
        """Hand out the next key and mark it busy; None when nothing waits that may be worked on now."""
        lines = [priority for priority in Priority if self._has_room(priority) and self._front(priority) is not None]
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
        self._busy[key] = line
        return key

    def done(self, key: K, now: float) -> None:
        """Take `key` back from its worker; it waits again when it was added meanwhile."""
        del self._busy[key]
        priority = self._dirty.pop(key, None)
        if priority is not None:
            self.add(key, now, priority=priority)

    def depth(self, priority: Priority) -> int:
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

    def _has_room(self, priority: Priority) -> bool:
        return sum(1 for taken in self._busy.values() if taken >= priority) < self._limits[priority]

    def _front(self, line: Priority) -> K | None:
        """Return the first valid key of a line, dropping entries of keys that moved up."""
        entries = self._lines[line]
        while entries:
            ticket, key = entries[0]
            waiting = self._waiting.get(key)
            if waiting is not None and waiting.ticket == ticket:
                return key
            entries.popleft()
        return None


def limits(workers: int) -> dict[Priority, int]:
    """Return for each priority how many keys of it and of all worse ones may be busy together.

    One worker in eight is kept from the rest and another one in eight from everything but rollbacks: passes that hang
    (in a webhook that times out, say) must not leave a rollback without anybody to carry it out.
    """
    kept = max(1, workers // 8)
    return {priority: max(1, workers - priority * kept) for priority in Priority}
