"""The benches' watch goes on after what an API server does to one: a bench whose watch has died waits for hours."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from belay_operator.engine.client import TRIES, Client
from belay_operator.engine.resources import resource_of
from watching import Watcher


@pytest.mark.asyncio
async def test_a_list_that_fails_and_a_watch_that_ends_lose_nothing() -> None:
    queries: list[Mapping[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        queries.append(dict(request.query))
        if len(queries) <= TRIES:
            return web.json_response({"code": 500, "reason": "InternalError", "message": "busy"}, status=500)
        if "watch" in request.query:
            event = {"type": "MODIFIED", "object": _named(f"watched-{len(queries)}")}
            return web.Response(text=json.dumps(event) + "\n")
        more = {} if "continue" in request.query else {"continue": "more"}
        listed = _named("second" if "continue" in request.query else "first")
        return web.json_response({"metadata": {"resourceVersion": "7", **more}, "items": [listed]})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        client, seen = Client(Configuration(host=str(server.make_url("")).rstrip("/"))), []
        watcher = Watcher(client, resource_of("RLRollout"), "bench", lambda obj: seen.append(obj["metadata"]["name"]))
        task = asyncio.create_task(watcher.run())
        await watcher.until(lambda: len([name for name in seen if name.startswith("watched")]) >= 2, limit_s=60)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.close()
    assert seen[:3] == ["first", "second", seen[2]]
    assert seen[2].startswith("watched")
    assert {"watch": "true", "resourceVersion": "7"} in queries


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}
