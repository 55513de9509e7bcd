"""What a user with `kubectl get -w` would see: every object of one kind, as it changes."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson

from belay_operator.engine.client import Client
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
        path = self._resource.path(self._namespace)
        while True:
            page = await self._client.call("GET", self._resource, path)
            for item in page["items"]:
                self._tell(item)
            url = (
                f"{self._client.configuration.host}{path}?watch=true&resourceVersion="
                f"{page['metadata']['resourceVersion']}"
            )
            session = self._client._rest.pool_manager
            assert session is not None
            limit = aiohttp.ClientTimeout(total=None)
            try:
                async with session.get(url, timeout=limit) as stream:
                    async for line in stream.content:
                        event = orjson.loads(line)
                        if event["type"] in ("ADDED", "MODIFIED"):
                            self._tell(event["object"])
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)

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
