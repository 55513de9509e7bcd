"""Ask a policy's serving pods what they have counted, and read of it what a limit asks."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from math import inf
from typing import Any

import aiohttp

from belay_api.names import METRICS_PORT, POLICY_LABEL
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.analysis.limits import Rail
from belay_operator.rollout.facts import Counts, Scrape, ServingFact
from belay_operator.rollout.histogram import EMPTY
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.meter import Meter, PodScrape, parse
from belay_operator.rollout.sources.throttle import Throttle
from belay_operator.rollout.standing import Standing, StandingLimit

ANSWER_TIME = timedelta(milliseconds=800)  # below a second, so that a dead pod does not delay the next scrape
AT_ONCE = 64  # pods whose answers we work on
PLACE_TIME = timedelta(milliseconds=50)  # several times what a pod that lives takes to answer

Policy = tuple[str, str]
"""Namespace and name."""


class PodCounter:
    """The Counter: what the pods of a promoted version have counted."""

    def __init__(self, context: PollerContext, gate: Throttle, asked: Standing) -> None:
        self._context, self._gate, self._policy = context, gate, (asked.key.namespace, asked.policy)
        self._meter = Meter()
        self._fact: ServingFact | None = None

    async def count(self) -> None:
        """Scrape all of them."""
        self._fact = await scrape(self._context, self._gate, self._policy, self._meter)

    def counts(self, limit: StandingLimit) -> Counts | None:
        """Return the requests and those beyond the limit."""
        fact = self._fact
        return None if fact is None or untold(limit.rail, fact) is not None else counts_of(limit.rail, fact, "")

    def problem(self, limit: StandingLimit) -> str | None:
        """Return which pod does not answer, or why what pods count is too little."""
        return None if self._fact is None else untold(limit.rail, self._fact) or self._fact.problem


async def scrape(context: PollerContext, gate: Throttle | None, policy: Policy, meter: Meter) -> ServingFact:
    """Ask all pods of a policy at once; None: through no gate."""
    namespace, name = policy
    pods = [pod for pod in context.labelled("Pod", namespace, POLICY_LABEL, name) if _alive(pod)]
    # Counters are read after this instant, so an interval that begins here holds nothing from before it.
    began = instant(context.now())
    places = (nullcontext() if gate is None else gate.place() for _ in pods)
    scrapes = [_ask(context, place, pod, name) for place, pod in zip(places, pods, strict=True)]
    return meter.add(began, await asyncio.gather(*scrapes))


async def _ask(
    context: PollerContext, place: AbstractAsyncContextManager[None], pod: Mapping[str, Any], policy: str
) -> PodScrape:
    """Return one pod's counters, or why there are none."""
    meta, uid = pod["metadata"], pod["metadata"]["uid"]
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        return PodScrape(uid, None)
    host = f"[{address}]" if ":" in address else address
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIME.total_seconds())
    try:
        async with place, context.http.get(f"http://{host}:{METRICS_PORT}/metrics", timeout=timeout) as answer:
            answer.raise_for_status()
            return PodScrape(uid, parse(await answer.text(), policy))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # Nobody expects an answer of a pod that is starting, or that has gone since.
        now = context.get("Pod", meta["namespace"], meta["name"])
        expected = now is not None and now["metadata"]["uid"] == uid and _ready(now)
        problem = f"pod {meta['name']} does not answer on port {METRICS_PORT} ({type(error).__name__})"
        return PodScrape(uid, None, problem if expected else None)


def _alive(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _ready(pod: Mapping[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions: Iterable[Mapping[str, Any]] = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def counts_of(rail: Rail, fact: ServingFact, rollout: str) -> Counts | None:
    """Return what a limit asks of the pods' counters; None: there is no scrape yet."""
    if fact.counting is None:
        return None
    weight_since, weight_from = fact.weights.get(rollout, (None, 0))
    longest_s = rail.longest_s

    def of(scrape: Scrape) -> tuple[float, float]:
        if longest_s is None:
            return scrape.requests, scrape.errors
        return scrape.latencies.total, scrape.latencies.beyond(longest_s)

    return Counts(
        began=fact.counting,
        scrapes=fact.scrapes,
        of=of,
        bound_s=None if longest_s is None else fact.scrapes[-1].latencies.certain(longest_s),
        weight_since=weight_since,
        weight_from=weight_from,
    )


def untold(rail: Rail, fact: ServingFact) -> str | None:
    """Why the pods' counters cannot tell what lies beyond a limit; None: they can, or no pod was asked yet."""
    latencies = fact.scrapes[-1].latencies if fact.scrapes else EMPTY
    if rail.longest_s is None or not latencies.bounds or latencies.certain(rail.longest_s) < inf:
        return None
    return f"the pods' histogram of latencies ends below {rail.longest_s:g} s: nobody knows what takes longer"
