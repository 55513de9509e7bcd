"""Run the pollers: they may wait on the outside world, so that a pass never has to.

Each source runs as one task while this process leads. What it learns it puts into its context, which writes the cache
and wakes the keys it names. A source that ends by an exception is a bug: it is told, counted and started again.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from belay_operator.engine import metrics
from belay_operator.engine.backoff import backoff
from belay_operator.engine.cache import Cache, Name
from belay_operator.engine.change import Change
from belay_operator.engine.client import Client
from belay_operator.engine.plan import Key, Settings
from belay_operator.engine.source import Source

log = logging.getLogger(__name__)


class ChangedNames:
    """See `source.Changes`."""

    def __init__(self, names: Iterable[Name]) -> None:
        self._names, self._news = set(names), asyncio.Event()
        if self._names:
            self._news.set()

    def add(self, name: Name) -> None:
        """Note that an object changed."""
        self._names.add(name)
        self._news.set()

    def take(self) -> set[Name]:
        """See `source.Changes.take`."""
        names, self._names = self._names, set()
        self._news.clear()
        return names

    async def wait(self) -> None:
        """See `source.Changes.wait`."""
        await self._news.wait()


class CachePollerContext:
    """The `source.PollerContext` of this process: the cache, the queue, one HTTP session, the logbook token."""

    def __init__(
        self,
        cache: Cache,
        settings: Settings,
        http: aiohttp.ClientSession,
        client: Client,
        *,
        wake: Callable[[Key], None],
        token_file: Path,
    ) -> None:
        self.settings, self.http = settings, http
        self._cache, self._client, self._wake, self._token_file = cache, client, wake, token_file
        self._followers: dict[str, list[ChangedNames]] = {}
        cache.listen(self._note_change)

    def now(self) -> datetime:
        """Return the aware UTC time."""
        return datetime.now(UTC)

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """See `Reader.get`."""
        return self._cache.get(kind, namespace, name)

    def whole(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """See `Reader.whole`."""
        return self._cache.whole(kind, namespace, name)

    def owned(self, kind: str, owner_uid: str) -> list[Mapping[str, Any]]:
        """See `Reader.owned`."""
        return self._cache.owned(kind, owner_uid)

    def in_namespace(self, kind: str, namespace: str) -> list[Mapping[str, Any]]:
        """See `Reader.in_namespace`."""
        return self._cache.in_namespace(kind, namespace)

    def labelled(self, kind: str, namespace: str, label: str, value: str) -> list[Mapping[str, Any]]:
        """See `Reader.labelled`."""
        return self._cache.labelled(kind, namespace, label, value)

    def indexed(self, index: str, kind: str, namespace: str, value: str) -> list[Mapping[str, Any]]:
        """See `Reader.indexed`."""
        return self._cache.indexed(index, kind, namespace, value)

    def serves(self, kind: str) -> bool:
        """See `Reader.serves`."""
        return self._cache.serves(kind)

    def fact(self, topic: str, namespace: str, name: str) -> Any | None:
        """See `Reader.fact`."""
        return self._cache.fact(topic, namespace, name)

    @contextlib.contextmanager
    def changes(self, kind: str) -> Iterator[ChangedNames]:
        """See `PollerContext.changes`."""
        followers, changed = self._followers.setdefault(kind, []), ChangedNames(self._cache.names(kind))
        followers.append(changed)
        try:
            yield changed
        finally:
            followers.remove(changed)

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

    async def events(self, namespace: str, *, kind: str, reason: str) -> list[Mapping[str, Any]]:
        """See `PollerContext.events`."""
        return list(await self._client.events(namespace, kind=kind, reason=reason))

    async def pods(self, namespace: str, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """See `PollerContext.pods`."""
        return await self._client.pods(namespace, labels)

    async def read(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """See `PollerContext.read`."""
        return await self._client.get(kind, namespace, name)

    async def apply(self, manifest: Mapping[str, Any]) -> None:
        """See `PollerContext.apply`."""
        await self._client.apply(manifest)

    def known_uids(self, kind: str) -> frozenset[str]:
        """See `PollerContext.known_uids`."""
        return self._cache.uids(kind)

    async def live_uids(self, kind: str, namespace: str) -> frozenset[str]:
        """See `PollerContext.live_uids`."""
        found = (one["metadata"]["uid"] async for page in self._client.pages(kind, namespace) for one in page.items)
        return frozenset([uid async for uid in found])

    def _note_change(self, change: Change) -> None:
        for follower in self._followers.get(change.kind, ()):
            follower.add(change.name)


async def run_sources(sources: Iterable[Source], context: CachePollerContext, rng: random.Random) -> None:
    """Run every source until cancelled."""
    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(_keep_running(source, context, rng), name=f"source-{source.name}")


async def _keep_running(source: Source, context: CachePollerContext, rng: random.Random) -> None:
    failures = 0
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await source.run(context)
            log.error("source %s returned; it should run until cancelled", source.name)
        except Exception:  # a bug in one source must not take the others, nor the reconciles, with it
            log.exception("source %s failed and is started again", source.name)
        metrics.SOURCE_FAILURES.labels(source.name).inc()
        failures = 1 if asyncio.get_running_loop().time() - started > 300 else failures + 1
        await asyncio.sleep(backoff(failures, rng).total_seconds())
