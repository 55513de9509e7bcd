"""The client's patience, on a real socket: everything else about it is tested on a real API server."""

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from belay_operator.engine import client as engine_client
from belay_operator.engine.client import Client


async def _get_from_a_server_that_is_silent_once(*, urgent: bool) -> int:
    """Return how many requests it took."""
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.sleep(60)
        return web.json_response({"metadata": {"name": "a"}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    client = Client(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        async with asyncio.timeout(20):
            assert await client.get("RLRollout", "default", "a", urgent=urgent) is not None
    finally:
        await client.close()
        await runner.cleanup()
    return asked


def test_an_urgent_call_soon_tries_another_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_client, "URGENT_TIMEOUT", timedelta(seconds=0.2))
    assert asyncio.run(_get_from_a_server_that_is_silent_once(urgent=True)) == 2


def test_an_ordinary_call_gives_a_slow_server_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_client, "TIMEOUT", timedelta(seconds=0.4))
    monkeypatch.setattr(engine_client, "URGENT_TIMEOUT", timedelta(seconds=60))
    assert asyncio.run(_get_from_a_server_that_is_silent_once(urgent=False)) == 2
