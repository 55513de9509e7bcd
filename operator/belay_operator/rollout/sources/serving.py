"""Scrape the serving pods of policies on trial: latency and errors for the guard rails, silence for a rollback.

Only while somebody wants to know. Each second where a guard rail watches or a rollback waits to see the traffic gone;
else every few seconds, for the observed weight. Pods are asked directly, not through the Service: each of them counts.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp

from belay_api.names import METRICS_PORT, POLICY_LABEL
from belay_api.rollout import Metric, ServingMeasure
from belay_api.units import format_duration
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Key, Settings
from belay_operator.engine.source import Desk
from belay_operator.rollout.facts import MIN_REQUESTS, WINDOW, Reading, ServingFact
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.active import trials
from belay_operator.rollout.sources.meter import Answer, Meter, parse
from belay_operator.rollout.sources.source import MetricSource, Sides

TOPIC = "serving"
FAST, SLOW = timedelta(seconds=1), timedelta(seconds=5)
ANSWER_TIME = timedelta(milliseconds=800)  # below FAST, so that a dead pod does not delay the next scrape
EARLY = 0.05  # seconds; a sleep may end a little before its time, and waiting a whole round for it would be late
AT_ONCE = 64  # scrapes under way

TOO_FEW_REQUESTS = f"fewer than {MIN_REQUESTS} requests at the candidate in {format_duration(WINDOW)}"

Policy = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True)
class _Watched:
    """One policy that is being scraped."""

    period: timedelta
    wake: set[Key] = field(default_factory=set)
    meter: Meter = field(default_factory=Meter)
    due: float = 0.0  # event loop time of the next scrape


class ServingSource:
    """The MetricSource."""

    name = "serving"

    def reading(self, metric: Metric, sides: Sides, reader: Reader, settings: Settings) -> Reading | None:
        """Return what the last scrape of the candidate's pods says."""
        fact, measure = reader.fact(TOPIC, sides.namespace, sides.candidate), metric.source.serving
        # A scrape for an earlier trial, or from before the first weight, says nothing about this one.
        if not isinstance(fact, ServingFact) or measure is None or fact.trial_since != sides.since:
            return None
        return Reading(
            query=f"{measure} of the pods of {sides.candidate}",
            at=fact.at,
            value=fact.latency_p99 if measure is ServingMeasure.LATENCY_P99 else fact.error_rate,
            problem=fact.problem,
            nothing=TOO_FEW_REQUESTS,
            since=fact.weight_since,
        )

    async def run(self, desk: Desk) -> None:
        """Scrape what is wanted, until cancelled."""
        loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
        watched: dict[Policy, _Watched] = {}
        while True:
            began = loop.time()
            wanted = _wanted(desk)
            for policy in watched.keys() - wanted.keys():
                del watched[policy]
                desk.put(TOPIC, *policy, None)  # what was measured then must not be taken for now
            for policy, fresh in wanted.items():
                known = watched.setdefault(policy, fresh)
                if fresh.period < known.period:
                    known.due = began
                known.period, known.wake = fresh.period, fresh.wake
            due = [(policy, entry) for policy, entry in watched.items() if entry.due <= began + EARLY]
            for _, entry in due:
                entry.due = began + entry.period.total_seconds()
            await asyncio.gather(*(_scrape(desk, gate, policy, entry) for policy, entry in due))
            rest = max(FAST.total_seconds() - (loop.time() - began), 0.05)
            # A rollback that begins is scraped at once, not at the end of a pause.
            await (asyncio.sleep(rest) if watched else desk.changed("RLRollout", FAST.total_seconds()))


def _wanted(desk: Desk) -> dict[Policy, _Watched]:
    """Which policies to scrape, how often, and whom the result concerns."""
    wanted: dict[Policy, _Watched] = {}
    for trial in trials(desk.all("RLRollout")):
        if not trial.rolling_back and not trial.analysis.metrics:
            continue
        fast = trial.rolling_back or trial.has_limits
        sides = [(trial.candidate, fast)] + ([(trial.stable, False)] if trial.stable else [])
        for name, hurry in sides:
            entry = wanted.setdefault((trial.key.namespace, name), _Watched(SLOW))
            if hurry:
                entry.period = FAST
                entry.wake.add(trial.key)
    return wanted


async def _scrape(desk: Desk, gate: asyncio.Semaphore, policy: Policy, entry: _Watched) -> None:
    namespace, name = policy
    pods = [pod for pod in desk.labelled("Pod", namespace, POLICY_LABEL, name) if _alive(pod)]
    # Counters are read after this instant, so an interval that begins here holds nothing from before it.
    began = instant(desk.now())
    answers = await asyncio.gather(*(_ask(desk, gate, pod, name) for pod in pods))
    fact = entry.meter.add(began, answers)
    desk.put(TOPIC, namespace, name, fact, wake=entry.wake)


async def _ask(desk: Desk, gate: asyncio.Semaphore, pod: Mapping[str, Any], policy: str) -> Answer:
    """Return one pod's counters, or why there are none."""
    meta, uid = pod["metadata"], pod["metadata"]["uid"]
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        return Answer(uid, None)
    host = f"[{address}]" if ":" in address else address
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIME.total_seconds())
    try:
        async with gate, desk.http.get(f"http://{host}:{METRICS_PORT}/metrics", timeout=timeout) as answer:
            answer.raise_for_status()
            return Answer(uid, parse(await answer.text(), policy))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # Nobody expects an answer of a pod that is starting, or that has gone since.
        now = desk.get("Pod", meta["namespace"], meta["name"])
        expected = now is not None and now["metadata"]["uid"] == uid and _ready(now)
        problem = f"pod {meta['name']} does not answer on port {METRICS_PORT} ({type(error).__name__})"
        return Answer(uid, None, problem if expected else None)


def _alive(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _ready(pod: Mapping[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions: Iterable[Mapping[str, Any]] = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


SOURCE: MetricSource = ServingSource()
