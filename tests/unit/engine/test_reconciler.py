"""One pass: what is done with a plan, an error, a conflict, an endless writer."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from belay_operator.engine.cache import Cache
from belay_operator.engine.errors import Conflict, Overloaded, error_of
from belay_operator.engine.holdback import HoldBack
from belay_operator.engine.kind import Kind
from belay_operator.engine.plan import EMPTY, Key, Plan, Settings
from belay_operator.engine.reconciler import CHURN, Churning, Reconciler

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
    **meta: Any,
) -> tuple[Reconciler, list[Key]]:
    cache, again = Cache(), []
    full = {"namespace": "ns", "name": "r", "uid": "u", "resourceVersion": "1", "generation": 1, **meta}
    cache.put("RLRollout", {"kind": "RLRollout", "metadata": full, "spec": spec or {"replicas": 1}})
    kind = Kind(
        name="RLRollout",
        plural="rlrollouts",
        observe=lambda obj, reader, settings: Spec.model_validate(obj["spec"]),
        decide=lambda observed, now: plan,
        invalid=lambda obj, message, now: Plan(status={"message": message}),
        priority=lambda obj, reader: 0 if (obj.get("status") or {}).get("rollback") else 1,
        related=lambda kind, obj, reader: (),
    )
    made = Reconciler({"RLRollout": kind}, cache, executor, SETTINGS, clock=clock)  # type: ignore[arg-type]
    made.again = again.append
    return made, again


def conflict() -> Conflict:
    return Conflict("PATCH r", code=409, reason="Conflict", message="")


@pytest.mark.asyncio
async def test_a_pass_with_writes_asks_for_another_and_one_without_does_not() -> None:
    made, again = reconciler(Executor(2, 0), plan=Plan(again_after=timedelta(seconds=5)))
    assert await made(KEY) == timedelta(seconds=5)
    assert again == [KEY]
    await made(KEY)
    assert again == [KEY]


@pytest.mark.asyncio
async def test_a_spec_that_cannot_be_read_becomes_the_invalid_plan() -> None:
    executor = Executor()
    made, _ = reconciler(executor, spec={"replicas": "many"})
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
    made, _ = reconciler(executor, spec={"replicas": 1, "more": deep})
    await made(KEY)
    message = executor.plans[0].status["message"]
    assert message.startswith("spec: ")
    assert message.endswith("Nothing is changed until the spec is corrected.")


@pytest.mark.asyncio
async def test_conflicts_are_decided_again_twice_then_left_to_the_back_off() -> None:
    executor = Executor(conflict(), conflict(), 0)
    made, _ = reconciler(executor)
    await made(KEY)
    assert len(executor.plans) == 3
    made, _ = reconciler(Executor(*(conflict() for _ in range(3))))
    with pytest.raises(Conflict):
        await made(KEY)


@pytest.mark.asyncio
async def test_other_errors_go_to_the_queue() -> None:
    made, _ = reconciler(Executor(Overloaded("PATCH r", code=503, reason="", message="")))
    with pytest.raises(Overloaded):
        await made(KEY)


@pytest.mark.asyncio
async def test_a_namespace_that_is_going_is_no_failure() -> None:
    error = error_of("PATCH r", 403, "Forbidden", "", causes=["NamespaceTerminating"])
    made, again = reconciler(Executor(error), plan=Plan(again_after=timedelta(seconds=1)))
    assert await made(KEY) is None
    assert again == []


@pytest.mark.asyncio
async def test_an_object_that_is_gone_or_going_is_left_to_the_garbage_collector() -> None:
    executor = Executor()
    made, _ = reconciler(executor, deletionTimestamp="now")
    assert await made(KEY) is None
    assert await made(Key("RLRollout", "ns", "unknown")) is None
    assert executor.plans == []


@pytest.mark.asyncio
async def test_the_pass_that_records_a_rollback_is_itself_urgent() -> None:
    executor = Executor()
    made, _ = reconciler(executor, plan=Plan(status={"rollback": {"decidedAt": "now"}}))
    await made(KEY)
    assert executor.urgent == [True]


@pytest.mark.asyncio
async def test_a_kind_that_writes_for_ever_is_slowed_down() -> None:
    made, _ = reconciler(Executor(*([1] * (CHURN + 1))))
    for _ in range(CHURN):
        await made(KEY)
    with pytest.raises(Churning):
        await made(KEY)


@pytest.mark.asyncio
async def test_an_unhurried_status_waits_for_the_next_word_but_not_for_ever() -> None:
    told = Plan(status={"word": "loading"}, apply=({"kind": "Service"},), unhurried=True)
    clock, executor = iter([0.0, 0.5, 2.0, 2.1]), Executor()
    made, _ = reconciler(executor, plan=told, clock=lambda: next(clock))
    again = [await made(KEY) for _ in range(4)]
    assert [plan.status for plan in executor.plans] == [None, None, told.status, None]
    assert again == [timedelta(seconds=2), timedelta(seconds=1.5), None, timedelta(seconds=2)]
    assert all(plan.apply == told.apply for plan in executor.plans), "what is done to the world never waits"


def test_a_status_that_matters_is_never_held_back() -> None:
    clock = iter([0.0, 0.9, 1.8])
    held = HoldBack(lambda: next(clock))
    words = Plan(status={"word": "loading"}, unhurried=True, again_after=timedelta(milliseconds=300))
    assert held.filter(KEY, words) == replace(words, status=None)
    matters = replace(words, unhurried=False)
    assert held.filter(KEY, matters) is matters
    assert held.filter(KEY, words).status is None, "the moment begins anew once something was written"
    assert held.filter(KEY, EMPTY) is EMPTY
    assert held.filter(KEY, words).status is None, "and once there was nothing to write"
