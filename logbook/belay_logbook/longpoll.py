"""Wait for news of a topic without asking a clock: a commit wakes exactly those who wait for its topic."""

import asyncio
import threading
from collections import defaultdict
from datetime import timedelta

MAX_WAIT = timedelta(seconds=30)  # shorter than any proxy's idle limit

Topic = tuple[str, ...]


class Feed:
    """Who waits for which topic. `wake` may be called from any thread, everything else on the event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._marks: defaultdict[Topic, int] = defaultdict(int)
        self._waiting: defaultdict[Topic, set[asyncio.Future[None]]] = defaultdict(set)
        self._lock = threading.Lock()
        self.closing = False

    def start(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()

    def mark(self, topic: Topic) -> int:
        """Return a mark to hand to `changed`. Take it before reading, or news in between is missed."""
        with self._lock:
            return self._marks[topic]

    def wake(self, topic: Topic) -> None:
        """Say that there is news."""
        with self._lock:
            self._marks[topic] += 1
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._release, topic)

    def close_soon(self) -> None:
        """Ask for `close`, from a signal handler."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """Release everybody: the process is about to end."""
        self.closing = True
        for topic in list(self._waiting):
            self._release(topic)

    async def changed(self, topic: Topic, mark: int, timeout_s: float) -> bool:
        """Return true when there was news since `mark`, false when the time is up or the process ends."""
        if self.mark(topic) != mark:
            return True
        if self.closing or timeout_s <= 0:
            return False
        future = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(future)
        try:
            await asyncio.wait([future], timeout=timeout_s)
        finally:
            self._waiting[topic].discard(future)
            if not self._waiting[topic]:
                del self._waiting[topic]
        return self.mark(topic) != mark

    async def rest(self, seconds: float) -> None:
        """Sleep, but for a process that ends."""
        await self.changed((), 0, seconds)  # a topic without news: only `close` ends the wait early

    def _release(self, topic: Topic) -> None:
        for future in list(self._waiting.get(topic, ())):
            if not future.done():
                future.set_result(None)
