"""The watch over the built-in store against a real logbook: told once certain, taken back; of a full disk as well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.unit.logbook.support import Process
from tests.unit.logbook.test_full_disk import files_end_at
from tests.unit.policy.judging import judging_job
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.training.given import NAME, child_job
from tests.world import World

from belay_operator.engine.plan import Key
from belay_operator.store_watch import StoreWatch
from belay_operator.waiting import StoreOutage

CERTAIN_S = 0.3
GATES = {"validation": {"gates": [{"performance": {"minReturn": 450}}]}}


def outage(context: WorldPollerContext) -> StoreOutage | None:
    return context.fact("store", "", "")  # type: ignore[no-any-return]


@asynccontextmanager
async def watched(world: World, url: str, *, certain_s: float = CERTAIN_S) -> AsyncIterator[WorldPollerContext]:
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(world, http, logbook_url=url)
        task = asyncio.create_task(StoreWatch(period_s=0.05, certain_s=certain_s).run(context))
        try:
            yield context
        finally:
            task.cancel()


@pytest.mark.asyncio
async def test_a_store_that_is_away_is_told_once_that_is_certain_and_taken_back(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    world = World([child_job(), judging_job(GATES, "validation")])
    try:
        async with watched(world, process.url) as context:
            process.kill()
            told = await context.until(lambda: outage(context))
            assert (context.now() - told.since).total_seconds() >= CERTAIN_S
            assert "Cannot connect" in told.words
            kinds = [key.kind for key in context.woken]
            assert kinds == ["RLPolicy", "RLTrainingJob"], "all who wait hear of it, and once"
            await asyncio.sleep(0.3)
            assert len(context.woken) == 2
            process.start()
            await context.until(lambda: outage(context) is None)
            assert Key("RLTrainingJob", "default", NAME) in context.woken[2:]
    finally:
        process.stop()


@pytest.mark.asyncio
async def test_a_full_disk_is_an_outage_though_the_store_answers(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    try:
        async with watched(World([child_job()]), process.url) as context:
            with files_end_at(process, 1):
                told = await context.until(lambda: outage(context))
                assert "could not record" in told.words
            await context.until(lambda: outage(context) is None)
    finally:
        process.stop()


@pytest.mark.asyncio
async def test_a_moment_without_an_answer_is_told_to_nobody(tmp_path: Path) -> None:
    process = Process(tmp_path).start()
    try:
        async with watched(World([child_job()]), process.url, certain_s=1.5) as context:
            for _ in range(6):  # together longer than what is certain
                with files_end_at(process, 1):
                    await asyncio.sleep(0.3)
                await asyncio.sleep(0.3)
            assert context.woken == []
    finally:
        process.stop()


@pytest.mark.asyncio
async def test_whoever_has_no_job_at_work_is_not_told(tmp_path: Path) -> None:
    over = child_job(ended={"type": "Complete"})
    async with watched(World([over]), "http://127.0.0.1:9") as context:
        await asyncio.sleep(3 * CERTAIN_S)
        assert outage(context) is None
