"""The limits of a version that is stable: false alarms a month, what is found when, and everybody asked for real."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.chance import most_by_chance
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.prometheus_server import PrometheusServer
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
from belay_operator.rollout.sources import all_sources, at_rest, looks, proxies
from belay_operator.rollout.sources.at_rest import AtRest
from belay_operator.rollout.standing import StandingFact, StandingLimit, limits, records

ERRORS = {"name": "errors", "source": {"serving": "errorRate"}, "limit": {"max": "5%"}}
BEGAN = datetime(2026, 5, 4, tzinfo=UTC)
MONTH = 30 * 24 * 60  # minutes


def limit(*more: dict[str, Any], **spec: Any) -> StandingLimit:
    analysis = AnalysisSpec.model_validate({"metrics": [ERRORS, *more]})
    return limits(analysis, WatchSpec.model_validate(spec))[0]


def evidence(rail: StandingLimit, failed: Array, *, requests: int) -> Array:
    """The evidence after each minute with so many requests, of which so many `failed`, (minute, ...)."""
    held, found = np.zeros((STAKES.size, *failed.shape[1:])), []
    for minute in failed / requests:
        held = cut(against(rail.rail, held, minute, 60.0))
        found.append(held.sum(axis=0))
    return np.stack(found)


def seen(rail: StandingLimit, failed: Sequence[int], *, requests: int) -> Iterator[Seen]:
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
    """Those without a decision, and those that ask about stable beside a candidate, are not watched."""
    latency = {"name": "latency", "source": {"serving": "latencyP99"}, "limit": {"max": "100ms"}}
    gateway = {"name": "gateway", "source": {"gateway": "errorRate"}, "limit": {"max": "5%"}}
    returned = {"name": "return", "source": {"logbook": {"outcome": "return"}}, "compare": {"maxRegression": "5%"}}
    times = {"name": "times", "source": {"prometheus": {"query": 'a{p="{{candidate}}"} / a{p="{{stable}}"}'}}}
    others = ({**latency, "name": "dry", "dryRun": True}, {**times, "limit": {"max": "3"}})
    assert limit(*others).rail.false_per_day == pytest.approx(1 / 30)
    assert limit(latency, gateway, orders(), returned, *others).rail.false_per_day == pytest.approx(1 / 150)


def orders(**source: Any) -> dict[str, Any]:
    """A limit on what a Prometheus server says."""
    asked = {"query": 'sum(rate(orders_total{policy="{{version}}"}[{{interval}}]))', "interval": "1s", **source}
    return {"name": "orders", "source": {"prometheus": asked}, "limit": {"max": "10", "tolerates": "1s"}}


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


def test_looks_that_are_an_hour_apart_are_an_hour_of_calm_each() -> None:
    hourly = orders(interval="1h")
    (watched,) = limits(AnalysisSpec.model_validate({"metrics": [hourly]}), WatchSpec())
    assert watched.rail.block_s == 3600
    assert limit().rail.block_s == 60


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (ERRORS, "of the last requests 40 % failed, and 5 % may"),
        (orders(), "the last look gave a number above 10, as 5 % of looks may and more do"),
        ({**orders(), "limit": {"min": "10"}}, "the last look gave a number below 10, as 5 % of looks may and more do"),
        ({**orders(), "limit": {"max": "30%"}}, "at the last look the share is 40 %, and 30 % may"),
        ({**orders(), "limit": {"min": "70%"}}, "at the last look the share lies below 1 by 40 %, and 30 % may"),
    ],
)
def test_an_alarm_says_what_was_seen(metric: dict[str, Any], words: str) -> None:
    watched = limits(AnalysisSpec.model_validate({"metrics": [metric]}), WatchSpec())
    broken = Seen(Held(counting=BEGAN, scrape=9, share=0.4, evidence=(1.0,) * STAKES.size))
    (alarm,) = records([], {metric["name"]: broken}, watched, policy="b", now=BEGAN)
    assert alarm.message == f"b is beyond the limit {metric['name']}: {words}"


# --- asked for real ---------------------------------------------------------------------------------------------------
class Asked:
    """A stable version `b` with a limit, and the poller. Blocks of a second in place of a minute, and as many alarms as
    can be asked for: a breach is found in seconds."""

    def __init__(self, metric: dict[str, Any], http: aiohttp.ClientSession) -> None:
        self.stage = Stage("b", analysis={"metrics": [metric]}, watch={"falseAlarmsPerMonth": 10})
        self.stage.publish("b", ready=2)
        for index, address in enumerate(ADDRESSES):
            self.stage.world.patch("Pod", f"b-{index}", {"status": {"podIP": address, "conditions": READY}})
        self.stage.world.patch("RLRollout", "cartpole", {"status": {"stable": {"policy": "b"}}})
        self.context = WorldPollerContext(self.stage.world, http)
        self.metric = metric["name"]

    def held(self) -> Held:
        fact = self.context.fact("standing", "default", "cartpole")
        found = tuple(fact.seen.values()) if isinstance(fact, StandingFact) else ()
        return found[0].held if found else Held(counting=BEGAN, scrape=0)

    async def until(self, true: Callable[[], bool], *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait for it, while requests come."""
        async with asyncio.timeout(30):
            while not true():
                meanwhile()
                await asyncio.sleep(0.1)


READY = [{"type": "Ready", "status": "True"}]


@asynccontextmanager
async def asking(metric: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    monkeypatch.setattr(at_rest, "PERIOD", timedelta(seconds=0.25))
    monkeypatch.setattr(standing, "BLOCK", timedelta(seconds=1))
    monkeypatch.setattr(looks, "BLOCK", timedelta(seconds=1))
    monkeypatch.setattr(looks, "SETTLE", timedelta(seconds=0.2))
    async with aiohttp.ClientSession() as http:
        asked = Asked(metric, http)
        running = asyncio.create_task(AtRest(all_sources()).run(asked.context))
        try:
            yield asked
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.asyncio
async def test_pods_are_asked_and_the_rollout_is_woken_for_news_alone(
    pods: Pods,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(errors: int) -> Callable[[], None]:
        return lambda: [pods.answer(pod, 10, errors=errors) for pod in range(len(ADDRESSES))] and None

    async with asking({**ERRORS, "limit": {"max": "1%", "tolerates": "1s"}}, monkeypatch) as asked:
        await asked.until(lambda: asked.held().requests > 0, meanwhile=answer(0))
        assert asked.context.woken == [], "all is well"
        await asked.until(lambda: bool(asked.context.woken), meanwhile=answer(10))
        found = asked.held()
        assert found.against >= 1
        assert found.share == 1.0
        alarm = {"metric": asked.metric, "degradedSince": "2026-05-04T10:00:00Z"}
        asked.stage.world.patch("RLRollout", "cartpole", {"status": {"watch": [alarm]}})
        await asyncio.sleep(0.5)
        told = len(asked.context.woken)
        await asked.until(lambda: asked.held().scrape > found.scrape + 4, meanwhile=answer(10))
        assert len(asked.context.woken) == told, "what stands is no news"


class Proxy:
    """One proxy's statistics of one endpoint, as Envoy writes them."""

    def __init__(self) -> None:
        self.begun = self.answered = 0
        self.asked: list[str] = []
        app = web.Application()
        app.router.add_get("/stats/prometheus", self._tell)
        self.server = TestServer(app, host="127.0.0.1")

    async def _tell(self, request: web.Request) -> web.Response:
        self.asked.append(request.query["filter"])
        of = f'{{envoy_cluster_name="httproute/default/cartpole/rule/0",envoy_endpoint_address="{ADDRESSES[0]}:8085"}}'
        counted = {"error": 0, "success": self.answered, "total": self.begun, "active": 0}
        lines = (
            f"# TYPE envoy_cluster_endpoint_rq_{name} {'gauge' if name == 'active' else 'counter'}\n"
            f"envoy_cluster_endpoint_rq_{name}{of} {value}\n"
            for name, value in counted.items()
        )
        return web.Response(text="".join(lines))


@pytest.mark.asyncio
async def test_proxies_are_asked_what_callers_saw_of_a_version_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pods say nothing of it: they have not failed, and count no request that has not ended."""
    proxy = Proxy()
    await proxy.server.start_server()
    monkeypatch.setattr(proxies, "PORT", proxy.server.port)
    metric = {"name": "errors", "source": {"gateway": "errorRate"}, "limit": {"max": "5%", "tolerates": "1s"}}

    def answer(share: int) -> None:
        proxy.begun, proxy.answered = proxy.begun + 10, proxy.answered + share

    try:
        async with asking(metric, monkeypatch) as asked:
            labels = {proxies.NAME_LABEL: "gw", proxies.NAMESPACE_LABEL: "default"}
            envoy = {"name": "envoy", "labels": labels}
            asked.stage.world.put(
                {"kind": "Pod", "metadata": envoy, "status": {"podIP": "127.0.0.1", "conditions": READY}}
            )
            await asked.until(lambda: asked.held().requests > 0, meanwhile=lambda: answer(10))
            assert asked.context.woken == [], "all is well"
            await asked.until(lambda: bool(asked.context.woken), meanwhile=lambda: answer(0))
            assert asked.held().share == 1.0
            assert all("httproute/default/cartpole" in one for one in proxy.asked)
    finally:
        await proxy.server.close()


@pytest.mark.asyncio
async def test_a_prometheus_is_asked_and_what_was_judged_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    value = 9.0
    async with PrometheusServer(lambda query, at: value) as server:
        async with asking(orders(address=server.url), monkeypatch) as asked:
            await asked.until(lambda: asked.held().requests > 3)
            assert asked.context.woken == [], "all is well"
            good = asked.held().requests
            server.wrong = (503, "")  # nobody answers: the looks are asked for once somebody does
            await asyncio.sleep(2.5)
            assert asked.held().requests == good
            server.wrong, value = None, 11.0
            await asked.until(lambda: bool(asked.context.woken))
            held = asked.held()
            assert held.beyond > 2, "an outage loses no look"
            assert held.requests == held.scrape, "and counts none twice"
        assert {one["query"] for one in server.asked} == {'sum(rate(orders_total{policy="b"}[1s]))'}
