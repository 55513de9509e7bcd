"""The workers around the work queue, on a real event loop."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from belay_operator.engine import queue as engine_queue
from belay_operator.engine.backoff import LONGEST_BACKOFF, backoff
from belay_operator.engine.blocked import BlockedChildren
from belay_operator.engine.errors import Overloaded
from belay_operator.engine.kind import Priority
from belay_operator.engine.plan import Key
from belay_operator.engine.queue import LONGEST_HOLD, Queue, Result, _Trouble

A, B = Key("RLRollout", "ns", "a"), Key("RLRollout", "ns", "b")
Handler = Callable[[Key], Awaitable[Result]]


async def running(
    handler: Handler,
    *,
    workers: int = 4,
    priority: Callable[[Key], Priority] = lambda key: Priority.REST,
    asked: Callable[[Key], object] = lambda key: None,
) -> tuple[Queue, asyncio.Task[None]]:
    rng = random.Random(1)
    queue = Queue(handler, priority=priority, asked=asked, clock=time.monotonic, rng=rng, workers=workers)
    return queue, asyncio.create_task(queue.run())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):  # a busy machine's time; none of these waits that long
        while not true():  # noqa: ASYNC110 -- what is waited for is any fact, not one event
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_burst_is_few_passes_and_none_is_lost() -> None:
    seen: list[Key] = []
    release = asyncio.Event()

    async def handler(key: Key) -> Result:
        seen.append(key)
        await release.wait()
        return Result()

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

    async def handler(key: Key) -> Result:
        nonlocal most
        assert key not in busy
        busy.add(key)
        most = max(most, len(busy))
        await asyncio.sleep(0.01)
        busy.discard(key)
        return Result()

    queue, task = await running(handler, workers=8, priority=lambda key: Priority.ROLLBACK)
    queue.open()
    for _ in range(20):
        for number in range(8):
            queue.wake(Key("RLPolicy", "ns", str(number)))
        await asyncio.sleep(0.003)
    await until(lambda: not busy)
    assert most == 8
    task.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("hanging", "at_most", "next_up"),
    [
        pytest.param(Priority.REST, 24, Priority.ROLLOUT, id="training jobs, and a rollout comes"),
        pytest.param(Priority.REST, 24, Priority.ROLLBACK, id="training jobs, and a rollback comes"),
        pytest.param(Priority.ROLLOUT, 28, Priority.ROLLBACK, id="rollouts, and a rollback comes"),
    ],
)
async def test_passes_that_hang_never_take_every_worker_from_better_ones(
    hanging: Priority, at_most: int, next_up: Priority
) -> None:
    """A webhook that times out makes each pass last a minute, and there are hundreds of them."""
    seen: list[Key] = []
    release = asyncio.Event()

    async def handler(key: Key) -> Result:
        seen.append(key)
        if key != A:
            await release.wait()
        return Result()

    queue, task = await running(handler, workers=32, priority=lambda key: next_up if key == A else hanging)
    others = [Key("RLTrainingJob", "ns", str(number)) for number in range(100)]
    queue.open()
    for key in others:
        queue.wake(key)
    await until(lambda: len(seen) == at_most)
    await asyncio.sleep(0.02)
    queue.wake(A)
    await until(lambda: A in seen)
    assert len(seen) == at_most + 1
    release.set()
    await until(lambda: set(seen) == {A, *others})
    task.cancel()


@pytest.mark.asyncio
async def test_a_rollback_waits_only_so_long_for_an_ordinary_pass_over_the_same_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_queue, "PREEMPT_AFTER", timedelta(milliseconds=100))
    passes: list[str] = []
    priority = {A: Priority.ROLLOUT}

    async def handler(key: Key) -> Result:
        passes.append(f"{priority[key].name} begins")
        if priority[key] != Priority.ROLLBACK:
            await asyncio.sleep(60)  # an API server that does not answer
        passes.append(f"{priority[key].name} ends")
        return Result()

    queue, task = await running(handler, priority=priority.__getitem__)
    queue.open()
    queue.wake(A)
    await until(lambda: len(passes) == 1)
    queue.wake(A)
    await asyncio.sleep(0.2)
    assert passes == ["ROLLOUT begins"], "ordinary news leaves it its time"
    priority[A] = Priority.ROLLBACK
    queue.wake(A)
    await until(lambda: "ROLLBACK ends" in passes)
    assert passes == ["ROLLOUT begins", "ROLLBACK begins", "ROLLBACK ends"]
    assert not queue._troubles, "nothing was wrong with it"
    task.cancel()


@pytest.mark.asyncio
async def test_an_ordinary_pass_that_ends_in_time_is_not_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_queue, "PREEMPT_AFTER", timedelta(seconds=30))
    ended: list[Priority] = []
    priority = {A: Priority.REST}
    release = asyncio.Event()

    async def handler(key: Key) -> Result:
        taken = priority[key]
        await release.wait()
        ended.append(taken)
        return Result()

    queue, task = await running(handler, priority=priority.__getitem__)
    queue.open()
    queue.wake(A)
    await asyncio.sleep(0.02)
    priority[A] = Priority.ROLLBACK
    queue.wake(A)
    release.set()
    await until(lambda: len(ended) == 2)
    assert ended == [Priority.REST, Priority.ROLLBACK]
    task.cancel()


@pytest.mark.asyncio
async def test_a_time_limit_inside_a_pass_is_a_failure_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(key: Key) -> Result:
        raise TimeoutError("an answer of somebody")

    queue, task = await running(handler)
    queue.open()
    queue.wake(A)
    await until(lambda: "pass failed (1 times)" in caplog.text)
    task.cancel()


@pytest.mark.asyncio
async def test_nothing_runs_before_the_cache_is_complete() -> None:
    seen: list[Key] = []

    async def handler(key: Key) -> Result:
        seen.append(key)
        return Result()

    queue, task = await running(handler)
    queue.wake(A)
    queue.wake(B)
    await asyncio.sleep(0.02)
    assert seen == []
    queue.open()
    await until(lambda: sorted(seen, key=lambda key: key.name) == [A, B])
    task.cancel()


@pytest.mark.asyncio
async def test_requeue_after_and_its_replacement() -> None:
    seen: list[float] = []
    answers = [timedelta(seconds=30), timedelta(milliseconds=20), None]

    async def handler(key: Key) -> Result:
        seen.append(time.monotonic())
        return Result(requeue_after=answers[len(seen) - 1])

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

    async def handler(key: Key) -> Result:
        seen.append(key)
        if key == A and seen.count(A) < 3:
            raise RuntimeError("bug")
        return Result()

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
        (BlockedChildren("Service s exists"), False),
        (Overloaded("PUT s", code=503, reason="", message=""), False),
    ],
)
async def test_only_a_bug_has_a_traceback(error: Exception, traced: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(key: Key) -> Result:
        raise error

    queue, task = await running(handler)
    queue.open()
    queue.wake(A)
    await until(lambda: bool(caplog.records))
    assert str(error) in caplog.records[0].getMessage()
    assert bool(caplog.records[0].exc_info) is traced
    task.cancel()


async def passes_of(handler: Handler, *, within_s: float, **more: Any) -> int:
    """Return how many passes A has in so many seconds when it is woken all the time."""
    passes = 0

    async def counted(key: Key) -> Result:
        nonlocal passes
        passes += 1
        return await handler(key)

    queue, task = await running(counted, **more)
    queue.open()
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        queue.wake(A)
        await asyncio.sleep(0.001)
    task.cancel()
    return passes


async def fails(key: Key) -> Result:
    return Result(error=Overloaded("PUT r", code=503, reason="", message=""))


@pytest.mark.asyncio
async def test_wakes_do_not_hurry_a_key_in_trouble() -> None:
    """Most wakes are its own writes coming back: they would undo every back-off."""
    # .1 to .2 s after the first failure, .2 to .4 after the second, .4 to .8 after the third, then 1 s of a rollout.
    assert 3 <= await passes_of(fails, within_s=1.5, priority=lambda key: Priority.ROLLOUT) <= 6


@pytest.mark.asyncio
async def test_a_pass_that_only_asks_for_another_does_not_end_the_trouble() -> None:
    """Else a kind that writes for ever would begin with the shortest back-off again and again."""
    numbers = iter(range(10**9))

    async def fails_every_other_time(key: Key) -> Result:
        return Result(requeue=True) if next(numbers) % 2 else await fails(key)

    assert await passes_of(fails_every_other_time, within_s=1.5) <= 10


@pytest.mark.asyncio
async def test_a_pass_that_succeeds_ends_the_trouble() -> None:
    numbers = iter(range(10**9))

    async def fails_once_in_ten(key: Key) -> Result:
        return Result() if next(numbers) % 10 else await fails(key)

    assert await passes_of(fails_once_in_ten, within_s=1.5) >= 50, "each failure is the first of a trouble"


@pytest.mark.asyncio
async def test_a_rollback_is_tried_again_soon_and_on_its_own_however_often_it_failed() -> None:
    times: list[float] = []

    async def handler(key: Key) -> Result:
        times.append(time.monotonic())
        return await fails(key)

    priority = Priority.ROLLOUT
    queue, task = await running(handler, priority=lambda key: priority)
    queue._troubles[A] = _Trouble(None, failures=20)  # a back-off of one to two minutes by now
    queue.open()
    queue.wake(A)
    await until(lambda: len(times) == 1)
    priority = Priority.ROLLBACK
    queue.wake(A)
    await until(lambda: len(times) == 4)
    longest = LONGEST_HOLD[Priority.ROLLBACK].total_seconds() + 0.4  # of a busy machine
    assert all(later - earlier < longest for earlier, later in itertools.pairwise(times)), times
    task.cancel()


@pytest.mark.asyncio
async def test_what_people_change_is_looked_at_at_once() -> None:
    passes, generation = 0, 1

    async def handler(key: Key) -> Result:
        nonlocal passes
        passes += 1
        return Result() if generation == 2 else await fails(key)

    queue, task = await running(handler, asked=lambda key: generation)
    queue.open()
    queue.wake(A)
    await until(lambda: passes == 1)
    queue._troubles[A].failures = 20
    await until(lambda: passes == 2)  # held off for seconds from now on
    generation = 2
    began = time.monotonic()
    queue.wake(A)
    await until(lambda: passes == 3)
    assert time.monotonic() - began < 2
    task.cancel()


@pytest.mark.asyncio
async def test_so_is_what_they_change_while_a_pass_fails() -> None:
    passes, generation = 0, 1

    async def handler(key: Key) -> Result:
        nonlocal passes, generation
        passes += 1
        if passes == 1:
            queue._troubles[A].failures = 20
            generation = 2
            queue.wake(A)
            return await fails(key)
        return Result()

    queue, task = await running(handler, asked=lambda key: generation)
    queue._troubles[A] = _Trouble(1)
    queue.open()
    began = time.monotonic()
    queue.wake(A)
    await until(lambda: passes == 2)
    assert time.monotonic() - began < 2
    task.cancel()


@pytest.mark.asyncio
async def test_a_pass_that_fails_still_says_when_it_is_due() -> None:
    """A deadline must not wait for a back-off of two minutes."""
    passes = 0

    async def handler(key: Key) -> Result:
        nonlocal passes
        passes += 1
        failed = await fails(key)
        return Result(requeue_after=timedelta(milliseconds=50), error=failed.error)

    queue, task = await running(handler, priority=lambda key: Priority.ROLLOUT)
    queue._troubles[A] = _Trouble(None, failures=20)
    queue.open()
    queue.wake(A)
    await until(lambda: passes == 3)
    task.cancel()


@pytest.mark.asyncio
async def test_drained_waits_for_passes_under_way_and_begins_no_other() -> None:
    seen: list[Key] = []
    release = asyncio.Event()

    async def handler(key: Key) -> Result:
        seen.append(key)
        await release.wait()
        return Result()

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
