"""The bill of a seed, against what its pods really held, whenever the operator looks and dies."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import crashes
from tests.unit.training.given import NAME, child_job, pod, training_job
from tests.world import START, World, key_of

from belay_api.cost import CostSpec, Rates
from belay_api.units import format_instant
from belay_operator.training.cost import rates_of
from belay_operator.training.observe import KIND

looks = st.lists(st.tuples(st.integers(0, 900), crashes), max_size=4)
lives = st.lists(st.tuples(st.integers(1, 4000), looks, st.booleans()), min_size=1, max_size=4)


def _cost(world: World) -> dict[str, float]:
    (seed,) = world.objects["RLTrainingJob", "default", NAME].get("status", {}).get("seeds", [{}])
    return dict(seed.get("cost", {}))


@settings(max_examples=60, deadline=None)
@given(lives)
def test_a_seed_pays_for_each_second_of_each_attempt_once(
    course: list[tuple[int, list[tuple[int, int | None]], bool]],
) -> None:
    world = World([training_job({"seeds": {"count": 1}}), child_job()])
    key = key_of(world.objects["RLTrainingJob", "default", NAME])
    now, held, paid = START, 0, 0.0
    for life, (seconds, when, removed) in enumerate(course):
        taken = format_instant(now)
        asked = {"requests": {"cpu": "1500m", "nvidia.com/gpu": "2"}, "taken": taken}
        world.put(pod(0, life=life, failures=life, **asked))
        for after, crash in sorted(when, key=lambda look: look[0]):
            if after < seconds:
                world.reconcile(KIND, key, now=now + timedelta(seconds=after), effects=crash)
                told = _cost(world).get("cpuSeconds", 0.0)
                assert paid <= told <= 1.5 * (held + after), "a bill never shrinks, and never runs ahead"
                paid = told
        now += timedelta(seconds=seconds)
        held += seconds
        ended = format_instant(now)
        world.put(pod(0, "Failed", life=life, failures=life, exit=1, ended=ended, **asked))
        world.settle(KIND, key, now=now + timedelta(seconds=1))
        paid = _cost(world)["cpuSeconds"]
        assert (paid, _cost(world)["gpuSeconds"]) == (1.5 * held, 2.0 * held)
        if removed:
            world.remove("Pod", f"{NAME}-a1-0-{life}")
        now += timedelta(seconds=5)


def test_a_budget_for_ages_is_looked_at_within_a_day() -> None:
    spec = {"seeds": {"count": 1}, "cost": {"cpuHour": 1e-12, "budget": 1e12}}
    taken = format_instant(START)
    world = World([training_job(spec), child_job(), pod(0, requests={"cpu": "1"}, taken=taken)])
    plan = world.plan(KIND, key_of(world.objects["RLTrainingJob", "default", NAME]), START)
    assert plan.requeue_after == timedelta(days=1)


@pytest.mark.parametrize(
    ("own", "paid"),
    [
        ({}, (1.0, 2.0, "EUR")),
        ({"cpu_hour": 3.0}, (3.0, 2.0, "EUR")),
        ({"cpu_hour": 0.0}, (0.0, 2.0, "EUR")),
        ({"cpu_hour": 3.0, "currency": "USD"}, (3.0, None, "USD")),
    ],
)
def test_a_job_pays_its_own_rates_else_the_installations(own: dict[str, object], paid: tuple[object, ...]) -> None:
    found = rates_of(CostSpec.model_validate(own), Rates(cpu_hour=1.0, gpu_hour=2.0, currency="EUR"))
    assert (found.cpu_hour, found.gpu_hour, found.currency) == paid
