"""The workers around the agenda, on a real event loop."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from belay_operator.engine.errors import Overloaded
from belay_operator.engine.foreign import ForeignObject
from belay_operator.engine.plan import Key
from belay_operator.engine.queue import LONGEST_BACKOFF, Queue, backoff

A, B = Key("RLRollout", "ns", "a"), Key("RLRollout", "ns", "b")
Handler = Callable[[Key], Awaitable[timedelta | None]]


async def running(
    handler: Handler, *, workers: int = 4, priority: Callable[[Key], int] = lambda key: 2
) -> tuple[Queue, asyncio.Task[None]]:
    queue = Queue(handler, priority=priority, clock=time.monotonic, rng=random.Random(1), workers=workers)
    return queue, asyncio.create_task(queue.run())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):  # a busy machine's time; none of these waits that long
        while not true():  # noqa: ASYNC110 -- what is waited for is any fact, not one event
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_burst_is_few_passes_and_none_is_lost() -> None:
    seen: list[Key] = []
    release = asyncio.Event()

    async def handler(key: Key) -> None:
        seen.append(key)
        await release.wait()

    queue, task = await running(handler)
    queue.open()
    queue.wake(A)
    await until(lambda: seen == [A])
    for _ in range(100):
        queue.wake(A)  # dirty while busy
    release.set()
    await until(lambda: len(seen) == 2)
    await asyncio.sleep(0.02)
    assert seen == [A, A]
    task.cancel()


@pytest.mark.asyncio
async def test_one_worker_per_key_and_many_keys_at_once() -> None:
    busy: set[Key] = set()
    most = 0

    async def handler(key: Key) -> None:
        nonlocal most
        assert key not in busy
        busy.add(key)
        most = max(most, len(busy))
        await asyncio.sleep(0.01)
        busy.discard(key)

    queue, task = await running(handler, workers=8, priority=lambda key: 1)
    queue.open()
    for _ in range(20):
        for number in range(8):
            queue.wake(Key("RLPolicy", "ns", str(number)))
        await asyncio.sleep(0.003)
    await until(lambda: not busy)
    assert most == 8
    task.cancel()


@pytest.mark.asyncio
async def test_passes_that_hang_never_take_every_worker_from_the_rollouts() -> None:
    """A webhook that times out makes each pass over a training job last a minute, and there are hundreds of them."""
    seen: list[Key] = []
    release = asyncio.Event()

    async def handler(key: Key) -> None:
        seen.append(key)
        if key.kind == "RLTrainingJob":
            await release.wait()

    queue, task = await running(handler, workers=32, priority=lambda key: 0 if key == A else 2)
    jobs = [Key("RLTrainingJob", "ns", str(number)) for number in range(100)]
    queue.open()
    for job in jobs:
        queue.wake(job)
    await until(lambda: len(seen) == 28)
    await asyncio.sleep(0.02)
    queue.wake(A)
    await until(lambda: A in seen)
    assert len(seen) == 29
    release.set()
    await until(lambda: set(seen) == {A, *jobs})
    task.cancel()


@pytest.mark.asyncio
async def test_nothing_runs_before_the_cache_is_complete() -> None:
    seen: list[Key] = []

    async def handler(key: Key) -> None:
        seen.append(key)

    queue, task = await running(handler)
    queue.wake(A)
    queue.wake(B)
    await asyncio.sleep(0.02)
    assert seen == []
    queue.open()
    await until(lambda: sorted(seen, key=lambda key: key.name) == [A, B])
    task.cancel()


@pytest.mark.asyncio
async def test_again_after_and_its_replacement() -> None:
    seen: list[float] = []
    answers = [timedelta(seconds=30), timedelta(milliseconds=20), None]

    async def handler(key: Key) -> timedelta | None:
        seen.append(time.monotonic())
        return answers[len(seen) - 1]

    queue, task = await running(handler)
    queue.open()
    queue.wake(A)
    await until(lambda: len(seen) == 1)
    queue.wake(A)  # the second pass replaces half a minute by 20 ms
    await until(lambda: len(seen) == 3)
    assert 0.015 < seen[2] - seen[1] < 15
    task.cancel()


@pytest.mark.asyncio
async def test_a_failure_is_retried_later_and_stops_nobody() -> None:
    seen: list[Key] = []

    async def handler(key: Key) -> None:
        seen.append(key)
        if key == A and seen.count(A) < 3:
            raise RuntimeError("bug")

    queue, task = await running(handler, workers=1)
    queue.open()
    queue.wake(A)
    queue.wake(B)
    await until(lambda: seen.count(A) == 3 and seen.count(B) == 1)
    task.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "traced"),
    [
        (RuntimeError("bug"), True),
        (ForeignObject("Service s exists"), False),
        (Overloaded("PUT s", code=503, reason="", message=""), False),
    ],
)
async def test_only_a_bug_has_a_traceback(error: Exception, traced: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(key: Key) -> None:
        raise error

    queue, task = await running(handler)
    queue.open()
    queue.wake(A)
    await until(lambda: bool(caplog.records))
    assert str(error) in caplog.records[0].getMessage()
    assert bool(caplog.records[0].exc_info) is traced
    task.cancel()


@pytest.mark.asyncio
async def test_drained_waits_for_passes_under_way_and_begins_no_other() -> None:
    seen: list[Key] = []
    release = asyncio.Event()

    async def handler(key: Key) -> None:
        seen.append(key)
        await release.wait()

    queue, task = await running(handler, workers=1)
    queue.open()
    queue.wake(A)
    await until(lambda: seen == [A])
    queue.wake(B)
    drained = asyncio.create_task(queue.drained())
    await asyncio.sleep(0.01)
    assert not drained.done()
    release.set()
    await asyncio.wait_for(drained, 20)
    assert seen == [A]
    task.cancel()


def test_backoff_grows_is_capped_and_never_in_step() -> None:
    rng = random.Random(7)
    first = [backoff(1, rng) for _ in range(50)]
    assert len(set(first)) > 40
    assert all(timedelta(milliseconds=100) <= one <= timedelta(milliseconds=200) for one in first)
    assert all(LONGEST_BACKOFF / 2 <= backoff(failures, rng) <= LONGEST_BACKOFF for failures in (15, 100, 10_000))
