"""How many scrapes begin at a time: so few that our own delay is not taken for the silence of a pod."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta


class Throttle:
    """Lets `at_once` calls through, and counts each for `hold` at most.

    What is bounded is the work of this process. A call that has not ended by then only waits for somebody else; were
    it counted on, pods that never answer would keep out those that do.
    """

    def __init__(self, at_once: int, hold: timedelta) -> None:
        self._places, self._hold_s = asyncio.Semaphore(at_once), hold.total_seconds()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and keep it until the block ends, or for `hold`."""
        await self._places.acquire()
        kept = True

        def give_back() -> None:
            nonlocal kept
            if kept:
                kept = False
                self._places.release()

        timer = asyncio.get_running_loop().call_later(self._hold_s, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
