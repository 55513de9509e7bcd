"""List every kind from time to time and correct the cache: what a watch has lost, nobody ever reports.

A watch that breaks for longer than the API server's memory starts over with a list; objects deleted in between are
never mentioned again. So every ten minutes, and soon after a watch has started over, all kinds are listed in chunks;
what is not in the list is dropped, what is newer is taken. A change that only the resync found is counted: a watch
that is blind time after time makes this process unhealthy.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from belay_operator.engine import metrics
from belay_operator.engine.cache import Cache, Name
from belay_operator.engine.client import Client
from belay_operator.engine.errors import ApiError
from belay_operator.engine.resources import CACHED, Resource

PERIOD = timedelta(minutes=10)
SETTLE = timedelta(seconds=3)  # after a watch starts over it still replays its list; wait for that to end
RETRY = timedelta(seconds=5)
GRACE = timedelta(seconds=2)  # a watch may be that late without being blind
BLIND = 2  # resyncs in a row that found lost changes of one kind

log = logging.getLogger(__name__)


class Resync:
    """Lists kinds into the cache: once at start, then by period or on request."""

    def __init__(
        self, client: Client, cache: Cache, *, namespaces: Iterable[str] | None = None, period: timedelta = PERIOD
    ) -> None:
        self._client, self._cache, self._period = client, cache, period
        self._namespaces = tuple(namespaces) if namespaces else (None,)
        self._asked: dict[str, float] = {}  # kind -> loop time at which to list it
        self._news = asyncio.Event()
        self._blind: dict[str, int] = {}

    async def first(self) -> None:
        """List all kinds once, all at a time; the cache is complete afterwards. Tries until it works."""
        async with asyncio.TaskGroup() as group:
            for resource in CACHED:
                group.create_task(self._until_listed(resource))

    async def run(self) -> None:
        """List each kind every period, and when asked, until cancelled."""
        loop = asyncio.get_running_loop()
        for resource in CACHED:
            # The watches start with a list of their own; what vanished between ours and theirs is found here.
            self._asked[resource.kind] = loop.time() + 2 * SETTLE.total_seconds()
        while True:
            kind, at = min(self._asked.items(), key=lambda item: item[1])
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), max(0.0, at - loop.time()))
                continue  # an earlier date may have been asked for
            except TimeoutError:
                pass
            self._asked[kind] = loop.time() + self._period.total_seconds()
            try:
                await self.list(kind)
            except ApiError as error:
                log.warning("resync of %s failed, next try in %.0f s: %s", kind, RETRY.total_seconds(), error)
                self._asked[kind] = loop.time() + RETRY.total_seconds()

    def ask(self, kind: str) -> None:
        """List `kind` soon: its watch has just started over."""
        soon = asyncio.get_running_loop().time() + SETTLE.total_seconds()
        if soon < self._asked.get(kind, float("inf")) - SETTLE.total_seconds():
            self._asked[kind] = soon
            self._news.set()

    def blind(self) -> list[str]:
        """Return the kinds whose watch lost changes in the last resyncs, time after time."""
        return [kind for kind, times in self._blind.items() if times >= BLIND]

    async def list(self, kind: str, *, first: bool = False) -> None:
        """Correct the cache by one complete list of `kind`. Raises: ApiError."""
        if not self._cache.serves(kind):
            return
        lost = 0
        for namespace in self._namespaces:
            present: set[Name] = set()
            version, at = 0, 0.0
            async for page in self._client.pages(kind, namespace):
                if not present:
                    version, at = int(page.resource_version), asyncio.get_running_loop().time()
                present.update(map(_name, page.items))
                if not first and any(self._newer(kind, one) for one in page.items):
                    await _settled(at)
                lost += sum(self._cache.put(kind, one) for one in page.items)
            if not first and self._cache.count(kind, namespace) != len(present):
                await _settled(at)
            lost += len(self._cache.prune(kind, present, version=version, namespace=namespace))
        if lost and not first:
            metrics.WATCH_MISSED.labels(kind).inc(lost)
            log.warning("resync: the watch of %s had lost %d changes; the cache is correct again", kind, lost)
        self._blind[kind] = self._blind.get(kind, 0) + 1 if lost and not first else 0
        self._cache.synced.add(kind)

    def _newer(self, kind: str, one: Mapping[str, Any]) -> bool:
        return self._cache.version(kind, *_name(one)) < int(one["metadata"]["resourceVersion"])

    async def _until_listed(self, resource: Resource) -> None:
        while True:
            try:
                await self.list(resource.kind, first=True)
                return
            except ApiError as error:
                log.warning("cannot list %s, next try in %s: %s", resource.kind, RETRY, error)
            await asyncio.sleep(RETRY.total_seconds())


async def _settled(at: float) -> None:
    """Return once the watch has had its time for what a list answered at `at` shows: what is late is not lost."""
    await asyncio.sleep(max(0.0, at + GRACE.total_seconds() - asyncio.get_running_loop().time()))


def _name(one: Mapping[str, Any]) -> Name:
    return one["metadata"]["namespace"], one["metadata"]["name"]
