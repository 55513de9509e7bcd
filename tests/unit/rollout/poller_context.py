"""A context for pollers: a world to read, a place for facts, and a list of who was woken."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
from tests.world import SETTINGS, World

from belay_operator.engine.errors import Forbidden
from belay_operator.engine.plan import Key


class WorldChanges:
    """A world tells nobody of its changes: every object may have changed, twenty times a second."""

    def __init__(self, world: World, kind: str) -> None:
        self._world, self._kind = world, kind
        self._names: set[tuple[str, str]] = set()

    def take(self) -> set[tuple[str, str]]:
        self._names |= {(key[1], key[2]) for key in self._world.objects if key[0] == self._kind}
        return set(self._names)

    async def wait(self) -> None:
        await asyncio.sleep(0.05)


class WorldPollerContext(World):
    """The `source.PollerContext` over a world."""

    __test__ = False

    def __init__(self, world: World, http: aiohttp.ClientSession, *, logbook_url: str | None = None) -> None:
        super().__init__(settings=replace(SETTINGS, logbook_url=logbook_url))
        self.objects = world.objects
        self.http = http
        self.woken: list[Key] = []
        self.reads: list[tuple[str, str, str]] = []
        self.forbidden: set[tuple[str, str, str]] = set()
        self._stir = asyncio.Event()

    def now(self) -> datetime:
        return datetime.now(UTC)

    @contextmanager
    def changes(self, kind: str) -> Iterator[WorldChanges]:
        yield WorldChanges(self, kind)

    def put(self, *said: Any, wake: Iterable[Key] = (), **rest: Any) -> Any:
        """An object, as a world takes it; or a fact, as a poller gives it: (topic, namespace, name, value)."""
        if len(said) == 1:
            return super().put(*said, **rest)
        topic, namespace, name, value = said
        self.facts[topic, namespace, name] = value
        self.woken.extend(wake)
        self._stir.set()
        return None

    def token(self) -> str | None:
        return "token"

    async def pods(self, namespace: str, labels: Mapping[str, str]) -> Any:
        if ("Pod", namespace, "") in self.forbidden:
            raise Forbidden("GET", code=403, reason="Forbidden", message="not granted")
        return [
            pod
            for pod in self.in_namespace("Pod", namespace)
            if labels.items() <= (pod["metadata"].get("labels") or {}).items()
        ]

    async def read(self, kind: str, namespace: str, name: str) -> Any:
        self.reads.append((kind, namespace, name))
        if (kind, namespace, name) in self.forbidden:
            raise Forbidden("GET", code=403, reason="Forbidden", message="not granted")
        return self.objects.get((kind, namespace, name))

    def known_uids(self, kind: str) -> frozenset[str]:
        return frozenset(held["metadata"]["uid"] for key, held in self.objects.items() if key[0] == kind)

    async def live_uids(self, kind: str, namespace: str) -> frozenset[str]:
        return frozenset(one["metadata"]["uid"] for one in self.in_namespace(kind, namespace))

    async def until(self, true: Callable[[], Any], *, within_s: float = 10.0) -> Any:
        """Return what `true` returns once it is true; looked at after every fact."""
        async with asyncio.timeout(within_s):
            while not (found := true()):
                self._stir.clear()
                await self._stir.wait()
            return found
