"""The limits of a version that is stable: false alarms a month, what is found when, and its pods asked for real."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import numpy as np
import pytest
from tests.chance import most_by_chance
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.stage import Stage
from tests.unit.rollout.test_source_serving import ADDRESSES, Pods, pods  # noqa: F401  a fixture

from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.watch import WatchSpec
from belay_operator.rollout import standing
from belay_operator.rollout.analysis.blocks import Held, hold
from belay_operator.rollout.analysis.limits import STAKES, Array, against, cut
from belay_operator.rollout.analysis.standing import Seen
from belay_operator.rollout.facts import Counts, Scrape
from belay_operator.rollout.histogram import EMPTY
from belay_operator.rollout.sources import standing_pods
from belay_operator.rollout.standing import Watched, limits

ERRORS = {"name": "errors", "source": {"serving": "errorRate"}, "limit": {"max": "5%"}}
BEGAN = datetime(2026, 5, 4, tzinfo=UTC)
MONTH = 30 * 24 * 60  # minutes


def limit(*more: dict[str, Any], **spec: Any) -> Watched:
    analysis = AnalysisSpec.model_validate({"metrics": [ERRORS, *more]})
    return limits(analysis, WatchSpec.model_validate(spec))[0]


def evidence(rail: Watched, failed: Array, *, requests: int) -> Array:
    """The evidence after each minute with so many requests, of which so many `failed`, (minute, ...)."""
    held, found = np.zeros((STAKES.size, *failed.shape[1:])), []
    for minute in failed / requests:
        held = cut(against(rail.rail, held, minute, 60.0))
        found.append(held.sum(axis=0))
    return np.stack(found)


def seen(rail: Watched, failed: Sequence[int], *, requests: int) -> Iterator[Seen]:
    """What was seen after each minute with so many requests, of which so many failed."""
    last = Seen(Held(counting=BEGAN, scrape=0))
    before = Scrape(0, 0.0, 0.0, 0.0, 0.0, EMPTY)
    for errors in failed:
        now = Scrape(
            before.number + 1, before.elapsed_s + 60, 0.0, before.requests + requests, before.errors + errors, EMPTY
        )
        counts = Counts(BEGAN, (before, now), lambda one: (one.requests, one.errors))
        last = last.after(hold(rail.rail, counts, last.held, None), 60.0)
        yield last
        before = now


def test_exactly_at_its_limit_alarms_come_as_often_as_the_spec_allows() -> None:
    """Ten a month, so one is expected in a tenth of a month at most."""
    rng, spans = np.random.default_rng(1), 300
    failed = rng.binomial(20, 0.05, (MONTH // 10, spans))
    alarms = (evidence(limit(falseAlarmsPerMonth=10), failed, requests=20) >= 1).any(axis=0).sum()
    assert alarms <= most_by_chance(spans, 1 - np.exp(-1.0))


def test_all_metrics_share_the_false_alarms() -> None:
    """Those of Prometheus and those without a decision are not watched, and take no part."""
    latency = {"name": "latency", "source": {"serving": "latencyP99"}, "limit": {"max": "100ms"}}
    returned = {"name": "return", "source": {"logbook": {"outcome": "return"}}, "compare": {"maxRegression": "5%"}}
    others = ({**latency, "name": "dry", "dryRun": True},)
    assert limit(*others).rail.false_per_day == pytest.approx(1 / 30)
    assert limit(latency, returned, *others).rail.false_per_day == pytest.approx(1 / 90)


@pytest.mark.parametrize(("share", "within"), [(1.0, 5), (0.5, 8), (0.2, 25)])
def test_a_breach_after_days_of_health_is_found(share: float, within: int) -> None:
    rng, healthy, runs = np.random.default_rng(2), 4_000, 50
    failed = np.concatenate([rng.binomial(50, 0.005, (healthy, runs)), rng.binomial(50, share, (100, runs))])
    alarm = evidence(limit(), failed, requests=50) >= 1
    assert not alarm[:healthy].any()
    assert (alarm[healthy:].argmax(axis=0) < within).all()


def test_a_breach_that_comes_and_goes_is_one_alarm() -> None:
    """Ten bad minutes, fifty good ones, again and again; then it is mended."""
    hours = 6
    found = list(seen(limit(), ([25] * 10 + [0] * 50) * hours + [0] * 120, requests=50))
    first = next(minute for minute, one in enumerate(found) if one.is_broken)
    over = next(minute for minute, one in enumerate(found) if minute > first and one.is_over)
    assert first < 10
    assert over > 60 * hours, "not between"


@pytest.mark.asyncio
async def test_pods_are_asked_and_the_rollout_is_woken_for_news_alone(
    pods: Pods,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks of a second in place of a minute, and as many alarms as can be asked for: it is over in seconds."""
    monkeypatch.setattr(standing_pods, "PERIOD", timedelta(seconds=0.25))
    monkeypatch.setattr(standing, "BLOCK", timedelta(seconds=1))
    strict = {**ERRORS, "limit": {"max": "1%", "tolerates": "1s"}}
    stage = Stage("b", analysis={"metrics": [strict]}, watch={"falseAlarmsPerMonth": 10})
    stage.publish("b", ready=2)
    for index, address in enumerate(ADDRESSES):
        ready = [{"type": "Ready", "status": "True"}]
        stage.world.patch("Pod", f"b-{index}", {"status": {"podIP": address, "conditions": ready}})
    stage.world.patch("RLRollout", "cartpole", {"status": {"stable": {"policy": "b"}}})
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(stage.world, http)

        def held() -> Held:
            fact = context.fact("standing", "default", "cartpole")
            found = () if fact is None else tuple(fact.seen.values())
            return found[0].held if found else Held(counting=BEGAN, scrape=0)

        async def until(true: Callable[[], bool], *, errors: int) -> None:
            async with asyncio.timeout(30):
                while not true():
                    for pod in range(len(ADDRESSES)):
                        pods.answer(pod, 10, errors=errors)
                    await asyncio.sleep(0.1)

        running = asyncio.create_task(standing_pods.POLLER.run(context))
        try:
            await until(lambda: held().requests > 0, errors=0)
            assert context.woken == [], "all is well"
            await until(lambda: bool(context.woken), errors=10)
            found = held()
            assert found.against >= 1
            assert found.share == 1.0
            alarm = {"metric": "errors", "degradedSince": "2026-05-04T10:00:00Z"}
            stage.world.patch("RLRollout", "cartpole", {"status": {"watch": [alarm]}})
            await asyncio.sleep(0.5)
            told = len(context.woken)
            await until(lambda: held().scrape > found.scrape + 4, errors=10)
            assert len(context.woken) == told, "what stands is no news"
        finally:
            running.cancel()
