"""Scrape the serving pods of policies on trial: latency and errors for the guard rails, silence for a rollback.

Only while somebody wants to know. Each second where a guard rail watches or a rollback waits to see the traffic gone;
else every few seconds, for the observed weight. Pods are asked directly, not through the Service: each of them counts.
Each policy has a task of its own, so that pods that do not answer hold up nobody's scrape but their own policy's, and
that by no more than `ANSWER_TIME`.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Key, Settings
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.analysis.queries import limit_of
from belay_operator.rollout.facts import Reading, ServingFact
from belay_operator.rollout.sources.active import Trial, Trials
from belay_operator.rollout.sources.meter import Meter
from belay_operator.rollout.sources.pods import AT_ONCE, PLACE_TIME, PodCounter, Policy, counts_of, scrape, untold
from belay_operator.rollout.sources.source import Counter, MetricSource, Sides
from belay_operator.rollout.sources.throttle import Throttle
from belay_operator.rollout.standing import Standing

TOPIC = "serving"
FAST, SLOW = timedelta(seconds=1), timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class OfPods:
    """What an analysis asks of this source."""

    metrics: bool  # there is any: the observed weight is of use
    limits: bool  # a guard rail watches the serving pods


@dataclass(frozen=True, slots=True)
class ScrapeDemand:
    """What one rollout wants to know of a policy."""

    period: timedelta
    wake: bool  # whether each scrape is worth a pass
    candidate: bool  # the policy is on trial there, and not what it is compared with
    withdrawn: bool
    since: datetime | None = None  # status.analysisStartedAt
    weight_since: datetime | None = None  # status.weight.since
    weight_zero_at: datetime | None = None  # of the rollback


@dataclass(slots=True)
class Watched:
    """One policy that is being scraped."""

    demands: dict[Key, ScrapeDemand] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)  # do not wait for the next scrape's time
    restart: bool = False  # what was counted so far belongs to no trial there is
    task: asyncio.Task[None] | None = None

    @property
    def period(self) -> timedelta:
        """The shortest that anybody asks for."""
        return min(demand.period for demand in self.demands.values())

    @property
    def withdrawn(self) -> bool:
        """Whether some rollout waits to see this policy without traffic."""
        return any(demand.withdrawn for demand in self.demands.values())

    def ask(self, key: Key, demand: ScrapeDemand) -> None:
        """Take a rollout's demand. What begins is measured from now on, not from the end of a pause."""
        before = self.demands.get(key)
        new_trial = demand.candidate and demand.since is not None and (before is None or before.since != demand.since)
        self.restart |= new_trial
        faster = bool(self.demands) and demand.period < self.period
        turned = before is not None and (before.withdrawn, before.weight_zero_at) != (
            demand.withdrawn,
            demand.weight_zero_at,
        )
        self.demands[key] = demand
        if new_trial or faster or turned:
            self.hurry.set()


class ServingSource:
    """The MetricSource."""

    name = "serving"
    unanswerable = None

    def reading(self, metric: Metric, sides: Sides, reader: Reader, settings: Settings) -> Reading | None:
        """Return what the last scrape of the candidate's pods says."""
        fact, measure = reader.fact(TOPIC, sides.namespace, sides.candidate), metric.source.serving
        # A scrape for an earlier trial, or from before the first weight, says nothing about this one.
        if not isinstance(fact, ServingFact) or measure is None or fact.trials.get(sides.rollout) != sides.since:
            return None
        rail = limit_of(metric)
        unknown = None if rail is None else untold(rail, fact)
        return Reading(
            query=f"{measure} of the pods of {sides.candidate}",
            at=fact.at,
            counts=counts_of(rail, fact, sides.rollout) if rail is not None and unknown is None else None,
            problem=unknown or fact.problem,
        )

    def at_rest(self, context: PollerContext) -> Callable[[Standing], Counter]:
        """Return how the pods of a promoted version are asked."""
        return partial(PodCounter, context, Throttle(AT_ONCE, PLACE_TIME))

    async def run(self, context: PollerContext) -> None:
        """Scrape what is wanted, until cancelled."""
        gate, watched = Throttle(AT_ONCE, PLACE_TIME), dict[Policy, Watched]()
        with context.changes("RLRollout") as changes:
            trials = Trials(context, changes, wanted)
            async with asyncio.TaskGroup() as group:
                while True:
                    for change in trials.refresh():
                        before, after = demands_of(change.before), demands_of(change.after)
                        for policy, (key, demand) in after.items():
                            entry = watched.setdefault(policy, Watched())
                            entry.ask(key, demand)
                            if entry.task is None:
                                scraping = _keep_scraping(context, gate, policy, entry)
                                entry.task = group.create_task(scraping, name=f"scrape-{policy[1]}")
                        for policy in before.keys() - after.keys():
                            _let_go(context, watched, policy, before[policy][0])
                    await changes.wait()


def wanted(analysis: AnalysisSpec) -> OfPods:
    """Return what an analysis asks of this source."""
    limits = any(metric.limit is not None and metric.source.serving is not None for metric in analysis.metrics)
    return OfPods(metrics=bool(analysis.metrics), limits=limits)


def demands_of(trial: Trial[OfPods] | None) -> dict[Policy, tuple[Key, ScrapeDemand]]:
    """Return which policies a trial wants scraped, and how."""
    if trial is None or not (trial.rolling_back or trial.wanted.metrics):
        return {}
    fast = trial.rolling_back or trial.wanted.limits
    candidate = ScrapeDemand(
        period=FAST if fast else SLOW,
        wake=fast,
        candidate=True,
        withdrawn=trial.rolling_back,
        since=trial.since,
        weight_since=trial.weight_since,
        weight_zero_at=trial.weight_zero_at,
    )
    stable = ScrapeDemand(SLOW, wake=False, candidate=False, withdrawn=False)
    sides = [(trial.anchor, stable), (trial.stable, stable), *((name, candidate) for name in trial.on_trial)]
    return {(trial.key.namespace, name): (trial.key, demand) for name, demand in sides if name is not None}


def _let_go(context: PollerContext, watched: dict[Policy, Watched], policy: Policy, key: Key) -> None:
    entry = watched[policy]
    del entry.demands[key]
    if not entry.demands:
        del watched[policy]
        if entry.task is not None:
            entry.task.cancel()
        context.put(TOPIC, *policy, None)  # what was measured then must not be taken for now


async def _keep_scraping(context: PollerContext, gate: Throttle, policy: Policy, entry: Watched) -> None:
    """Scrape one policy until cancelled: every period, and at once when something begins."""
    loop = asyncio.get_running_loop()
    off_route: Mapping[str, datetime] = {}
    weights: Mapping[tuple[str, datetime], int] = {}  # rollout and weight, and the scrape that first knew of it
    while True:
        began = loop.time()
        # A scrape out of turn may follow the last one at any moment: it begins an interval, and ends none.
        if entry.hurry.is_set():
            entry.hurry.clear()
            entry.meter.interrupt()
        if entry.restart:
            entry.restart = False
            entry.meter.restart()
            weights = {}  # their scrapes are forgotten
        seen = dict(entry.demands)
        fact = await scrape(context, None if entry.withdrawn else gate, policy, entry.meter)
        trials = {key.name: demand.since for key, demand in seen.items() if demand.candidate and demand.since}
        known = [(key.name, demand.weight_since) for key, demand in seen.items() if demand.weight_since is not None]
        weights = {weight: weights.get(weight, fact.scrapes[-1].number) for weight in known}
        fact = replace(
            fact,
            trials=trials,
            weights={name: (since, number) for (name, since), number in weights.items()},
            off_route=off_route if fact.rate_since is not None else {},
        )
        off_route = {key.name: demand.weight_zero_at for key, demand in seen.items() if demand.weight_zero_at}
        context.put(TOPIC, *policy, fact, wake=[key for key, demand in entry.demands.items() if demand.wake])
        with suppress(TimeoutError):
            async with asyncio.timeout_at(began + entry.period.total_seconds()):
                await entry.hurry.wait()


SOURCE: MetricSource = ServingSource()
