"""How fast we may call: a token bucket that lets urgent calls pass and remembers the debt.

A rollback must not queue behind a storm of ordinary writes. An urgent call takes its token at once, even below zero;
the ordinary ones then wait a little longer, so the average rate still holds.
"""

import asyncio
from collections.abc import Callable


class TokenBucket:
    """`rate_per_s` tokens a second, at most `burst` saved up."""

    def __init__(self, *, rate_per_s: float, burst: int, clock: Callable[[], float]) -> None:
        if rate_per_s <= 0 or burst < 1:
            raise ValueError(
                f"rate {rate_per_s}/s, burst {burst}: both must be positive; set BELAY_QPS and BELAY_BURST"
            )
        self._rate, self._burst, self._clock = rate_per_s, float(burst), clock
        self._tokens, self._at = float(burst), clock()

    def reserve(self, *, urgent: bool = False) -> float:
        """Take one token and return the seconds to wait until it is there; urgent: always 0."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return 0.0 if urgent or self._tokens >= 0 else -self._tokens / self._rate

    async def take(self, *, urgent: bool = False) -> float:
        """Wait for a token; return the seconds waited."""
        delay = self.reserve(urgent=urgent)
        if delay > 0:
            await asyncio.sleep(delay)
        return delay
