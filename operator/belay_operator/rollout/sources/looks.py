"""One query of one version or of two, asked about looks that are `interval` apart and share no time.

    from `since` on ├── look 1 ──┤── look 2 ──┤── look 3 ──┤ …      look n ends n intervals after it

A look's number is what the query gives at the look's end, and no range in it reaches further back than its beginning:
what happened once is in one look. The server remembers what was: after an outage all looks that are missing are asked
for at once, and the evidence is the same.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from belay_api.rollout.metric import Metric
from belay_api.rollout.sources.prometheus import PrometheusSource as Spec
from belay_operator.engine.plan import Key
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.analysis.limits import Rail
from belay_operator.rollout.facts import Counts, Look, Scrape
from belay_operator.rollout.histogram import EMPTY
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.prometheus_api import (
    MOST_LOOKS,
    NOTHING,
    NoNumber,
    QueryRefused,
    ServerDown,
    Servers,
    TimedValues,
    ask,
)
from belay_operator.rollout.standing import BLOCK, Standing, StandingLimit

SETTLE = timedelta(seconds=5)  # after a look's end: until then scrapes from before it may still be on their way in
CLOCK_SLACK = timedelta(seconds=2)  # a server's clock is told to the second; by more it really is behind ours
KEPT_LOOKS = 1000  # of a limit: further back everything is judged
NO_SHARE = (
    "the answer is no share from 0 to 1, which a limit in % is held to: divide it by 100, or write the limit without %"
)


@dataclass(frozen=True, slots=True)
class MetricPoll:
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

    poll: MetricPoll
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


class QueryCounter:
    """The Counter: what queries give of a promoted version, at looks that are a minute apart or more."""

    def __init__(self, context: PollerContext, servers: Servers, asked: Standing) -> None:
        self._context, self._servers, self._since = context, servers, instant(context.now())
        self._askings = {limit: asking for limit in asked.limits if (asking := self._asking(asked, limit)) is not None}

    async def count(self) -> None:
        """Ask about the looks that are over."""
        await asyncio.gather(*(self._ask(limit, asking) for limit, asking in self._askings.items()))

    def counts(self, limit: StandingLimit) -> Counts | None:
        """Return the looks and how much of them lies beyond the limit."""
        return counts_of(self._askings[limit], limit.rail)

    def problem(self, limit: StandingLimit) -> str | None:
        """Return why the server does not answer, or its words where it refuses the query."""
        asking = self._askings[limit]
        return asking.problem or (asking.absence if asking.refused else None)

    def _asking(self, asked: Standing, limit: StandingLimit) -> Asking | None:
        source = limit.spec.source.prometheus
        if source is None:
            return None
        spec = source.model_copy(update={"interval": max(source.interval, BLOCK)})
        poll = MetricPoll(asked.key, asked.policy, None, None, self._since, limit.metric, limit.definition)
        return Asking(poll, limit.spec, spec, limit.rail, cuts=(), weight_since=None)

    async def _ask(self, limit: StandingLimit, asking: Asking) -> None:
        # What was judged is let go, for it may go on for months; the last block may lack a look still.
        del asking.looks[: -ceil(limit.rail.block_s / asking.spec.interval.total_seconds()) - 1]
        over = asking.over(self._context.now())
        if over > asking.answered:
            asking.problem = await catch_up(self._context, self._servers, asking, over)


async def catch_up(context: PollerContext, servers: Servers, asking: Asking, over: int) -> str | None:
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
        except ServerDown as error:
            return str(error)
        except QueryRefused as error:
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


def _told(versions: Sequence[str], answers: Sequence[TimedValues], place: int) -> dict[str, float]:
    told = {version: answer.values.get(place) for version, answer in zip(versions, answers, strict=True)}
    return {version: value for version, value in told.items() if isinstance(value, float)}


def _absence(asking: Asking, answers: Sequence[TimedValues], place: int) -> tuple[str | None, bool]:
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


def counts_of(asking: Asking, rail: Rail) -> Counts:
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
