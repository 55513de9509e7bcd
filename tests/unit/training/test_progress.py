"""The progress source against a real logbook: heartbeats by long-poll, an outage that costs nothing but time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.logbook.support import Process, new_namespace
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.training.given import NAME, UID, training_job
from tests.world import World

from belay_operator.training.progress import WAIT_S, ProgressSource


def world(namespace: str, **status: Any) -> World:
    made = training_job(metadata={"namespace": namespace}, status=status or None)
    return World([made])


def beat(process: Process, namespace: str, *, index: int = 0, step: int, uid: str = UID) -> None:
    item = {"job": NAME, "uid": uid, "index": index, "seed": index, "step": step, "total": 1000}
    with process.client(namespace) as client:
        client.post("/progress", json={"items": [item]}).raise_for_status()


def steps(context: WorldPollerContext, namespace: str) -> dict[int, int]:
    fact = context.fact("progress", namespace, NAME) or {}
    return {index: record.step for index, record in fact.items()}


@asynccontextmanager
async def running(context: WorldPollerContext, source: ProgressSource) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run(context))
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.asyncio
async def test_heartbeats_wake_their_job_and_survive_an_outage(tmp_path: Path) -> None:
    process, namespace = Process(tmp_path).start(), new_namespace()
    try:
        async with aiohttp.ClientSession() as http:
            context = WorldPollerContext(world(namespace), http, logbook_url=process.url)
            async with running(context, ProgressSource(rest_s=0.1, backoff_s=(0.1,))):
                await asyncio.to_thread(beat, process, namespace, step=100)
                told = time.monotonic()
                await context.until(lambda: steps(context, namespace) == {0: 100})
                assert time.monotonic() - told < WAIT_S / 2, "news come by themselves, not at the end of a wait"
                assert (context.woken[-1].kind, context.woken[-1].name) == ("RLTrainingJob", NAME)

                await asyncio.to_thread(beat, process, namespace, index=1, step=50)
                await context.until(lambda: steps(context, namespace) == {0: 100, 1: 50})

                process.kill()
                await asyncio.sleep(0.5)
                assert steps(context, namespace) == {0: 100, 1: 50}, "what was known stays known"
                process.start()
                await asyncio.to_thread(beat, process, namespace, step=200)
                await context.until(lambda: steps(context, namespace) == {0: 200, 1: 50})
    finally:
        process.stop()


@pytest.mark.asyncio
async def test_a_namesakes_heartbeats_are_not_taken_and_a_finished_job_is_forgotten(tmp_path: Path) -> None:
    process, namespace = Process(tmp_path).start(), new_namespace()
    try:
        async with aiohttp.ClientSession() as http:
            context = WorldPollerContext(
                world(namespace), http, logbook_url=process.url + "/"
            )  # as statistics take it, too
            async with running(context, ProgressSource(rest_s=0.05, backoff_s=(0.1,))):
                await asyncio.to_thread(beat, process, namespace, step=900, uid="uid-of-another")
                await asyncio.to_thread(beat, process, namespace, step=10)
                await context.until(lambda: steps(context, namespace) == {0: 10})
                context.patch(
                    "RLTrainingJob", NAME, {"status": {"finishedAt": "2026-05-04T10:00:00Z"}}, namespace=namespace
                )
                await asyncio.to_thread(beat, process, namespace, step=20)
                await context.until(lambda: context.fact("progress", namespace, NAME) is None)
    finally:
        process.stop()


@pytest.mark.asyncio
async def test_progress_is_told_no_more_often_than_the_rest_allows(tmp_path: Path) -> None:
    process, namespace = Process(tmp_path).start(), new_namespace()
    try:
        async with aiohttp.ClientSession() as http:
            context = WorldPollerContext(world(namespace), http, logbook_url=process.url)
            async with running(context, ProgressSource(rest_s=0.5, backoff_s=(0.1,))):
                began = time.monotonic()
                for step in range(1, 30):
                    await asyncio.to_thread(beat, process, namespace, step=step)
                await context.until(lambda: steps(context, namespace) == {0: 29})
                assert len(context.woken) <= 2 + (time.monotonic() - began) / 0.5
    finally:
        process.stop()


@pytest.mark.asyncio
async def test_a_job_made_again_under_its_name_begins_without_progress(tmp_path: Path) -> None:
    process, namespace = Process(tmp_path).start(), new_namespace()
    try:
        async with aiohttp.ClientSession() as http:
            context = WorldPollerContext(world(namespace), http, logbook_url=process.url)
            async with running(context, ProgressSource(rest_s=0.05, backoff_s=(0.1,))):
                await asyncio.to_thread(beat, process, namespace, index=1, step=900)
                await context.until(lambda: steps(context, namespace) == {1: 900})
                again = training_job(metadata={"namespace": namespace, "uid": "again"})
                context.put(again)
                await asyncio.to_thread(beat, process, namespace, step=10, uid="again")
                await context.until(lambda: steps(context, namespace) == {0: 10})
    finally:
        process.stop()
