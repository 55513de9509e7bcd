"""One pass: what is done with a plan, an error, a conflict, an endless writer."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from belay_operator.engine.cache import Cache
from belay_operator.engine.debounce import Debounce
from belay_operator.engine.errors import Conflict, Overloaded, error_of
from belay_operator.engine.kind import Kind, Priority
from belay_operator.engine.plan import EMPTY, Key, Plan, Settings
from belay_operator.engine.queue import Queue, Result
from belay_operator.engine.reconciler import CHURN, CHURN_WINDOW, Churning, Reconciler

KEY = Key("RLRollout", "ns", "r")
SETTINGS = Settings(trainer_image="t", handler_image="h", logbook_url=None)


class Spec(BaseModel):
    replicas: int


class Executor:
    """Answers what the test says and remembers the plans."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers, self.plans, self.urgent = list(answers), [], []

    async def execute(self, obj: Mapping[str, Any], plan: Plan, *, urgent: bool = False) -> int:
        self.plans.append(plan)
        self.urgent.append(urgent)
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return answer


def reconciler(
    executor: Executor,
    *,
    plan: Plan = EMPTY,
    spec: Any = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    **meta: Any,
) -> Reconciler:
    cache = Cache()
    full = {"namespace": "ns", "name": "r", "uid": "u", "resourceVersion": "1", "generation": 1, **meta}
    cache.put("RLRollout", {"kind": "RLRollout", "metadata": full, "spec": spec or {"replicas": 1}})
    kind = Kind(
        name="RLRollout",
        plural="rlrollouts",
        observe=lambda obj, reader, settings: Spec.model_validate(obj["spec"]),
        decide=lambda observed, now: plan,
        invalid=lambda obj, message, now: Plan(status={"message": message}),
        priority=lambda obj, reader: (
            Priority.ROLLBACK if (obj.get("status") or {}).get("rollback") else Priority.ROLLOUT
        ),
        related=lambda kind, obj, reader: (),
    )
    return Reconciler({"RLRollout": kind}, cache, executor, SETTINGS, now=now, clock=clock)  # type: ignore[arg-type]


def conflict() -> Conflict:
    return Conflict("PATCH r", code=409, reason="Conflict", message="")


@pytest.mark.asyncio
async def test_a_pass_with_writes_asks_for_another_and_one_without_does_not() -> None:
    made = reconciler(Executor(2, 0), plan=Plan(requeue_after=timedelta(seconds=5)))
    assert await made(KEY) == Result(requeue=True, requeue_after=timedelta(seconds=5))
    assert await made(KEY) == Result(requeue_after=timedelta(seconds=5))


@pytest.mark.asyncio
async def test_a_spec_that_cannot_be_read_becomes_the_invalid_plan() -> None:
    executor = Executor()
    made = reconciler(executor, spec={"replicas": "many"})
    await made(KEY)
    message = executor.plans[0].status["message"]
    assert message.startswith("replicas: ")
    assert message.endswith("Nothing is changed until the spec is corrected.")


@pytest.mark.asyncio
async def test_a_spec_that_the_cache_could_not_keep_becomes_the_invalid_plan() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    executor = Executor()
    made = reconciler(executor, spec={"replicas": 1, "more": deep})
    await made(KEY)
    message = executor.plans[0].status["message"]
    assert message.startswith("spec: ")
    assert message.endswith("Nothing is changed until the spec is corrected.")


@pytest.mark.asyncio
async def test_conflicts_are_decided_again_twice_then_left_to_the_back_off() -> None:
    executor = Executor(conflict(), conflict(), 0)
    made = reconciler(executor)
    await made(KEY)
    assert len(executor.plans) == 3
    made = reconciler(Executor(*(conflict() for _ in range(3))))
    assert isinstance((await made(KEY)).error, Conflict)


@pytest.mark.asyncio
async def test_other_errors_go_to_the_queue_with_the_time_the_plan_is_due() -> None:
    error = Overloaded("PATCH r", code=503, reason="", message="")
    made = reconciler(Executor(error), plan=Plan(requeue_after=timedelta(seconds=5)))
    assert await made(KEY) == Result(requeue_after=timedelta(seconds=5), error=error)


@pytest.mark.asyncio
async def test_a_namespace_that_is_going_is_no_failure() -> None:
    error = error_of("PATCH r", 403, "Forbidden", "", causes=["NamespaceTerminating"])
    made = reconciler(Executor(error), plan=Plan(requeue_after=timedelta(seconds=1)))
    assert await made(KEY) == Result()


@pytest.mark.asyncio
async def test_an_object_that_is_gone_or_going_is_left_to_the_garbage_collector() -> None:
    executor = Executor()
    made = reconciler(executor, deletionTimestamp="now")
    assert await made(KEY) == Result()
    assert await made(Key("RLRollout", "ns", "unknown")) == Result()
    assert executor.plans == []


@pytest.mark.asyncio
async def test_the_pass_that_records_a_rollback_is_itself_urgent() -> None:
    executor = Executor()
    made = reconciler(executor, plan=Plan(status={"rollback": {"decidedAt": "now"}}))
    await made(KEY)
    assert executor.urgent == [True]


@pytest.mark.asyncio
async def test_a_kind_that_writes_for_ever_is_slowed_down_until_a_pass_finds_nothing() -> None:
    executor = Executor(*([1] * (CHURN + 3)), 0, 1)
    made = reconciler(executor)
    results = [await made(KEY) for _ in range(CHURN + 5)]
    churning = [isinstance(result.error, Churning) for result in results]
    assert churning == [False] * CHURN + [True, False, True, False, False]
    assert [result.requeue for result in results] == [True] * CHURN + [False, True, False, False, True]


@pytest.mark.asyncio
async def test_writes_far_apart_are_no_churn() -> None:
    now = datetime(2026, 5, 4, 10, tzinfo=UTC)
    made = reconciler(Executor(*([1] * 3 * CHURN)), now=lambda: now)
    for _ in range(3 * CHURN):
        assert (await made(KEY)).error is None
        now += 2 * CHURN_WINDOW / CHURN


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "most"),
    [pytest.param("RLRollout", 14, id="two passes a second"), pytest.param("RLPolicy", 12, id="two in five seconds")],
)
async def test_the_brake_brakes_though_every_write_wakes_its_own_key(kind: str, most: int) -> None:
    """The write comes back as news before the back-off is set, and news must not undo it."""
    cache = Cache()
    key = Key(kind, "ns", "r")
    meta = {"namespace": "ns", "name": "r", "uid": "u", "generation": 1}
    versions = itertools.count(1)
    cache.put(kind, {"kind": kind, "metadata": {**meta, "resourceVersion": str(next(versions))}})

    class Writes:
        async def execute(self, obj: Mapping[str, Any], plan: Plan, *, urgent: bool = False) -> int:
            await asyncio.sleep(0.001)  # as a call to a quick API server
            cache.put(kind, {**obj, "metadata": {**meta, "resourceVersion": str(next(versions))}})
            return 1

    handled = Kind(
        name=kind,
        plural="any",
        observe=lambda obj, reader, settings: None,
        decide=lambda observed, now: EMPTY,
        invalid=lambda obj, message, now: EMPTY,
        priority=lambda obj, reader: Priority.ROLLOUT if kind == "RLRollout" else Priority.REST,
        related=lambda kind, obj, reader: (),
    )
    made = Reconciler({kind: handled}, cache, Writes(), SETTINGS)  # type: ignore[arg-type]
    queue = Queue(made, priority=made.priority, asked=made.asked, clock=time.monotonic, rng=random.Random(1))
    cache.listen(lambda *_: queue.wake(key))
    task = asyncio.create_task(queue.run())
    queue.open()
    queue.wake(key)
    await asyncio.sleep(4)
    task.cancel()
    assert CHURN < next(versions) - 2 < CHURN + most


@pytest.mark.asyncio
async def test_a_debounced_status_waits_for_the_next_word_but_not_for_ever() -> None:
    told = Plan(status={"word": "loading"}, apply=({"kind": "Service"},), debounce=True)
    clock, executor = iter([0.0, 0.5, 2.0, 2.1]), Executor()
    made = reconciler(executor, plan=told, clock=lambda: next(clock))
    again = [(await made(KEY)).requeue_after for _ in range(4)]
    assert [plan.status for plan in executor.plans] == [None, None, told.status, None]
    assert again == [timedelta(seconds=2), timedelta(seconds=1.5), None, timedelta(seconds=2)]
    assert all(plan.apply == told.apply for plan in executor.plans), "what is done to the world never waits"


def test_a_status_that_matters_is_never_held_back() -> None:
    clock = iter([0.0, 0.9, 1.8])
    debounce = Debounce(lambda: next(clock))
    words = Plan(status={"word": "loading"}, debounce=True, requeue_after=timedelta(milliseconds=300))
    assert debounce.filter(KEY, words) == replace(words, status=None)
    matters = replace(words, debounce=False)
    assert debounce.filter(KEY, matters) is matters
    assert debounce.filter(KEY, words).status is None, "the moment begins anew once something was written"
    assert debounce.filter(KEY, EMPTY) is EMPTY
    assert debounce.filter(KEY, words).status is None, "and once there was nothing to write"
