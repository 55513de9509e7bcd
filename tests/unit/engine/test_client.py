"""The client's patience, on a real socket: everything else about it is tested on a real API server."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from belay_operator.engine import client as engine_client
from belay_operator.engine.client import Client, allow_deep_objects
from belay_operator.engine.errors import Overloaded, Unreachable
from belay_operator.engine.resources import RESOURCES

Fails = Callable[[], Awaitable[web.Response]]


@contextlib.asynccontextmanager
async def _server(fail: Fails, *, times: int = 1) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client and the requests its server gets, of which the first ones fail."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return await fail() if len(asked) <= times else web.json_response({"metadata": {"name": "a"}})

    async with _serving(answer) as client:
        yield client, asked


@contextlib.asynccontextmanager
async def _serving(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    client = Client(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        async with asyncio.timeout(60):
            yield client
    finally:
        await client.close()
        await runner.cleanup()


async def _silence() -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


def _limits(monkeypatch: pytest.MonkeyPatch, *, urgent: timedelta, **kinds: timedelta) -> None:
    monkeypatch.setattr(engine_client, "URGENT_TIMEOUT", urgent)
    for kind, within in kinds.items():
        monkeypatch.setitem(RESOURCES, kind, replace(RESOURCES[kind], within=within))


@pytest.mark.asyncio
async def test_an_urgent_call_soon_tries_another_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    _limits(monkeypatch, urgent=timedelta(seconds=1), Job=timedelta(seconds=60))
    async with _server(_silence) as (client, asked):
        assert await client.get("Job", "default", "a", urgent=True) == {"metadata": {"name": "a"}}
    assert len(asked) == 2


@pytest.mark.asyncio
async def test_an_ordinary_call_gives_a_slow_server_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    _limits(monkeypatch, urgent=timedelta(seconds=60), Job=timedelta(seconds=1))
    async with _server(_silence) as (client, asked):
        assert await client.get("Job", "default", "a") == {"metadata": {"name": "a"}}
    assert len(asked) == 2


@pytest.mark.asyncio
async def test_a_call_that_hangs_is_given_up_before_all_tries_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue tries again; meanwhile whatever else is to be done with the object has its turn."""
    _limits(monkeypatch, urgent=timedelta(seconds=60), RLRollout=timedelta(seconds=1))
    began = time.monotonic()
    async with _server(_silence, times=10) as (client, asked):
        with pytest.raises(Unreachable):
            await client.replace_status({"kind": "RLRollout", "metadata": {"namespace": "default", "name": "a"}}, {})
        assert time.monotonic() - began < 3.5  # of the four seconds and more that four tries take
    assert len(asked) == 2


@pytest.mark.asyncio
async def test_a_call_that_is_answered_with_busy_is_tried_four_times() -> None:
    async def overloaded() -> web.Response:
        return web.json_response({"message": "busy"}, status=503)

    async with _server(overloaded, times=10) as (client, asked):
        with pytest.raises(Overloaded):
            await client.get("RLRollout", "default", "a")
    assert len(asked) == 4


def test_no_ordinary_call_about_what_a_rollback_writes_holds_its_key_for_long() -> None:
    for kind in ("RLRollout", "RLPolicy", "HTTPRoute"):
        assert RESOURCES[kind].within <= timedelta(seconds=5)
    assert RESOURCES["Deployment"].within > timedelta(seconds=10), "a webhook that is slow but answers must be able to"


@pytest.mark.asyncio
async def test_a_server_that_gives_addresses_one_by_one_is_asked_once_for_each() -> None:
    """As the API server does for Services, for those as well whose client has gone: 14 rollouts a minute were left."""
    turn, asked = asyncio.Lock(), []

    async def allocate(request: web.Request) -> web.Response:
        asked.append(request.path)
        async with turn:
            await asyncio.sleep(0.2)
        return web.json_response({"metadata": {"name": "a"}})

    async with _serving(allocate) as client:
        services = [{"kind": "Service", "metadata": {"namespace": "n", "name": f"s{number}"}} for number in range(28)]
        await asyncio.gather(*(client.apply(service) for service in services))
    assert len(asked) == len(services), "as many as there are workers for it, 5.6 s in all"


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


@pytest.mark.asyncio
async def test_an_answer_that_is_not_json_is_no_answer() -> None:
    """A load balancer in front of the API server has a page of its own; it must not end the process."""

    async def page() -> web.Response:
        return web.Response(text="<html>back soon</html>", content_type="text/html")

    async with _server(page) as (client, asked):
        assert await client.get("RLRollout", "default", "a") == {"metadata": {"name": "a"}}
    assert len(asked) == 2
