"""The operator while it leads: cache, queue, watches, pollers, put together and taken apart in order.

           watches ──▶ cache ──listeners──▶ queue ──▶ workers ──▶ reconciler ──▶ executor ──▶ API server
          resync ──────▶ │ ◀── facts ── pollers (logbook, serving pods)                └──answers──▶ cache

Start: once Belay's CRDs are served the watches begin, each by a list of its kind, and only with a complete cache do the
workers begin: a decision on half a world would create what already exists. End: no new pass begins, those under way
finish, events go out.
"""

import asyncio
import gc
import logging
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp

from belay_operator import connect, receipt_key
from belay_operator.engine import alarms, metrics
from belay_operator.engine.apply import Executor
from belay_operator.engine.cache import Cache
from belay_operator.engine.change import Change
from belay_operator.engine.client import Client
from belay_operator.engine.errors import ApiError
from belay_operator.engine.events import Events
from belay_operator.engine.health import STUCK_LIMIT, Health
from belay_operator.engine.kind import Kind
from belay_operator.engine.pollers import CachePollerContext, run_sources
from belay_operator.engine.queue import Queue
from belay_operator.engine.reconciler import Reconciler
from belay_operator.engine.resources import CACHED
from belay_operator.engine.resync import RETRY, Resync
from belay_operator.engine.routing import keys_of
from belay_operator.engine.source import Source
from belay_operator.engine.statuses import Statuses
from belay_operator.settings import Installation
from belay_operator.watch import Watches

NEW_KIND_POLL = timedelta(minutes=1)
END_IN = timedelta(seconds=5)  # for passes under way; the pod has 10 s in all

log = logging.getLogger(__name__)


class Operator:
    """One term of leadership."""

    def __init__(
        self,
        client: Client,
        installation: Installation,
        health: Health,
        *,
        kinds: Mapping[str, Kind],
        sources: Iterable[Source],
    ) -> None:
        self._client, self._installation, self._health = client, installation, health
        self._kinds, self._sources = kinds, tuple(sources)
        self._rng = random.Random()  # jitter only
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._stop.set()

    async def run(self) -> None:
        """Operate until asked to stop. Raises: whatever makes going on impossible."""
        started = time.monotonic()
        metrics.LEADING.set(1)
        settings = replace(
            self._installation.kinds,
            receipt_master=await receipt_key.ensure(self._client, self._installation.namespace),
        )
        cache = Cache()
        events = Events(self._client, instance=self._installation.identity)
        executor = Executor(self._client, cache, events)
        reconciler = Reconciler(self._kinds, cache, executor, settings)
        queue = Queue(
            reconciler,
            priority=reconciler.priority,
            asked=reconciler.asked,
            clock=time.monotonic,
            rng=self._rng,
            workers=self._installation.workers,
        )
        resync = Resync(self._client, cache, namespaces=self._installation.watch, period=self._installation.resync)
        kinds = tuple(self._kinds.values())

        def wake(change: Change) -> None:
            for key in keys_of(change, kinds, cache):
                queue.wake(key)

        cache.listen(wake)
        cache.listen(alarms.count)
        self._watch_over(cache, queue, resync)
        await self._find_kinds(cache)

        # Every outcome under analysis is a long-poll, open nearly all the time: a limit would starve the scrapes.
        connector = aiohttp.TCPConnector(limit=0)
        told = Statuses(cache, kinds, metrics.REGISTRY)
        async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as group:
            context = CachePollerContext(
                cache, settings, http, self._client, wake=queue.wake, token_file=self._installation.token_file
            )
            watching = Watches(cache, resync, namespaces=self._installation.watch)
            following = watching.run(login=lambda: connect.kopf_login(self._client.configuration), ended=self.stop)
            watches = group.create_task(following, name="watches")
            listed = group.create_task(watching.complete.wait(), name="listed")
            stopping = group.create_task(self._stop.wait(), name="stopping")
            helpers: list[asyncio.Task[Any]] = [listed, stopping]
            await asyncio.wait({listed, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if listed.done():
                _settle_memory()
                metrics.FIRST_SYNC.set(time.monotonic() - started)
                log.info("complete after %.2f s: %d objects", time.monotonic() - started, cache.size())
                helpers += [
                    group.create_task(queue.run(), name="queue"),
                    group.create_task(events.run(), name="events"),
                    group.create_task(resync.run(), name="resync"),
                    group.create_task(run_sources(self._sources, context, self._rng), name="sources"),
                    group.create_task(self._await_new_kinds(cache), name="new-kinds"),
                ]
                queue.open()
                with told:
                    await stopping
                await _wind_up(queue, events)
            for helper in helpers:
                helper.cancel()
            # Last, and cancelled instead of asked: at its own end kopf takes every younger task of the process for one
            # of its own, waits five seconds for it and cancels it, the passes under way among them.
            await asyncio.wait(helpers)
            watches.cancel()
        metrics.LEADING.set(0)

    async def _find_kinds(self, cache: Cache) -> None:
        """Note which optional kinds are missing, and wait for the others: kopf never watches what was not there."""
        for resource in CACHED:
            while not await self._client.serves(resource):
                if resource.optional:
                    log.warning("%s is not served here; what needs it will say so", resource.kind)
                    cache.mark_missing(resource.kind)
                    break
                log.warning("%s is not served yet; install Belay's CRDs. Next try in %s", resource.kind, RETRY)
                await asyncio.sleep(RETRY.total_seconds())

    async def _await_new_kinds(self, cache: Cache) -> None:
        """End this term when a missing kind appears: the watches are set up at start only."""
        missing = [resource for resource in CACHED if not cache.serves(resource.kind)]
        while missing:
            await asyncio.sleep(NEW_KIND_POLL.total_seconds())
            for resource in missing:
                try:
                    served = await self._client.serves(resource)
                except ApiError:
                    continue
                if served:
                    log.info("%s is served now; starting anew to watch it", resource.kind)
                    self.stop()
                    return

    def _watch_over(self, cache: Cache, queue: Queue, resync: Resync) -> None:
        """Let the probes see this term."""

        def queue_check() -> str | None:
            stuck = queue.stuck_for()
            return f"keys wait, no pass ended for {stuck:.0f} s" if stuck > STUCK_LIMIT.total_seconds() else None

        def watch_check() -> str | None:
            blind = resync.blind()
            return f"watches of {', '.join(blind)} lose changes" if blind else None

        self._health.live |= {"queue": queue_check, "watches": watch_check}
        self._health.ready["cache"] = lambda: None if cache.complete else "not all kinds are listed yet"
        self._health.gauges.append(queue.gauge)


async def _wind_up(queue: Queue, events: Events) -> None:
    """Begin no pass any more; return once those under way have ended and what they told is posted, or soon."""
    try:
        await asyncio.wait_for(queue.drained(), END_IN.total_seconds())
        await events.flush(timedelta(seconds=1))
    except TimeoutError:
        log.warning("passes under way did not end in %s; the next leader finishes them", END_IN)


def _settle_memory() -> None:
    """Take what start-up built out of the garbage collector's sight: it lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
