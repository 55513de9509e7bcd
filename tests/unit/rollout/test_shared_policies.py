"""Two rollouts share stable and candidate, users come to one: the other must not learn anything from them. And of users
who come back, each is one.

What carries the evidence is real: the router's HTTPRoute, the handler's server, the client, a logbook process and the
poller. Only Envoy is played here, by the rules of the HTTPRoute it would be given.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
import pytest
from tests.unit.handler.artifacts import CARTPOLE, manifest, outputs
from tests.unit.handler.web import Request, Response, serving
from tests.unit.logbook.support import MASTER, Process, new_namespace
from tests.unit.rollout.poller_context import WorldPollerContext
from tests.unit.rollout.stage import SPEC
from tests.world import World, belay_object

from belay_api.names import MODEL_NAME
from belay_api.receipts import namespace_key
from belay_api.rollout.traffic import GatewayTraffic
from belay_api.units import format_instant
from belay_api.users import number_of
from belay_client import ApiKey, Client
from belay_handler.acting import Actor
from belay_handler.requests import Reader
from belay_handler.server import Ask, Server
from belay_handler.starts import StartReporter
from belay_operator.children import Owner
from belay_operator.rollout.sources.logbook import LogbookSource
from belay_operator.rollout.traffic.gateway_api import GatewayRouter
from belay_operator.rollout.traffic.router import Intent, TrafficView, Users

SHARES = {"stable": 50.0, "candidate": 50.0}
AGO = timedelta(seconds=30)  # the pods' clocks are behind by this, so that episodes are past grace when they end
LEFT = [1.0, 0.0, 0.0, 0.0]
PINNED = tuple((policy, policy) for policy in SHARES)
INTENT = Intent(shares=tuple(SHARES.items()), pinned=PINNED)


@contextmanager
def pod(policy: str, namespace: str, logbook: Process, folder: Path) -> Iterator[str]:
    """A serving pod: the handler's server, and its reporter of starts."""
    reporter = StartReporter(logbook.url, namespace, folder / "no-token", period_s=0.02)
    reporter.start()
    server = Server(
        policy=policy,
        namespace=namespace,
        actor=Actor(manifest(), outputs, np.random.default_rng(0)),
        reader=Reader(CARTPOLE, stochastic=True),
        receipt_key=namespace_key(MASTER, namespace),
        on_start=reporter.add,
    )

    def answer(request: Request) -> Response:
        read = {"rollout": "rollout", "user": "user", "tens": "user-tens", "ones": "user-ones"}
        headers = {field: request.headers.get(f"x-belay-{name}") for field, name in read.items()}
        ask = Ask(request.body, **{field: value.encode() for field, value in headers.items() if value is not None})
        [answer] = server.answer([ask], datetime.now(UTC) - AGO)
        headers = {"content-type": "application/json", "x-belay-policy": policy}
        return Response(answer.status, answer.body, headers | {"x-belay-receipt": answer.receipt or ""})

    with serving(answer) as url:
        yield f"{url}/predictions/{MODEL_NAME}"
    reporter.close()


def gateway(rollouts: list[str], pods: Mapping[str, str], intent: Intent = INTENT) -> Callable[[Request], Response]:
    """Route requests as the HTTPRoutes of the rollouts say; the weights take turns."""
    traffic = GatewayTraffic.model_validate({"parentRefs": [{"name": "gw"}]})
    owners = [Owner("RLRollout", "default", name, f"uid-{name}", 1) for name in rollouts]
    rules: list[Any] = []
    for owner in owners:
        (route,) = GatewayRouter(traffic, owner, {}).objects(intent, TrafficView())
        rules += route["spec"]["rules"]
    turns = iter(range(1_000_000))

    def matches(match: Mapping[str, Any], request: Request) -> bool:
        headers = match.get("headers", [])
        return match["path"]["value"] == request.path and all(
            request.headers.get(header["name"]) == header["value"] for header in headers
        )

    def answer(request: Request) -> Response:
        found = [
            (len(match.get("headers", [])), -place)
            for place, rule in enumerate(rules)
            for match in rule["matches"]
            if matches(match, request)
        ]
        rule = rules[-max(found)[1]]
        headers = dict(request.headers)
        for filter_ in rule["filters"]:
            for header in filter_.get("requestHeaderModifier", {}).get("set", []):
                headers[header["name"].lower()] = header["value"]
        backends = rule["backendRefs"]
        url = pods[backends[next(turns) % len(backends)]["name"]]
        came = httpx.post(url, content=request.body, headers=headers)
        kept = {name: came.headers[name] for name in ("content-type", "x-belay-policy", "x-belay-receipt")}
        return Response(came.status_code, came.content, kept)

    return answer


def on_trial(namespace: str, *rollouts: str) -> World:
    since = format_instant(datetime.now(UTC) - timedelta(minutes=5))
    sides = {side: {"policy": side, "digest": side, "since": since} for side in SHARES}
    status = sides | {"weight": {"desired": 50, "applied": 50}, "analysisStartedAt": since}
    made = [belay_object("RLRollout", name, SPEC, status=status) for name in rollouts]
    for rollout in made:
        rollout["metadata"]["namespace"] = namespace
    return World(made)


def play(url: str, episodes: int, *, logbook: Process, namespace: str) -> None:
    told = {"logbook_url": logbook.url, "logbook_namespace": namespace, "credentials": ApiKey("any")}
    with Client(url, fallback_action=0, timeout_s=20.0, **told) as client:
        for _ in range(episodes):
            with client.episode() as episode:
                for _ in range(3):
                    episode.act(LEFT)
                episode.report(return_=3.0)
        assert client.flush(30)
        assert (client.outbox.taken, list(client.outbox.refused)) == (episodes, [])


def evidence(context: WorldPollerContext, namespace: str, rollout: str) -> dict[str, int] | None:
    """Episodes by side, as the poller hands them to the rollout's decisions; None: not asked yet."""
    fact = context.fact("statistics", namespace, rollout)
    outcome = fact and fact.outcomes.get("return")
    if not outcome or outcome.windows is None:
        return None
    return {side.version: sum(w.count + w.missing for w in side.windows) for side in outcome.windows.versions}


@pytest.mark.asyncio
async def test_the_users_of_one_rollout_are_no_evidence_for_another_of_the_same_policies(tmp_path: Path) -> None:
    namespace = new_namespace()
    with ExitStack() as stack:
        logbook = Process(tmp_path).start()
        stack.callback(logbook.stop)
        pods = {policy: stack.enter_context(pod(policy, namespace, logbook, tmp_path)) for policy in SHARES}
        url = stack.enter_context(serving(gateway(["shop", "search"], pods)))
        async with aiohttp.ClientSession() as http:
            context = WorldPollerContext(on_trial(namespace, "shop", "search"), http, logbook_url=logbook.url)
            running = asyncio.create_task(LogbookSource().run(context))
            try:
                await asyncio.to_thread(play, f"{url}/predictions/shop", 8, logbook=logbook, namespace=namespace)
                eight = {"candidate": 4, "stable": 4}
                await context.until(lambda: evidence(context, namespace, "shop") == eight, within_s=20)
                await context.until(lambda: evidence(context, namespace, "search") is not None)
                assert evidence(context, namespace, "search") == {"candidate": 0, "stable": 0}

                # A client that claims to be another rollout's is still whose route it came through.
                search = f"{url}/predictions/search"
                await asyncio.to_thread(ask, search, "liar", headers={"x-belay-rollout": "shop"})
                await context.until(
                    lambda: sum((evidence(context, namespace, "search") or {}).values()) == 1, within_s=20
                )
                assert evidence(context, namespace, "shop") == eight

                # Past every route: nobody's evidence, but there for whoever asks for all of a version.
                await asyncio.to_thread(ask, pods["candidate"], "direct")
                assert await asyncio.to_thread(wait_for, 10, logbook=logbook, namespace=namespace)
                counted = [episodes(logbook, namespace, rollout=name) for name in ("shop", "search")]
                assert counted == [8, 1]
            finally:
                running.cancel()


@pytest.mark.asyncio
async def test_users_who_come_back_count_once_on_the_side_that_has_them(tmp_path: Path) -> None:
    namespace, keys = new_namespace(), [f"user-{number}" for number in range(30)]
    having = {"2", "5", "7"}
    users = Users(tuple((ten, None) for ten in sorted(having)), (("candidate", 100.0),))
    intent = Intent(shares=(("stable", 100.0),), pinned=PINNED, users=users)
    with ExitStack() as stack:
        logbook = Process(tmp_path).start()
        stack.callback(logbook.stop)
        pods = {policy: stack.enter_context(pod(policy, namespace, logbook, tmp_path)) for policy in SHARES}
        url = stack.enter_context(serving(gateway(["shop"], pods, intent)))
        world = on_trial(namespace, "shop")
        world.objects["RLRollout", namespace, "shop"]["spec"]["traffic"]["gatewayAPI"]["assignment"] = "User"
        async with aiohttp.ClientSession() as http:
            context = WorldPollerContext(world, http, logbook_url=logbook.url)
            running = asyncio.create_task(LogbookSource().run(context))
            try:
                served = await asyncio.to_thread(
                    come_back, f"{url}/predictions/shop", keys, logbook=logbook, namespace=namespace
                )
                sides = {key: "candidate" if str(number_of(key))[-2] in having else "stable" for key in keys}
                assert served == {key: {side} for key, side in sides.items()} | {None: {"stable"}}
                once = {side: list(sides.values()).count(side) for side in SHARES}
                await context.until(lambda: evidence(context, namespace, "shop") == once, within_s=20)
                assert await asyncio.to_thread(wait_for, 3 * len(keys) + 3, logbook=logbook, namespace=namespace)
                assert evidence(context, namespace, "shop") == once
            finally:
                running.cancel()


def come_back(url: str, keys: list[str], *, logbook: Process, namespace: str) -> dict[str | None, set[str | None]]:
    """Play three episodes of each user, and of nobody; return who answered whom."""
    told = {"logbook_url": logbook.url, "logbook_namespace": namespace, "credentials": ApiKey("any")}
    served: dict[str | None, set[str | None]] = {}
    with Client(url, fallback_action=0, timeout_s=20.0, **told) as client:
        for key in [*keys, None] * 3:
            with client.episode(user=key) as episode:
                for _ in range(2):
                    served.setdefault(key, set()).add(episode.act(LEFT).policy)
                episode.report(return_=3.0)
        assert client.flush(30)
    return served


def ask(url: str, episode: str, *, headers: Mapping[str, str] | None = None) -> None:
    """Begin an episode that nobody will report on."""
    httpx.post(url, json={"observation": LEFT, "episode": episode, "step": 0}, headers=headers).raise_for_status()


def episodes(logbook: Process, namespace: str, **query: str) -> int:
    """Episodes of both policies that the logbook counts or misses."""
    with logbook.client(namespace) as client:
        answer = client.get("/statistics", params={"versions": ",".join(SHARES), "grace": "1", **query})
    versions = answer.raise_for_status().json()["versions"]
    return sum(window["count"] + window["missing"] for version in versions for window in version["windows"])


def wait_for(count: int, *, logbook: Process, namespace: str) -> bool:
    """Wait until the logbook has that many, whichever rollout's: pods tell of starts a moment later."""
    until = time.monotonic() + 20
    while (found := episodes(logbook, namespace)) < count and time.monotonic() < until:
        time.sleep(0.05)
    return found == count
