"""What a list finds that no watch has told; on a real API server: `tests/api/engine/test_faults.py`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from belay_operator.engine import metrics
from belay_operator.engine import resync as engine_resync
from belay_operator.engine.cache import Cache
from belay_operator.engine.client import Page
from belay_operator.engine.resync import Resync
from belay_operator.watch import take


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


def metric() -> float:
    """Changes of Services that only a list found, so far."""
    return metrics.WATCH_MISSED.labels("Service")._value.get()


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
    resync, before = Resync(Server(newer), cache), metric()  # type: ignore[arg-type]
    asyncio.get_running_loop().call_soon(cache.put, "Service", newer)
    asyncio.get_running_loop().call_soon(lambda: cache.remove("Service", "b", "two", version=60))
    await resync.list("Service")
    assert metric() == before, "the watch was late, not blind"


@pytest.mark.asyncio
async def test_a_watch_is_blind_when_two_lists_find_what_it_never_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_resync, "GRACE", timedelta(milliseconds=1))
    server, cache = Server(), full()
    resync = Resync(server, cache)  # type: ignore[arg-type]
    for times, version in enumerate((50, 60), start=1):
        server.objects = [service("a", "one", version)]
        await resync.list("Service")
        assert resync.blind() == ([] if times == 1 else ["Service"])
    await resync.list("Service")
    assert resync.blind() == [], "one that sees again is well"


@pytest.mark.asyncio
async def test_a_watch_that_is_late_at_two_lists_in_a_row_is_not_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is only busy was killed for it, and began anew with more to do."""
    monkeypatch.setattr(engine_resync, "GRACE", timedelta(milliseconds=1))
    server, cache = Server(), full(B)
    resync = Resync(server, cache)  # type: ignore[arg-type]
    server.objects = [service("a", "one", 50)]  # one came, two was deleted
    await resync.list("Service")
    take(cache, resync, "Service", "ADDED", service("a", "one", 50))
    take(cache, resync, "Service", "DELETED", service("b", "two", 49))
    server.objects = [service("a", "one", 60)]
    await resync.list("Service")
    assert resync.blind() == []
    server.objects = [service("a", "one", 70)]
    await resync.list("Service")
    assert resync.blind() == ["Service"], "version 60 was never told"
    take(cache, resync, "Service", "MODIFIED", service("a", "one", 55))
    assert resync.blind() == ["Service"]
    take(cache, resync, "Service", "MODIFIED", service("a", "one", 60))
    assert resync.blind() == []
