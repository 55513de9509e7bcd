"""The Prometheus source against a server that answers as one: looks, what is no number, outages, and who may ask.

A real Prometheus is asked in tests/long/test_prometheus.py.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.prometheus_server import UNMATCHABLE, UNPARSABLE, PrometheusServer
from tests.unit.rollout.stage import SPEC
from tests.world import World, belay_object

from belay_api.units import format_instant, parse_instant
from belay_operator.rollout.facts import PrometheusFact, Reading
from belay_operator.rollout.sources import prometheus
from belay_operator.rollout.sources.prometheus import PrometheusSource
from belay_operator.rollout.sources.prometheus_api import MOST_LOOKS

QUERY = 'sum(rate(orders_total{policy="{{version}}"}[{{interval}}]))'
STEP = {"index": 1, "kind": "pause", "startedAt": "2026-05-04T10:00:00Z"}


def metric(source: dict[str, Any], **judged: Any) -> dict[str, Any]:
    """A metric; held to `max: 10` unless it is judged otherwise."""
    source = {"query": QUERY, "interval": "10s", **source}
    return {"name": "orders", "source": {"prometheus": source}, **(judged or {"limit": {"max": 10}})}


def world(*metrics: dict[str, Any], ago: timedelta = timedelta(minutes=1), **more: Any) -> World:
    """One rollout that is judged by these metrics, and has been for so long."""
    since = format_instant(datetime.now(UTC) - ago)
    sides = {side: {"policy": side, "digest": side, "since": since} for side in ("stable", "candidate")}
    weight = {"desired": 50, "applied": 50, "since": since}
    status = sides | {"step": STEP, "weight": weight, "analysisStartedAt": since} | more
    spec = SPEC | {"analysis": {"metrics": list(metrics)}}
    return World([belay_object("RLRollout", "cartpole", spec, status={k: v for k, v in status.items() if v})])


def reading(context: WorldPollerContext, name: str = "orders") -> Reading | None:
    fact = context.fact("prometheus", "default", "cartpole")
    readings = fact.versions.get("candidate", {}) if isinstance(fact, PrometheusFact) else {}
    return readings[name][1] if name in readings else None


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[WorldPollerContext]:
    """The source runs over a world."""
    async with aiohttp.ClientSession() as http:
        context = WorldPollerContext(world, http)
        running = asyncio.create_task(PrometheusSource().run(context))
        try:
            yield context
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "FIRST_RETRY", timedelta(milliseconds=50))
    monkeypatch.setattr(prometheus, "LAST_RETRY", timedelta(milliseconds=200))


@pytest.mark.asyncio
async def test_both_sides_are_asked_about_the_same_instants_and_no_look_tells_of_anothers_time() -> None:
    compared = {"compare": {"maxRegression": "10%"}}
    async with PrometheusServer(lambda query, at: 5.0 if "stable" in query else 4.0) as server:
        async with asking(world(metric({"address": server.url}, **compared))) as context:
            looks = (await context.until(lambda: reading(context))).looks
        since = parse_instant(context.get("RLRollout", "default", "cartpole")["status"]["analysisStartedAt"])

    assert [look.number for look in looks] == [1, 2, 3, 4, 5]
    assert [look.start for look in looks] == [since + timedelta(seconds=10) * n for n in range(5)]
    assert all(look.values == {"candidate": 4.0, "stable": 5.0} for look in looks)
    asked = {one["query"]: (one["start"], one["end"], one["step"]) for one in server.asked}
    assert set(asked) == {
        QUERY.replace("{{version}}", side).replace("{{interval}}", "10s") for side in ("candidate", "stable")
    }
    assert len(set(asked.values())) == 1, "both sides at the same instants"
    assert float(server.asked[0]["start"]) == pytest.approx((since + timedelta(seconds=10)).timestamp())


@pytest.mark.asyncio
async def test_a_limit_counts_each_look_once_and_wakes_the_rollout() -> None:
    async with (
        PrometheusServer(lambda query, at: 11.0 if round(at) % 2 else 9.0) as server,
        asking(world(metric({"address": server.url, "interval": "1s"}), ago=timedelta(seconds=15))) as context,
    ):
        await context.until(lambda: reading(context))
        counts = (
            await context.until(lambda: (it := reading(context)) and it.counts and len(it.counts.scrapes) > 11 and it)
        ).counts
    requests, beyond = counts.of(counts.scrapes[-1])
    assert requests == counts.scrapes[-1].number
    assert abs(beyond - requests / 2) <= 0.5
    assert all(
        now.elapsed_s - before.elapsed_s == 1.0 for before, now in zip(counts.scrapes, counts.scrapes[1:], strict=False)
    )
    assert {key.name for key in context.woken} == {"cartpole"}
    assert all("candidate" in one["query"] for one in server.asked), "a limit holds the candidate alone"


@pytest.mark.parametrize(
    ("judged", "values", "beyond"),
    [
        ({"limit": {"max": "10"}}, [10.0, 10.1, 9.0], 1),
        ({"limit": {"min": "-200"}}, [-200.0, -300.0, 5.0], 1),
        ({"limit": {"max": "100ms"}}, [0.1, 0.2, 0.05], 1),
        ({"limit": {"max": "5%"}}, [0.0, 0.5, 1.0], 1.5),
        ({"limit": {"min": "99%"}}, [1.0, 0.5, 0.9], 0.6),
    ],
)
@pytest.mark.asyncio
async def test_what_lies_beyond(judged: dict[str, Any], values: list[float], beyond: float) -> None:
    async with PrometheusServer(lambda query, at: values[round(at / 10) % 3]) as server:
        made = world(metric({"address": server.url}, **judged), ago=timedelta(seconds=37))
        async with asking(made) as context:
            counts = (await context.until(lambda: reading(context))).counts
    assert counts.of(counts.scrapes[-1]) == (3, pytest.approx(beyond))


@pytest.mark.asyncio
async def test_an_outage_is_told_and_when_it_ends_nothing_is_lost() -> None:
    async with PrometheusServer(lambda query, at: 4.0) as server:
        server.wrong = (503, "upstream connect error")
        async with asking(world(metric({"address": server.url}))) as context:
            told = await context.until(lambda: reading(context))
            assert told.problem == f"{server.url} answers 503: upstream connect error"
            server.wrong = None
            told = await context.until(lambda: (it := reading(context)) and it.problem is None and it)
    assert told.counts.of(told.counts.scrapes[-1])[0] == 5, "the looks of the outage were asked about afterwards"


@pytest.mark.parametrize(
    ("mischief", "words"),
    [
        (lambda s: setattr(s, "hangs", True), "does not answer within 0.2 s"),
        (lambda s: setattr(s, "wrong", (200, "<html>")), "not as Prometheus does: is it the right address?"),
        (lambda s: setattr(s, "wrong", (401, "")), "answers 401 (see prometheus.auth)"),
        (lambda s: setattr(s, "wrong", (404, "")), "(see prometheus.address: it has no API there)"),
        (lambda s: setattr(s, "wrong", (302, "")), "write the address that answers"),
        (lambda s: setattr(s, "wrong", (500, {"status": "error", "error": "tsdb is gone"})), "500: tsdb is gone"),
    ],
)
@pytest.mark.asyncio
async def test_who_does_not_answer_is_down(mischief: Callable[[PrometheusServer], None], words: str) -> None:
    async with PrometheusServer(lambda query, at: 4.0) as server:
        mischief(server)
        async with asking(world(metric({"address": server.url, "timeout": "200ms"}))) as context:
            told = await context.until(lambda: reading(context))
    assert told.problem is not None
    assert words in told.problem
    assert told.absence is None
    assert not told.refused


@pytest.mark.asyncio
async def test_nobody_at_the_address_is_down() -> None:
    async with asking(world(metric({"address": "http://127.0.0.1:9"}))) as context:
        told = await context.until(lambda: reading(context))
    assert told.problem == "http://127.0.0.1:9 does not answer (ClientConnectorError)"


@pytest.mark.parametrize(
    ("mischief", "words", "refused"),
    [
        (lambda s: setattr(s, "value", lambda query, at: None), "the answer is empty: no series matches", False),
        (lambda s: setattr(s, "value", lambda query, at: "NaN"), "the answer is NaN", False),
        (lambda s: setattr(s, "value", lambda query, at: "+Inf"), "the answer is infinite", False),
        (lambda s: setattr(s, "series", 2), "gives several series", True),
        (lambda s: setattr(s, "wrong", UNPARSABLE), "refuses the query: 1:10: parse error: unclosed left", True),
        (lambda s: setattr(s, "wrong", UNMATCHABLE), "many-to-many matching not allowed", True),
        (lambda s: setattr(s, "wrong", (200, "x" * 5_000_000)), "gives several series", True),
    ],
)
@pytest.mark.asyncio
async def test_an_answer_without_a_number_is_no_outage(
    mischief: Callable[[PrometheusServer], None], words: str, refused: bool
) -> None:
    async with PrometheusServer(lambda query, at: 4.0) as server:
        mischief(server)
        async with asking(world(metric({"address": server.url}))) as context:
            told = await context.until(lambda: reading(context))
    assert told.problem is None
    assert words in str(told.absence)
    assert told.refused is refused
    assert told.counts is not None
    assert told.counts.of(told.counts.scrapes[-1]) == (0.0, 0.0)


@pytest.mark.asyncio
async def test_a_percentage_that_is_no_share_is_refused_and_not_counted() -> None:
    async with PrometheusServer(lambda query, at: 4.0) as server:
        made = world(metric({"address": server.url}, limit={"max": "5%"}))
        async with asking(made) as context:
            told = await context.until(lambda: reading(context))
    assert told.refused
    assert "no share from 0 to 1" in str(told.absence)
    assert told.counts is not None
    assert told.counts.of(told.counts.scrapes[-1]) == (0.0, 0.0)


@pytest.mark.asyncio
async def test_a_long_time_is_asked_about_in_parts_that_a_server_takes() -> None:
    """A day of looks a second: 86,400, of which a server gives 11,000 at once."""
    compared = {"compare": {"maxIncrease": "10%"}}
    async with PrometheusServer(lambda query, at: 1.0) as server:
        source = {"address": server.url, "interval": "1s"}
        async with asking(world(metric(source, **compared), ago=timedelta(hours=6))) as context:
            told = await context.until(lambda: reading(context), within_s=60)
    assert len(told.looks) >= 6 * 3600 - 10
    assert [look.number for look in told.looks] == list(range(1, len(told.looks) + 1))
    assert max((float(one["end"]) - float(one["start"])) / float(one["step"]) for one in server.asked) < MOST_LOOKS


@pytest.mark.asyncio
async def test_a_comparison_leaves_out_the_look_that_spans_a_change_of_weight() -> None:
    start = datetime.now(UTC) - timedelta(minutes=1)
    cuts = [format_instant(start), format_instant(start + timedelta(seconds=25))]
    async with PrometheusServer(lambda query, at: 1.0) as server:
        made = world(metric({"address": server.url}, compare={"maxIncrease": "10%"}), weightChanges=cuts)
        made.objects["RLRollout", "default", "cartpole"]["status"]["analysisStartedAt"] = cuts[0]
        async with asking(made) as context:
            told = await context.until(lambda: reading(context))
            assert [look.number for look in told.looks] == [1, 2, 4, 5]

            # A further change counts for looks that are known already; nobody is asked again.
            asked = len(server.asked)
            cut = format_instant(start + timedelta(seconds=41))
            made.patch("RLRollout", "cartpole", {"status": {"weightChanges": [*cuts, cut]}})
            await context.until(lambda: [look.number for look in reading(context).looks] == [1, 2, 4])
            assert len(server.asked) == asked


@pytest.mark.asyncio
async def test_a_server_whose_clock_is_behind_is_not_asked_about_its_future() -> None:
    async with PrometheusServer(lambda query, at: 1.0) as server:
        server.behind_s = 30
        async with asking(world(metric({"address": server.url}))) as context:
            told = await context.until(lambda: reading(context))
    assert 2 <= told.counts.scrapes[-1].number <= 3, "of five looks, two were not over by the server's clock"


@pytest.mark.asyncio
async def test_the_first_version_is_asked_about_unless_the_query_names_stable() -> None:
    async with PrometheusServer(lambda query, at: 1.0) as server:
        ratio = metric({"address": server.url, "query": 'a{v="{{candidate}}"} / a{v="{{stable}}"}'}) | {"name": "ratio"}
        compared = metric({"address": server.url}, compare={"maxIncrease": "10%"}) | {"name": "compared"}
        async with asking(world(metric({"address": server.url}), ratio, compared, stable=None)) as context:
            await context.until(lambda: reading(context))
            await asyncio.sleep(0.2)
            assert set(context.fact("prometheus", "default", "cartpole").versions["candidate"]) == {"orders"}


@pytest.mark.asyncio
async def test_an_edit_of_the_query_is_another_metric_and_the_end_of_a_trial_forgets_it() -> None:
    async with PrometheusServer(lambda query, at: 1.0) as server:
        made = world(metric({"address": server.url}))
        async with asking(made) as context:
            await context.until(lambda: reading(context))
            made.patch(
                "RLRollout",
                "cartpole",
                {"spec": {"analysis": {"metrics": [metric({"address": server.url, "query": "vector(2)"})]}}},
            )
            await context.until(lambda: "vector(2)" in reading(context).query)
            made.patch("RLRollout", "cartpole", {"status": {"candidate": None}})
            await context.until(lambda: context.fact("prometheus", "default", "cartpole") is None)


def secret(name: str, **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": encoded}


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"bearer": {"name": "who", "key": "token"}}, "Bearer opensesame"),
        ({"basic": {"name": "who"}}, "Basic " + base64.b64encode(b"belay:s3cret").decode()),
    ],
)
@pytest.mark.asyncio
async def test_who_asks_is_shown_by_a_secret_and_where_by_a_config_map(auth: dict[str, Any], header: str) -> None:
    async with PrometheusServer(lambda query, at: 1.0) as server:
        where = {"addressFrom": {"configMapKeyRef": {"name": "where", "key": "url"}}}
        made = world(metric(where | {"auth": auth}))
        made.put(secret("who", token="opensesame\n", username="belay", password="s3cret"))
        made.put(
            {"kind": "ConfigMap", "metadata": {"name": "where", "namespace": "default"}, "data": {"url": server.url}}
        )
        async with asking(made) as context:
            told = await context.until(lambda: reading(context))
    assert told.problem is None
    assert {one["Authorization"] for one in server.headers} == {header}


@pytest.mark.parametrize(
    ("source", "forbidden", "words"),
    [
        ({}, False, "no Prometheus server is named: set prometheus.address"),
        ({"auth": {"bearer": {"name": "no", "key": "token"}}}, False, "Secret default/no does not exist"),
        ({"auth": {"bearer": {"name": "who", "key": "no"}}}, False, "Secret default/who has no key no"),
        (
            {"auth": {"basic": {"name": "who"}}},
            True,
            "may not be read by the operator: list it in operator.readSecrets",
        ),
        ({"auth": {"bearer": {"name": "who", "key": "odd"}}}, False, "has characters that no header may have"),
        ({"caFrom": {"secretKeyRef": {"name": "who", "key": "token"}}}, False, "no certificates in PEM"),
    ],
)
@pytest.mark.asyncio
async def test_what_is_missing_to_ask_is_said(source: dict[str, Any], forbidden: bool, words: str) -> None:
    async with PrometheusServer(lambda query, at: 1.0) as server:
        address = {"address": server.url} if source else {}
        made = world(metric(address | source))
        made.put(secret("who", token="opensesame", odd="open\nsesame"))
        async with aiohttp.ClientSession() as http:
            context = WorldPollerContext(made, http)
            if forbidden:
                context.forbidden.add(("Secret", "default", "who"))
            running = asyncio.create_task(PrometheusSource().run(context))
            told = await context.until(lambda: reading(context))
            running.cancel()
    assert words in str(told.problem)
    assert "opensesame" not in str(told.problem)
    assert server.asked == []


@pytest.mark.asyncio
async def test_credentials_do_not_follow_a_redirect() -> None:
    async with PrometheusServer(lambda query, at: 1.0) as elsewhere:

        async def redirect(request: web.Request) -> web.Response:
            raise web.HTTPFound(f"{elsewhere.url}/api/v1/query_range?{request.query_string}")

        app = web.Application()
        app.router.add_get("/api/v1/query_range", redirect)
        async with TestServer(app, host="127.0.0.1") as server:
            made = world(
                metric(
                    {"address": f"http://127.0.0.1:{server.port}", "auth": {"bearer": {"name": "who", "key": "token"}}}
                )
            )
            made.put(secret("who", token="opensesame"))
            async with asking(made) as context:
                told = await context.until(lambda: reading(context))
    assert "302 (it sends us to" in str(told.problem)
    assert elsewhere.asked == []
