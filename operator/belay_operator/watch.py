"""kopf's part: watch every kind, hand each event to the cache. Nothing else.

No create, update or delete handlers, timers, daemons or indexes of kopf: they keep state in annotations and wait for
their own echoes. kopf keeps the watches alive (bookmarks, silent streams, 410, 429, new credentials); the cache decides
what is news, and its listeners wake the queue.
"""

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import kopf

from belay_operator.engine import metrics
from belay_operator.engine.cache import Cache
from belay_operator.engine.resources import CACHED, Resource

Login = Callable[[], Any]

_BACKOFFS_S = (0.5, 1, 2, 3, 5, 8, 13)


class _Jittered(Iterable[float]):
    """kopf's retry delays, different in every process: replicas must not come back together."""

    def __iter__(self) -> Iterator[float]:
        return (seconds * random.uniform(0.5, 1.0) for seconds in _BACKOFFS_S)


class _NoDiffs(kopf.DiffBaseStorage):
    """kopf compares every object with what it handled last; nobody here asks, and it is most of its time per event."""

    def build(self, **_: Any) -> Any:
        """Return an empty essence instead of a deep copy of the object."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Return that nothing was handled before."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


class _NoProgress(kopf.ProgressStorage):
    """kopf's handlers that could be half-way done do not exist here."""

    def fetch(self, **_: Any) -> None:
        """Return that nothing is under way."""

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Purge nothing."""

    def touch(self, **_: Any) -> None:
        """Touch nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Return the essence without a deep copy."""
        return essence


def registry(cache: Cache, *, relisted: Callable[[str], None], login: Login) -> kopf.OperatorRegistry:
    """Return kopf's handlers: one for each cached kind that the cluster serves.

    Args:
        relisted: Told the kind of each object that comes from a list, which after the start means a watch began anew.
        login: Coroutine function that returns kopf's credentials.
    """
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def on_login(**_: Any) -> Any:
        return await login()

    for resource in CACHED:
        if cache.serves(resource.kind):
            _watch(made, resource, cache, relisted)
    return made


def _watch(made: kopf.OperatorRegistry, resource: Resource, cache: Cache, relisted: Callable[[str], None]) -> None:
    kind = resource.kind
    seen = metrics.WATCH_EVENTS.labels(kind)

    @kopf.on.event(resource.group, resource.version, resource.plural, id=kind, registry=made)
    async def on_event(event: Any, **_: Any) -> None:
        seen.inc()
        take(cache, kind, event["type"], event["object"], relisted)


def take(cache: Cache, kind: str, happened: str | None, obj: dict[str, Any], relisted: Callable[[str], None]) -> None:
    """Put one watch event into the cache; `happened` is None for an object that comes from a list."""
    if happened == "DELETED":
        meta = obj["metadata"]
        cache.remove(kind, meta["namespace"], meta["name"], version=int(meta["resourceVersion"]))
        return
    cache.put(kind, obj)
    if happened is None:
        relisted(kind)


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings; each differs from the default for the reason beside it."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True  # the Lease decides who runs
    made.scanning.disabled = True  # no rights on CRDs and namespaces needed; a new kind needs a restart, see operate.py
    made.posting.enabled = False  # Events are ours, engine/events.py
    made.watching.chunk_size = 500  # bounds the memory spike of a list
    made.watching.server_timeout = 270
    made.watching.client_timeout = 300  # belt and braces for a connection that died silently
    made.watching.connect_timeout = 10
    made.networking.request_timeout = 30  # the default of 5 minutes would hold everything up
    made.networking.connect_timeout = 10
    made.networking.error_backoffs = _Jittered()
    made.queueing.worker_limit = None  # a limit holds slots for idle objects and can lock up at start
    made.queueing.idle_timeout = 0.5  # a worker task per object and event burst: free it soon
    made.execution.max_workers = 1  # there are no blocking handlers
    made.persistence.diffbase_storage = _NoDiffs()
    made.persistence.progress_storage = _NoProgress()
    made.persistence.finalizer = "belay.dev/never-used"
    made.process.ultimate_exiting_timeout = 20
    for resource in CACHED:
        if resource.selector:
            made.watching.label_selectors[resource.group, resource.version, resource.plural] = resource.selector
    return made


def quiet() -> None:
    """Keep kopf's per-object lines out of the log; ours say what matters."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
