"""The logbook source against a real logbook: news by long-poll, an outage as a fact, and the way back."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.logbook.support import Process, new_namespace, receipt
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.stage import SPEC
from tests.world import World, belay_object

from belay_api.units import format_instant, parse_instant
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout.facts import Reading
from belay_operator.rollout.sources.logbook import WAIT, LogbookSource

STEP = {"index": 1, "kind": "pause", "startedAt": "2026-05-04T10:00:00Z"}

WINDOW = WindowStatistics(start=datetime(2026, 5, 4, tzinfo=UTC), count=0, missing=0)


def world(namespace: str) -> World:
    """One rollout under analysis since five minutes ago."""
    since = format_instant(datetime.now(UTC) - timedelta(minutes=5))
    sides = {side: {"policy": side, "digest": side, "since": since} for side in ("stable", "candidate")}
    status = sides | {"step": STEP, "weight": {"desired": 50, "applied": 50}, "analysisStartedAt": since}
    made = belay_object("RLRollout", "cartpole", SPEC, status=status)
    made["metadata"]["namespace"] = namespace
    return World([made])


def play(process: Process, namespace: str, *, episode: str, version: str, reward: float) -> None:
    """An episode began half a minute ago, and its outcome is told now."""
    first = receipt(episode, ago=30, namespace=namespace, version=version, rollout="cartpole")
    with process.client(namespace) as client:
        client.post("/starts", json={"items": [{"receipt": first}]}).raise_for_status()
        outcome = {"receipt": first, "outcomes": {"return": reward}}
        answer = client.post("/outcomes", json={"items": [outcome]}).raise_for_status().json()
    assert answer["refused"] == []


def outcome(context: WorldPollerContext, namespace: str) -> Reading | None:
    fact = context.fact("statistics", namespace, "cartpole")
    return fact and fact.outcomes.get("return")


def started(fact: Reading | None) -> int:
    """Episodes of the candidate that the fact knows of."""
    if fact is None or fact.windows is None:
        return -1
    sides = [v for v in fact.windows.versions if v.version == "candidate"]
    return sum(w.count + w.missing for side in sides for w in side.windows)


@pytest.mark.asyncio
async def test_news_wakes_the_rollout_an_outage_is_told_and_ends(tmp_path: Path) -> None:
    process, namespace = Process(tmp_path).start(), new_namespace()
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(world(namespace), http, logbook_url=process.url)
        running = asyncio.create_task(LogbookSource().run(context))
        try:
            await context.until(lambda: outcome(context, namespace))
            assert started(outcome(context, namespace)) == 0

            await asyncio.to_thread(play, process, namespace, episode="e1", version="candidate", reward=10.0)
            # News come by themselves, not at the end of a wait: `until` waits for less than that.
            assert WAIT.total_seconds() > 20
            await context.until(lambda: started(outcome(context, namespace)) == 1, within_s=20)
            assert context.woken[-1].name == "cartpole"

            process.kill()
            problem = await context.until(lambda: (fact := outcome(context, namespace)) and fact.problem)
            assert "does not answer" in problem
            assert started(outcome(context, namespace)) == 1, "what was known stays beside the problem"

            process.start()
            # Also without news: a long-poll would keep the problem for all of its wait.
            await context.until(lambda: outcome(context, namespace).problem is None, within_s=20)  # type: ignore[union-attr]
            assert started(outcome(context, namespace)) == 1

            context.patch("RLRollout", "cartpole", {"status": {"candidate": None}}, namespace=namespace)
            await context.until(lambda: context.fact("statistics", namespace, "cartpole") is None)
        finally:
            running.cancel()
            process.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("windows", "at_least_s"), [(0, 0.4), (500, 1.0)], ids=["ten a second", "of many windows fewer"]
)
async def test_a_storm_of_episodes_is_a_few_looks(windows: int, at_least_s: float) -> None:
    """A look costs milliseconds of the operator's only thread; under heavy traffic every answer is news."""
    asked = 0
    side = VersionStatistics(version="candidate", windows=[WINDOW] * windows)

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        news = Statistics(outcome="return", at=datetime.now(UTC), etag=str(asked), versions=[side])
        return web.json_response(text=news.model_dump_json())

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        context = WorldPollerContext(world("default"), http, logbook_url=str(server.make_url("")))
        running = asyncio.create_task(LogbookSource().run(context))
        try:
            await context.until(lambda: asked >= 2)
            began, before = time.monotonic(), asked
            await context.until(lambda: asked >= before + 5)
            assert time.monotonic() - began >= at_least_s
        finally:
            running.cancel()


@pytest.mark.asyncio
async def test_without_a_logbook_nothing_is_asked() -> None:
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(world("default"), http)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(LogbookSource().run(context), 0.2)
        assert context.facts == {}


@pytest.mark.asyncio
async def test_a_trial_that_begins_tomorrow_counts_from_now_on() -> None:
    """A leader whose clock was ahead wrote the beginning: until that time had come, no episode counted."""
    ahead, queries = datetime.now(UTC) + timedelta(days=1), list[datetime]()

    async def answer(request: web.Request) -> web.Response:
        queries.append(parse_instant(request.query["since"]))
        news = Statistics(outcome="return", at=datetime.now(UTC), etag="1", versions=[])
        if "etag" in request.query:
            await asyncio.sleep(60)
        return web.json_response(text=news.model_dump_json())

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        behind = world("default")
        behind.patch("RLRollout", "cartpole", {"status": {"analysisStartedAt": format_instant(ahead)}})
        context = WorldPollerContext(behind, http, logbook_url=str(server.make_url("")))
        running = asyncio.create_task(LogbookSource().run(context))
        try:
            told = await context.until(lambda: outcome(context, "default"))
            assert queries[0] > datetime.now(UTC) + timedelta(hours=23)
            assert queries[1] < datetime.now(UTC)
            assert format_instant(queries[1]) in told.query, "the evidence says what was asked"
            assert context.fact("statistics", "default", "cartpole").since == parse_instant(format_instant(ahead))
        finally:
            running.cancel()
