"""Ask Prometheus servers what metrics want to know of a version: at looks that are `interval` apart and share no time.

    given traffic ├── look 1 ──┤── look 2 ──┤── look 3 ──┤ …      look n ends n intervals after analysisStartedAt

A look's number is what the query gives at the look's end, and no range in it reaches further back than its beginning:
what happened once is in one look. All sides are asked about the same instants, so they are compared concurrently. Where
the looks are is known from status alone, and the server remembers what was: after an outage, or in another process, all
looks that are missing are asked for at once, and the evidence is the same.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from belay_api.content import content_hash
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_api.rollout.sources.prometheus import PrometheusSource as Spec
from belay_api.units import format_duration
from belay_operator.engine.backoff import backoff
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Key, Settings
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.analysis.limits import Rail
from belay_operator.rollout.analysis.queries import limit_of
from belay_operator.rollout.facts import Counts, Look, PrometheusFact, Reading, Scrape
from belay_operator.rollout.histogram import EMPTY
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.active import Trial, Trials
from belay_operator.rollout.sources.prometheus_api import (
    MOST_LOOKS,
    NOTHING,
    Answer,
    Down,
    NoNumber,
    Refused,
    Servers,
    ask,
)
from belay_operator.rollout.sources.source import MetricSource, Sides

TOPIC = "prometheus"
SETTLE = timedelta(seconds=5)  # after a look's end: until then scrapes from before it may still be on their way in
CLOCK_SLACK = timedelta(seconds=2)  # a server's clock is told to the second; by more it really is behind ours
FIRST_RETRY, LAST_RETRY = timedelta(seconds=1), timedelta(seconds=15)
KEPT_LOOKS = 1000  # of a limit: further back everything is judged
NO_SHARE = (
    "the answer is no share from 0 to 1, which a limit in % is held to: divide it by 100, or write the limit without %"
)


@dataclass(frozen=True, slots=True)
class Poll:
    """One metric of a trial."""

    key: Key
    candidate: str
    stable: str | None
    anchor: str | None
    since: datetime
    metric: str
    definition: str  # hash of what it measures and is judged by


@dataclass(slots=True)
class Asking:
    """A metric that is being asked about, and what was answered."""

    poll: Poll
    metric: Metric
    spec: Spec
    rail: Rail | None  # None: it is compared
    cuts: tuple[datetime, ...]  # instants at which the weight changed: a comparison leaves out a look that spans one
    weight_since: datetime | None
    looks: list[Look] = field(default_factory=list)
    answered: int = 0  # number of the last look that was asked about
    behind: timedelta = timedelta()  # the server's clock, behind ours
    problem: str | None = None
    absence: str | None = None
    refused: bool = False
    begun: bool = False  # it was asked once, or there was nothing to ask
    task: asyncio.Task[None] | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """Who is asked about."""
        poll = self.poll
        if self.rail is not None:
            return (poll.candidate,)
        return tuple(name for name in (poll.candidate, poll.stable, poll.anchor) if name is not None)

    def end(self, number: int) -> datetime:
        """When a look ends."""
        return self.poll.since + number * self.spec.interval

    def over(self, now: datetime) -> int:
        """Return the number of the last look that is over and settled; 0: none is."""
        passed: timedelta = now - self.behind - SETTLE - self.poll.since
        return max(passed // self.spec.interval, 0)

    def query(self, version: str) -> str:
        """Return what is asked about a version."""
        poll = self.poll
        return self.spec.asked(
            version=version,
            candidate=poll.candidate,
            stable=poll.stable,
            namespace=poll.key.namespace,
            rollout=poll.key.name,
        )


class PrometheusSource:
    """The MetricSource."""

    name = "prometheus"

    def reading(self, metric: Metric, sides: Sides, reader: Reader, settings: Settings) -> Reading | None:
        """Return what the metric's query last gave in this trial."""
        fact = reader.fact(TOPIC, sides.namespace, sides.rollout)
        trial = (sides.candidate, sides.stable, sides.since)
        if not isinstance(fact, PrometheusFact) or (fact.candidate, fact.stable, fact.since) != trial:
            return None
        definition, reading = fact.readings.get(metric.name, (None, None))
        return reading if definition == definition_of(metric) else None

    async def run(self, context: PollerContext) -> None:
        """Keep one task per metric that some trial wants to know of."""
        servers, asked = Servers(context), dict[Poll, Asking]()
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


def askings_of(trial: Trial[tuple[Metric, ...]] | None) -> dict[Poll, Asking]:
    """Return what to ask for a trial."""
    if trial is None or trial.since is None or trial.rolling_back or trial.arms:  # see rollout/experiment.py
        return {}
    found = {}
    for metric in trial.wanted:
        spec = metric.source.prometheus
        if spec is None or (trial.stable is None and metric.needs_stable):
            continue
        anchor = trial.anchor if metric.compare is not None else None
        poll = Poll(trial.key, trial.candidate, trial.stable, anchor, trial.since, metric.name, definition_of(metric))
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
            problem = await _catch_up(context, servers, asking, over)
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


async def _catch_up(context: PollerContext, servers: Servers, asking: Asking, over: int) -> str | None:
    """Ask about all looks up to that one; return why nobody answered, or None."""
    if asking.rail is not None:
        asking.answered = max(asking.answered, over - KEPT_LOOKS)
    while asking.answered < over:
        count = min(over - asking.answered, MOST_LOOKS)
        began = context.now()
        try:
            server = await servers.of(asking.spec, asking.poll.key.namespace)
            answers = await asyncio.gather(
                *(
                    ask(
                        context.http,
                        server,
                        asking.query(version),
                        first=asking.end(asking.answered + 1),
                        step=asking.spec.interval,
                        count=count,
                        within=asking.spec.timeout,
                    )
                    for version in asking.versions
                )
            )
        except Down as error:
            return str(error)
        except Refused as error:
            # Looks that nobody can say anything of are over all the same: one of them must not spoil those to come.
            asking.absence, asking.refused = str(error), True
            _add(asking, [{} for _ in range(count)])
            continue
        clocks = [answer.clock for answer in answers if answer.clock is not None]
        behind = max((began - clock for clock in clocks), default=timedelta())
        asking.behind = behind if behind > CLOCK_SLACK else timedelta()
        # What is not over by the server's own clock it cannot have told all of.
        count = min(count, max(asking.over(began) - asking.answered, 0))
        if count == 0:
            break
        asking.absence, asking.refused = _absence(asking, answers, count - 1)
        _add(asking, [_told(asking.versions, answers, place) for place in range(count)])
    return None


def _told(versions: Sequence[str], answers: Sequence[Answer], place: int) -> dict[str, float]:
    told = {version: answer.values.get(place) for version, answer in zip(versions, answers, strict=True)}
    return {version: value for version, value in told.items() if isinstance(value, float)}


def _absence(asking: Asking, answers: Sequence[Answer], place: int) -> tuple[str | None, bool]:
    """Why the last look lacks a number, and whether that is for a change of the query to mend."""
    for version, answer in zip(asking.versions, answers, strict=True):
        value = answer.values.get(place, NOTHING)
        if isinstance(value, NoNumber):
            return f"{version}: {value.words}", value.refused
        if asking.rail is not None and asking.rail.beyond(value) is None:
            return f"{version}: {NO_SHARE}", True
    return None, False


def _add(asking: Asking, told: Iterable[Mapping[str, float]]) -> None:
    for values in told:
        asking.answered += 1
        asking.looks.append(Look(asking.answered, asking.end(asking.answered - 1), values))
    if asking.rail is not None:
        del asking.looks[:-KEPT_LOOKS]


def reading_of(asking: Asking, at: datetime) -> Reading:
    """Return what was answered, in the form in which it is judged."""
    return Reading(
        query=f"prometheus, every {format_duration(asking.spec.interval)}: {asking.query(asking.poll.candidate)}",
        at=at,
        counts=_counts(asking, asking.rail) if asking.rail is not None else None,
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


def _counts(asking: Asking, rail: Rail) -> Counts:
    """What a limit is judged by: each look with a number is one, and how much of it lies beyond."""
    interval_s, since = asking.spec.interval.total_seconds(), asking.poll.since
    number = asking.looks[0].number - 1 if asking.looks else asking.answered
    requests = errors = quiet_s = 0.0
    scrapes = [Scrape(number, number * interval_s, 0.0, requests, errors, EMPTY)]
    for look in asking.looks:
        value = look.values.get(asking.poll.candidate)
        beyond = None if value is None else rail.beyond(value)
        if beyond is None:
            quiet_s += interval_s
        else:
            requests, errors, quiet_s = requests + 1, errors + beyond, 0.0
        scrapes.append(Scrape(look.number, look.number * interval_s, quiet_s, requests, errors, EMPTY))
    weight_since = asking.weight_since
    return Counts(
        began=since,
        scrapes=tuple(scrapes),
        of=lambda scrape: (scrape.requests, scrape.errors),
        weight_since=weight_since,
        weight_from=0 if weight_since is None else max(ceil((weight_since - since) / asking.spec.interval), 0),
    )


def _publish(context: PollerContext, asking: Asking) -> None:
    """Put one metric's answer beside the rollout's others of the same trial, and wake the rollout."""
    poll = asking.poll
    key = poll.key
    before = context.fact(TOPIC, key.namespace, key.name)
    same = isinstance(before, PrometheusFact) and (before.candidate, before.stable, before.since) == (
        poll.candidate,
        poll.stable,
        poll.since,
    )
    readings: Mapping[str, tuple[str, Reading]] = {
        **(before.readings if before is not None and same else {}),
        poll.metric: (poll.definition, reading_of(asking, instant(context.now()))),
    }
    fact = PrometheusFact(poll.candidate, poll.stable, poll.since, readings)
    context.put(TOPIC, key.namespace, key.name, fact, wake=(key,))


SOURCE: MetricSource = PrometheusSource()
