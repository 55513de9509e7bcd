"""What a list finds that no watch has told; on a real API server: `tests/api/engine/test_faults.py`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from belay_operator.engine import resync as engine_resync
from belay_operator.engine.cache import Cache
from belay_operator.engine.client import Page
from belay_operator.engine.resync import Resync


def service(namespace: str, name: str, version: int) -> dict[str, Any]:
    meta = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {}}


class Server:
    """Services by namespace, listed two at a time."""

    def __init__(self, *objects: dict[str, Any], version: int = 100) -> None:
        self.objects, self.version = list(objects), version

    async def pages(self, kind: str, namespace: str | None = None) -> AsyncIterator[Page]:
        found = [one for one in self.objects if namespace in (None, one["metadata"]["namespace"])]
        for at in range(0, max(len(found), 1), 2):
            yield Page(found[at : at + 2], str(self.version))


def full(*objects: dict[str, Any]) -> Cache:
    cache = Cache()
    for one in objects:
        cache.put("Service", one)
    return cache


A, B = service("a", "one", 1), service("b", "two", 2)


@pytest.mark.asyncio
@pytest.mark.parametrize("namespaces", [None, ("a", "b", "empty")], ids=["all", "some"])
async def test_a_cache_that_is_right_costs_no_waiting(
    namespaces: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_resync, "GRACE", timedelta(minutes=1))
    cache = full(A, B)
    async with asyncio.timeout(10):
        await Resync(Server(A, B), cache, namespaces=namespaces).list("Service")  # type: ignore[arg-type]
    assert cache.size() == 2


@pytest.mark.asyncio
async def test_only_what_the_watch_does_not_bring_in_a_moment_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_resync, "GRACE", timedelta(milliseconds=50))
    newer = service("a", "one", 50)
    cache = full(A, B)
    resync = Resync(Server(newer), cache)  # type: ignore[arg-type]
    asyncio.get_running_loop().call_soon(cache.put, "Service", newer)
    asyncio.get_running_loop().call_soon(lambda: cache.remove("Service", "b", "two", version=60))
    await resync.list("Service")
    assert resync._blind["Service"] == 0, "the watch was late, not blind"
    for times, name in enumerate(("three", "four"), start=1):
        cache.put("Service", service("b", name, 70))
        await resync.list("Service")
        assert cache.get("Service", "b", name) is None
        assert resync.blind() == ([] if times == 1 else ["Service"])
    await resync.list("Service")
    assert resync.blind() == [], "one that sees again is well"
