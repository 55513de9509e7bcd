"""kopf as the shell around our watches; its streams on a real API server: `tests/api/engine/test_faults.py`."""

import asyncio
import inspect
from typing import Any

import kopf
import pytest
from kopf._cogs.clients import errors, watching
from kopf._cogs.structs import references

from belay_operator.engine.cache import Cache
from belay_operator.engine.resources import CACHED
from belay_operator.engine.resync import Resync
from belay_operator.watch import Watches, WatchesEnded


def test_what_we_use_of_kopfs_private_modules_is_still_there() -> None:
    assert list(inspect.signature(watching.infinite_watch).parameters)[:3] == ["settings", "resource", "namespace"]
    assert inspect.isasyncgenfunction(watching.infinite_watch)
    assert issubclass(watching.WatchingError, Exception)
    assert issubclass(errors.APIError, Exception)
    assert watching.Bookmark.LISTED
    pods = references.Resource("", "v1", "pods", namespaced=True)
    assert pods.get_url(namespace=references.NamespaceName("a")) == "/api/v1/namespaces/a/pods"


@pytest.mark.asyncio
async def test_a_shell_that_ends_in_silence_ends_the_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would be watched any more, and nobody would be told."""

    async def spawn_tasks(**_: Any) -> list[Any]:
        return []

    async def run_tasks(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    monkeypatch.setattr(kopf, "run_tasks", run_tasks)
    cache = Cache()
    for resource in CACHED:
        cache.mark_missing(resource.kind)
    watches = Watches(cache, Resync(None, cache))  # type: ignore[arg-type]
    with pytest.raises(BaseExceptionGroup) as raised:
        async with asyncio.timeout(5):
            await watches.run(login=lambda: None, ended=lambda: None)
    assert raised.group_contains(WatchesEnded)


@pytest.mark.asyncio
async def test_an_event_that_cannot_be_taken_does_not_end_the_watch_of_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def service(name: str) -> dict[str, Any]:
        meta = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": "1"}
        return {"type": "ADDED", "object": {"kind": "Service", "metadata": meta, "spec": {}}}

    async def stream(**_: Any) -> Any:
        yield watching.Bookmark.LISTED
        yield service("bad")
        yield service("good")
        await asyncio.Event().wait()

    monkeypatch.setattr(watching, "infinite_watch", stream)
    cache, arrived = Cache(), asyncio.Event()

    def listener(change: Any) -> None:
        if change.name == ("ns", "bad"):
            raise KeyError("a bug")
        arrived.set()

    cache.listen(listener)
    watches = Watches(cache, Resync(None, cache))  # type: ignore[arg-type]
    following = asyncio.create_task(
        watches._follow(kopf.OperatorSettings(), next(r for r in CACHED if r.kind == "Service"), None)
    )
    async with asyncio.timeout(5):
        await arrived.wait()
    following.cancel()
    assert "could not be taken" in caplog.text
