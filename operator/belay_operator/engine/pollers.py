"""Run the pollers: they may wait on the outside world, so that a pass never has to.

Each source runs as one task while this process leads. What it learns it puts on the desk; that writes the cache and
wakes the keys it names. A source that ends by an exception is a bug: it is told, counted and started again.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from belay_operator.engine import metrics
from belay_operator.engine.cache import Cache
from belay_operator.engine.change import Change
from belay_operator.engine.plan import Key, Settings
from belay_operator.engine.queue import backoff
from belay_operator.engine.source import Source

log = logging.getLogger(__name__)


class CacheDesk:
    """The `source.Desk` of this process: the cache, the queue, one HTTP session, the logbook token."""

    def __init__(
        self,
        cache: Cache,
        settings: Settings,
        http: aiohttp.ClientSession,
        *,
        wake: Callable[[Key], None],
        token_file: Path,
    ) -> None:
        self.settings, self.http = settings, http
        self._cache, self._wake, self._token_file = cache, wake, token_file
        self._changes: dict[str, asyncio.Event] = {}
        cache.listen(self._note_change)

    def now(self) -> datetime:
        """Return the aware UTC time."""
        return datetime.now(UTC)

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """See `Reader.get`."""
        return self._cache.get(kind, namespace, name)

    def owned(self, kind: str, owner_uid: str) -> list[Mapping[str, Any]]:
        """See `Reader.owned`."""
        return self._cache.owned(kind, owner_uid)

    def in_namespace(self, kind: str, namespace: str) -> list[Mapping[str, Any]]:
        """See `Reader.in_namespace`."""
        return self._cache.in_namespace(kind, namespace)

    def labelled(self, kind: str, namespace: str, label: str, value: str) -> list[Mapping[str, Any]]:
        """See `Reader.labelled`."""
        return self._cache.labelled(kind, namespace, label, value)

    def naming(self, kind: str, namespace: str, policy: str) -> list[Mapping[str, Any]]:
        """See `Reader.naming`."""
        return self._cache.naming(kind, namespace, policy)

    def serves(self, kind: str) -> bool:
        """See `Reader.serves`."""
        return self._cache.serves(kind)

    def fact(self, topic: str, namespace: str, name: str) -> Any | None:
        """See `Reader.fact`."""
        return self._cache.fact(topic, namespace, name)

    def all(self, kind: str) -> list[Mapping[str, Any]]:
        """Return every cached object of `kind`."""
        return self._cache.all(kind)

    def put(self, topic: str, namespace: str, name: str, value: Any, *, wake: Iterable[Key] = ()) -> None:
        """Store a fact and look at the `wake` keys again; None forgets the fact."""
        self._cache.put_fact(topic, namespace, name, value)
        for key in wake:
            self._wake(key)

    def token(self) -> str | None:
        """Return the operator's bearer token for the logbook, freshly read because it is rotated; None without one."""
        try:
            return self._token_file.read_text().strip() or None
        except OSError:
            return None

    async def changed(self, kind: str, timeout_s: float) -> None:
        """Return once an object of `kind` changed, or after `timeout_s`."""
        event = self._changes.setdefault(kind, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), timeout_s)

    def _note_change(self, change: Change) -> None:
        # Everybody who waits now is let go; who comes later waits for the next change.
        event = self._changes.pop(change.kind, None)
        if event is not None:
            event.set()


async def run_sources(sources: Iterable[Source], desk: CacheDesk, rng: random.Random) -> None:
    """Run every source until cancelled."""
    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(_keep_running(source, desk, rng), name=f"source-{source.name}")


async def _keep_running(source: Source, desk: CacheDesk, rng: random.Random) -> None:
    failures = 0
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await source.run(desk)
            log.error("source %s returned; it should run until cancelled", source.name)
        except Exception:  # a bug in one source must not take the others, nor the reconciles, with it
            log.exception("source %s failed and is started again", source.name)
        metrics.SOURCE_FAILURES.labels(source.name).inc()
        failures = 1 if asyncio.get_running_loop().time() - started > 300 else failures + 1
        await asyncio.sleep(backoff(failures, rng).total_seconds())
