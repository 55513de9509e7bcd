"""Watch every kind and hand each event to the cache. Nothing else.

    kopf: credentials, stream ──▶ Watches ──▶ cache ──▶ its listeners
                                     └─listed anew, told─▶ resync

kopf logs in, lists, watches and keeps each stream alive: bookmarks, silence, 410, 429, new credentials. What it has for
handlers is left out (docs/decisions/012): a queue, a task and a memory for each object cost six times the CPU of the
stream, and our queue has all of that for the few objects that need a pass. The kinds are those of our own table, so
nothing depends on what discovery says at start.
"""

import asyncio
import logging
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import aiohttp
import kopf
from kopf._cogs.clients import errors, watching
from kopf._cogs.structs import references

from belay_operator.engine import metrics
from belay_operator.engine.cache import Cache
from belay_operator.engine.resources import CACHED, Resource
from belay_operator.engine.resync import Resync

RETRY = timedelta(seconds=5)  # after a stream that kopf gave up
_BACKOFFS_S = (0.5, 1, 2, 3, 5, 8, 13)

# What a stream can end by that a new one may mend: an ERROR event other than 410, a call refused or failed for longer
# than the back-offs, half a line where a connection broke.
_BROKEN = (watching.WatchingError, errors.APIError, aiohttp.ClientError, TimeoutError, ValueError)

Login = Callable[[], Any]

log = logging.getLogger(__name__)


class WatchesEnded(Exception):
    """kopf has ended its tasks without being asked to and without an error; nothing would be watched any more."""


class Watches:
    """One stream for each kind that the cluster serves, and each namespace."""

    def __init__(self, cache: Cache, resync: Resync, *, namespaces: Iterable[str] = ()) -> None:
        """Args: namespaces: empty: one stream for all."""
        self._cache, self._resync = cache, resync
        self._namespaces = tuple(namespaces)
        self._listed: Counter[tuple[str, str | None]] = Counter()  # objects that came from lists
        self._lists: Counter[tuple[str, str | None]] = Counter()  # lists that came to their end
        self.complete = asyncio.Event()
        """Every kind was listed once: the cache is a whole world."""

    async def run(self, *, login: Login, ended: Callable[[], None]) -> None:
        """Watch until cancelled.

        Args:
            login: Coroutine function that returns kopf's credentials.
            ended: What SIGTERM and SIGINT call; kopf takes the signals, and would end before the passes do.
        Raises: WatchesEnded, or what ended kopf.
        """
        ours, older = settings(), asyncio.all_tasks()
        # This also makes kopf's credentials known to every task that is made after it here.
        tasks = await kopf.spawn_tasks(
            registry=registry(login),
            settings=ours,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended)
        async with asyncio.TaskGroup() as group:
            group.create_task(_shell(tasks, older), name="kopf")
            for resource in CACHED:
                if self._cache.serves(resource.kind):
                    for namespace in self._namespaces or (None,):
                        following = self._follow(ours, resource, namespace)
                        group.create_task(following, name=f"watch-{resource.kind}")

    async def _follow(self, ours: kopf.OperatorSettings, resource: Resource, namespace: str | None) -> None:
        kind = resource.kind
        seen = metrics.WATCH_EVENTS.labels(kind)
        async for event in _events(ours, resource, namespace):
            if isinstance(event, watching.Bookmark):
                self._list_ended(kind, namespace)
            elif event["type"] != "BOOKMARK":
                seen.inc()
                self._listed[kind, namespace] += event["type"] is None
                try:
                    take(self._cache, self._resync, kind, event["type"], event["object"])
                except Exception:  # a bug that one object shows must not end the watch of all the others
                    log.exception("an event of %s could not be taken; the resync looks at it again", kind)

    def _list_ended(self, kind: str, namespace: str | None) -> None:
        self._lists[kind, namespace] += 1
        again = self._lists[kind, namespace] > 1
        # Objects deleted before a list that began anew are never told of; nor those of a first one that broke half-way.
        if again or self._listed[kind, namespace] != self._cache.count(kind, namespace):
            self._resync.ask(kind)
        if all(self._lists[kind, one] for one in self._namespaces or (None,)):
            self._cache.synced.add(kind)
        if self._cache.complete:
            self.complete.set()


def take(cache: Cache, resync: Resync, kind: str, happened: str | None, obj: dict[str, Any]) -> None:
    """Put one watch event into the cache; `happened` is None for an object that comes from a list."""
    meta = obj["metadata"]
    namespace, name, version = meta["namespace"], meta["name"], int(meta["resourceVersion"])
    resync.told(kind, (namespace, name), version)
    if happened == "DELETED":
        cache.remove(kind, namespace, name, version=version)
    else:
        cache.put(kind, obj)


async def _shell(tasks: Any, older: set[asyncio.Task[Any]]) -> None:
    await kopf.run_tasks(tasks, ignored=older)
    raise WatchesEnded("kopf has ended; starting anew")


async def _events(ours: kopf.OperatorSettings, resource: Resource, namespace: str | None) -> AsyncIterator[Any]:
    """Yield kopf's raw events without end: after a stream that broke for good comes another, which begins by a list."""
    theirs = references.Resource(resource.group, resource.version, resource.plural, namespaced=True)
    where = None if namespace is None else references.NamespaceName(namespace)
    while True:
        stream = watching.infinite_watch(settings=ours, resource=theirs, namespace=where)
        why: object = "it ended"
        while True:
            try:
                event = await anext(stream)
            except StopAsyncIteration:
                break
            except _BROKEN as error:
                why = error
                break
            yield event
        log.warning("the watch of %s broke and begins anew in %s: %s", resource.kind, RETRY, why)
        await asyncio.sleep(RETRY.total_seconds() * random.uniform(0.5, 1.0))


class _Jittered(Iterable[float]):
    """kopf's retry delays, different in every process: replicas must not come back together."""

    def __iter__(self) -> Iterator[float]:
        return (seconds * random.uniform(0.5, 1.0) for seconds in _BACKOFFS_S)


def registry(login: Login) -> kopf.OperatorRegistry:
    """Return kopf's handlers: how to log in, and none for any kind."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def on_login(**_: Any) -> Any:
        return await login()

    return made


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings; each differs from the default for the reason beside it."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True  # the Lease decides who runs
    made.scanning.disabled = True  # no rights on CRDs and namespaces needed; a new kind needs a restart, see operate.py
    made.posting.enabled = False  # Events are ours, engine/events.py
    made.watching.chunk_size = 250  # bounds the memory spike of the lists at start, all kinds at a time
    made.watching.server_timeout = 270
    made.watching.client_timeout = 300  # belt and braces for a connection that died silently
    made.watching.connect_timeout = 10
    made.networking.request_timeout = 30  # the default of 5 minutes would hold everything up
    made.networking.connect_timeout = 10
    made.networking.error_backoffs = _Jittered()
    made.process.ultimate_exiting_timeout = 20
    for resource in CACHED:
        if resource.selector:
            made.watching.label_selectors[resource.group, resource.version, resource.plural] = resource.selector
    return made


def quiet() -> None:
    """Keep kopf's per-object lines out of the log; ours say what matters."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
