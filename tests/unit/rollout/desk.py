"""A desk for pollers: a world to read, a place for facts, and a list of who was woken."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
from tests.world import SETTINGS, World

from belay_operator.engine.plan import Key


class TableDesk(World):
    """The `source.Desk` over a world."""

    __test__ = False

    def __init__(self, world: World, http: aiohttp.ClientSession, *, logbook_url: str | None = None) -> None:
        super().__init__(settings=replace(SETTINGS, logbook_url=logbook_url))
        self.objects = world.objects
        self.http = http
        self.woken: list[Key] = []
        self._stir = asyncio.Event()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def all(self, kind: str) -> list[Mapping[str, Any]]:
        return self._those(kind, lambda _: True)

    def put(self, *said: Any, wake: Iterable[Key] = (), **rest: Any) -> Any:
        """An object, as a world takes it; or a fact, as a desk does: (topic, namespace, name, value)."""
        if len(said) == 1:
            return super().put(*said, **rest)
        topic, namespace, name, value = said
        self.facts[topic, namespace, name] = value
        self.woken.extend(wake)
        self._stir.set()
        return None

    def token(self) -> str | None:
        return "token"

    async def changed(self, kind: str, timeout_s: float) -> None:
        await asyncio.sleep(min(timeout_s, 0.05))

    async def until(self, true: Callable[[], Any], *, within_s: float = 10.0) -> Any:
        """Return what `true` returns once it is true; looked at after every fact."""
        async with asyncio.timeout(within_s):
            while not (found := true()):
                self._stir.clear()
                await self._stir.wait()
            return found
