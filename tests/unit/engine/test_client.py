"""The client's patience, on a real socket: everything else about it is tested on a real API server."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from belay_operator.engine import client as engine_client
from belay_operator.engine.client import Client, allow_deep_objects


async def _get_from_a_server_that_fails_once(
    fail: Callable[[], Awaitable[web.Response]], *, urgent: bool = False
) -> int:
    """Return how many requests it took."""
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return await fail() if asked == 1 else web.json_response({"metadata": {"name": "a"}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    client = Client(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        async with asyncio.timeout(20):
            assert await client.get("RLRollout", "default", "a", urgent=urgent) == {"metadata": {"name": "a"}}
    finally:
        await client.close()
        await runner.cleanup()
    return asked


async def _silence() -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


def test_an_urgent_call_soon_tries_another_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_client, "URGENT_TIMEOUT", timedelta(seconds=1))
    monkeypatch.setattr(engine_client, "TIMEOUT", timedelta(seconds=60))
    assert asyncio.run(_get_from_a_server_that_fails_once(_silence, urgent=True)) == 2


def test_an_ordinary_call_gives_a_slow_server_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_client, "TIMEOUT", timedelta(seconds=1))
    monkeypatch.setattr(engine_client, "URGENT_TIMEOUT", timedelta(seconds=60))
    assert asyncio.run(_get_from_a_server_that_fails_once(_silence, urgent=False)) == 2


def test_an_object_nested_deeper_than_the_quick_parser_goes_is_read_all_the_same() -> None:
    before = sys.getrecursionlimit()
    allow_deep_objects()
    try:
        inner = engine_client._parsed(b'{"a":' * 9_990 + b"1" + b"}" * 9_990)
        for _ in range(9_990):
            inner = inner["a"]
    finally:
        sys.setrecursionlimit(before)
    assert inner == 1


def test_an_answer_that_is_not_json_is_no_answer() -> None:
    """A load balancer in front of the API server has a page of its own; it must not end the process."""

    async def page() -> web.Response:
        return web.Response(text="<html>back soon</html>", content_type="text/html")

    assert asyncio.run(_get_from_a_server_that_fails_once(page)) == 2
