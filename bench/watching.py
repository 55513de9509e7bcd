"""What a user with `kubectl get -w` would see: every object of one kind, as it changes."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson

from belay_operator.engine.client import CHUNK, Client
from belay_operator.engine.errors import ApiError
from belay_operator.engine.resources import Resource

Listener = Callable[[Mapping[str, Any]], None]


class Watcher:
    """Follows one kind in one namespace and hands each object to listeners."""

    def __init__(self, client: Client, resource: Resource, namespace: str, *listeners: Listener) -> None:
        self._client, self._resource, self._namespace, self._listeners = client, resource, namespace, listeners
        self._changed = asyncio.Event()

    async def until(self, true: Callable[[], bool], *, limit_s: float) -> None:
        """Return once a change has made `true` true. Raises: TimeoutError."""
        async with asyncio.timeout(limit_s):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def run(self) -> None:
        """Follow until cancelled; a watch that the API server closes (we were too slow) starts over."""
        while True:
            try:
                await self._follow(await self._list())
            except (aiohttp.ClientError, ApiError) as error:
                print(f"the watch of {self._resource.plural} begins again: {error}", flush=True)
                await asyncio.sleep(0.2)

    async def _list(self) -> str:
        """Hand all objects to listeners, in chunks: one answer of thousands would take longer than any call may."""
        query = {"limit": str(CHUNK)}
        while True:
            page = await self._client.call("GET", self._resource, self._resource.path(self._namespace), query=query)
            for item in page["items"]:
                self._tell(item)
            if not page["metadata"].get("continue"):
                return str(page["metadata"]["resourceVersion"])
            query["continue"] = page["metadata"]["continue"]

    async def _follow(self, version: str) -> None:
        path = self._resource.path(self._namespace)
        url = f"{self._client.configuration.host}{path}?watch=true&resourceVersion={version}"
        session = self._client._rest.pool_manager
        assert session is not None
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as stream:
            async for line in stream.content:
                event = orjson.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    self._tell(event["object"])

    def _tell(self, obj: Mapping[str, Any]) -> None:
        for listener in self._listeners:
            listener(obj)
        self._changed.set()


class Settled:
    """How many objects have come to rest on which side."""

    def __init__(self, side_of: Callable[[Mapping[str, Any]], str | None]) -> None:
        self._side_of = side_of
        self._sides: dict[str, str] = {}

    def __call__(self, obj: Mapping[str, Any]) -> None:
        side = self._side_of(obj)
        if side is not None:
            self._sides[obj["metadata"]["name"]] = side

    def on(self, side: str) -> int:
        """Return how many objects rest on `side`."""
        return sum(1 for found in self._sides.values() if found == side)

    def forget(self) -> None:
        """Begin anew."""
        self._sides.clear()
