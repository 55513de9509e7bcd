"""Ask Prometheus servers what metrics want to know of a version on trial.

    given traffic ├── look 1 ──┤── look 2 ──┤── look 3 ──┤ …      `since` is analysisStartedAt

All sides are asked about the same instants, so they are compared concurrently. Where the looks are is known from status
alone: in another process, too, all that are missing are asked for at once, and the evidence is the same (`looks.py`).
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from math import ceil

from belay_api.content import content_hash
from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_api.units import format_duration
from belay_operator.engine.backoff import backoff
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Settings
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.analysis.queries import limit_of
from belay_operator.rollout.facts import Look, PrometheusFact, Reading
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.active import Trial, Trials
from belay_operator.rollout.sources.looks import SETTLE, Asking, MetricPoll, QueryCounter, catch_up, counts_of
from belay_operator.rollout.sources.prometheus_api import Servers
from belay_operator.rollout.sources.source import Counter, MetricSource, Sides, Unanswerable
from belay_operator.rollout.standing import Standing

TOPIC = "prometheus"
FIRST_RETRY, LAST_RETRY = timedelta(seconds=1), timedelta(seconds=15)


class PrometheusSource:
    """The MetricSource."""

    name = "prometheus"
    unanswerable = Unanswerable(
        "QueryRefused",
        RolloutReason.QUERY_REFUSED,
        EventReason.QUERY_REFUSED,
        advice=". Correct the query in spec.analysis",
    )

    def reading(self, metric: Metric, sides: Sides, reader: Reader, settings: Settings) -> Reading | None:
        """Return what the metric's query last gave in this trial."""
        fact = reader.fact(TOPIC, sides.namespace, sides.rollout)
        if not isinstance(fact, PrometheusFact) or (fact.stable, fact.since) != (sides.stable, sides.since):
            return None
        definition, reading = fact.versions.get(sides.candidate, {}).get(metric.name, (None, None))
        return reading if definition == definition_of(metric) else None

    def at_rest(self, context: PollerContext) -> Callable[[Standing], Counter]:
        """Return how servers are asked of a promoted version."""
        return partial(QueryCounter, context, Servers(context))

    async def run(self, context: PollerContext) -> None:
        """Keep one task per metric that some trial wants to know of."""
        servers, asked = Servers(context), dict[MetricPoll, Asking]()
        with context.changes("RLRollout") as changes:
            trials = Trials(context, changes, wanted)
            async with asyncio.TaskGroup() as group:
                while True:
                    for change in trials.refresh():
                        before, after = askings_of(change.before), askings_of(change.after)
                        for poll in before.keys() - after.keys():
                            gone = asked.pop(poll).task
                            if gone is not None:
                                gone.cancel()
                        for poll, asking in after.items():
                            if poll in asked:
                                _update(context, asked[poll], asking)
                                continue
                            asked[poll] = asking
                            name = f"prometheus-{poll.key.name}"
                            asking.task = group.create_task(_keep_asking(context, servers, asking), name=name)
                        if change.before is not None and before and not after:
                            key = change.before.key
                            context.put(TOPIC, key.namespace, key.name, None)
                    await changes.wait()


def wanted(analysis: AnalysisSpec) -> tuple[Metric, ...]:
    """Return what an analysis asks of this source."""
    return tuple(metric for metric in analysis.metrics if metric.source.prometheus is not None)


def definition_of(metric: Metric) -> str:
    """Return what tells a metric's answers from those to what it was before an edit."""
    return content_hash(metric.judged_by())


def askings_of(trial: Trial[tuple[Metric, ...]] | None) -> dict[MetricPoll, Asking]:
    """Return what to ask for a trial."""
    if trial is None or trial.since is None or trial.rolling_back:
        return {}
    found = {}
    for metric, version in product(trial.wanted, trial.on_trial):
        spec = metric.source.prometheus
        if spec is None or (trial.stable is None and metric.needs_stable):
            continue
        anchor = trial.anchor if metric.compare is not None else None
        poll = MetricPoll(trial.key, version, trial.stable, anchor, trial.since, metric.name, definition_of(metric))
        found[poll] = Asking(poll, metric, spec, limit_of(metric), trial.weight_changes, trial.weight_since)
    return found


def _update(context: PollerContext, asking: Asking, now: Asking) -> None:
    """Take over a changed weight: the same looks count for another one."""
    if (asking.cuts, asking.weight_since) != (now.cuts, now.weight_since):
        asking.cuts, asking.weight_since = now.cuts, now.weight_since
        if asking.begun:
            _publish(context, asking)


async def _keep_asking(context: PollerContext, servers: Servers, asking: Asking) -> None:
    """Ask about each look once it is over, until cancelled."""
    rng = random.Random()  # spreads retries, decides nothing
    failures = 0
    while True:
        over = asking.over(context.now())
        if over > asking.answered:
            problem = await catch_up(context, servers, asking, over)
            if asking.problem != problem or problem is None:
                asking.problem, asking.begun = problem, True
                _publish(context, asking)
            failures = failures + 1 if problem is not None else 0
            if problem is not None:
                await asyncio.sleep(backoff(failures, rng, first=FIRST_RETRY, longest=LAST_RETRY).total_seconds())
                continue
        elif not asking.begun:  # the evidence begins with nothing, before there is something
            asking.begun = True
            _publish(context, asking)
        due = asking.end(asking.answered + 1) + SETTLE + asking.behind
        await asyncio.sleep(max((due - context.now()).total_seconds(), 0.05))


def reading_of(asking: Asking, at: datetime) -> Reading:
    """Return what was answered, in the form in which it is judged."""
    return Reading(
        query=f"prometheus, every {format_duration(asking.spec.interval)}: {asking.query(asking.poll.candidate)}",
        at=at,
        counts=counts_of(asking, asking.rail) if asking.rail is not None else None,
        looks=_uncut(asking) if asking.rail is None else None,
        problem=asking.problem,
        absence=asking.absence,
        refused=asking.refused,
    )


def _uncut(asking: Asking) -> tuple[Look, ...]:
    """The looks that lie within one weight."""
    interval = asking.spec.interval
    spanned = {
        ceil((cut - asking.poll.since) / interval) for cut in asking.cuts if (cut - asking.poll.since) % interval
    }
    return tuple(look for look in asking.looks if look.number not in spanned)


def _publish(context: PollerContext, asking: Asking) -> None:
    """Put one metric's answer beside the rollout's others of the same trial, and wake the rollout."""
    poll = asking.poll
    key = poll.key
    before = context.fact(TOPIC, key.namespace, key.name)
    same = isinstance(before, PrometheusFact) and (before.stable, before.since) == (poll.stable, poll.since)
    others: Mapping[str, Mapping[str, tuple[str, Reading]]] = before.versions if before is not None and same else {}
    own = {**others.get(poll.candidate, {}), poll.metric: (poll.definition, reading_of(asking, instant(context.now())))}
    fact = PrometheusFact(poll.stable, poll.since, {**others, poll.candidate: own})
    context.put(TOPIC, key.namespace, key.name, fact, wake=(key,))


SOURCE: MetricSource = PrometheusSource()
