"""List every kind from time to time and correct the cache: what a watch has lost, nobody ever reports.

A watch that breaks for longer than the API server's memory starts over with a list; objects deleted in between are
never mentioned again. So every ten minutes, and soon after a watch has started over, a kind is listed in chunks; what
is not in the list is dropped, what is newer is taken. A change that only the resync found is counted.

A watch is blind when two lists in a row found what it has told nothing of to this moment; that makes this process
unhealthy. One that was only late, because the process is busy, tells it after all.
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
from belay_operator.engine.resources import CACHED

PERIOD = timedelta(minutes=10)
SETTLE = timedelta(seconds=3)  # after a watch starts over it still replays its list; wait for that to end
RETRY = timedelta(seconds=5)
GRACE = timedelta(seconds=2)  # a watch may be that late without being blind

_Untold = dict[Name, int]  # with the version found; of a deletion 0

log = logging.getLogger(__name__)


class Resync:
    """Lists kinds into the cache, by period or on request."""

    def __init__(
        self, client: Client, cache: Cache, *, namespaces: Iterable[str] | None = None, period: timedelta = PERIOD
    ) -> None:
        self._client, self._cache, self._period = client, cache, period
        self._namespaces = tuple(namespaces) if namespaces else (None,)
        self._asked: dict[str, float] = {}  # kind -> loop time at which to list it
        self._news = asyncio.Event()
        self._untold: dict[str, _Untold] = {}  # by kind: what the last list found, and no watch has told since
        self._still_untold: dict[str, _Untold] = {}  # the same of the list before

    async def run(self) -> None:
        """List each kind every period, and when asked, until cancelled."""
        loop = asyncio.get_running_loop()
        for resource in CACHED:
            self._asked.setdefault(resource.kind, loop.time() + self._period.total_seconds())
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

    def told(self, kind: str, name: Name, version: int) -> None:
        """Note that the watch of `kind` tells of an object: it is not blind to that one."""
        for untold in (self._untold.get(kind), self._still_untold.get(kind)):
            if untold and untold.get(name, version + 1) <= version:
                del untold[name]

    def blind(self) -> list[str]:
        """Return the kinds of which the last two lists each found what the watch still has not told."""
        return [kind for kind, untold in self._untold.items() if untold and self._still_untold.get(kind)]

    async def list(self, kind: str) -> None:
        """Correct the cache by one complete list of `kind`. Raises: ApiError."""
        if not self._cache.serves(kind):
            return
        lost: _Untold = {}
        for namespace in self._namespaces:
            present: set[Name] = set()
            version, at = 0, 0.0
            async for page in self._client.pages(kind, namespace):
                if not present:
                    version, at = int(page.resource_version), asyncio.get_running_loop().time()
                present.update(map(_name, page.items))
                if any(self._newer(kind, one) for one in page.items):
                    await _settled(at)
                lost |= {_name(one): _version(one) for one in page.items if self._cache.put(kind, one)}
            if self._cache.count(kind, namespace) != len(present):
                await _settled(at)
            gone = self._cache.prune(kind, present, version=version, namespace=namespace)
            lost |= dict.fromkeys(gone, 0)  # its deletion had a version of its own, which nobody knows
        self._still_untold[kind], self._untold[kind] = self._untold.get(kind, {}), lost
        if lost:
            metrics.WATCH_MISSED.labels(kind).inc(len(lost))
            log.warning("resync: the watch of %s had lost %d changes; the cache is correct again", kind, len(lost))

    def _newer(self, kind: str, one: Mapping[str, Any]) -> bool:
        return self._cache.version(kind, *_name(one)) < _version(one)


async def _settled(at: float) -> None:
    """Return once the watch has had its time for what a list answered at `at` shows: what is late is not lost."""
    await asyncio.sleep(max(0.0, at + GRACE.total_seconds() - asyncio.get_running_loop().time()))


def _version(one: Mapping[str, Any]) -> int:
    return int(one["metadata"]["resourceVersion"])


def _name(one: Mapping[str, Any]) -> Name:
    return one["metadata"]["namespace"], one["metadata"]["name"]
