"""Ask the logbook how the episodes of both sides went, one long-poll per outcome under analysis.

The logbook answers as soon as its numbers change, so the outcome that proves a regression wakes the rollout without
anybody's timer. A logbook that does not answer is a fact as well: the last answer stays beside the problem.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

import aiohttp
from pydantic import ValidationError

from belay_api.rollout.metric import Metric
from belay_api.units import format_instant
from belay_api.wire import API_PREFIX, Statistics
from belay_operator.engine import logbook
from belay_operator.engine.backoff import backoff
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Key, Settings
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.analysis.queries import outcome_queries, outcome_query
from belay_operator.rollout.facts import OutcomeQuery, Reading, StatisticsFact
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.active import Trial, Trials
from belay_operator.rollout.sources.source import MetricSource, Sides

TOPIC = "statistics"
WATCH_TOPIC = "watch"
WAIT = timedelta(seconds=25)  # the logbook's limit is 30 s; below it, an answer is never cut off
SLACK = timedelta(seconds=5)  # beyond WAIT: then the logbook is down
GATHER = timedelta(milliseconds=100)  # a storm of episodes is one look
# And rarer, the longer a trial has lasted: reading and judging a window takes some 30 µs of the operator's only thread,
# so one trial takes up to a tenth of it. After a day of minutes that is a look every 0.8 s.
GATHER_PER_WINDOW = timedelta(microseconds=250)
FIRST_RETRY, LAST_RETRY = timedelta(seconds=0.5), timedelta(seconds=5)  # a verdict comes this much late at most


NOT_INSTALLED = Reading(
    query="",
    at=None,
    problem="Belay is installed without a logbook; install it, or judge by serving metrics",
)


@dataclass(frozen=True, slots=True)
class OutcomePoll:
    """One query under way."""

    key: Key
    candidate: str
    stable: str
    since: datetime
    outcome_query: OutcomeQuery
    anchor: str | None = None  # a third version; None: two
    cuts: tuple[datetime, ...] = ()  # instants at which the weight changed: no window spans one
    counted_from: datetime | None = None  # count what started from then on; None: from `since` on
    topic: str = TOPIC  # of the fact that the answers become
    arms: tuple[str, ...] = ()  # of an experiment: who is on trial as `candidate` is
    by_user: bool = False  # of each user only the first episode counts
    rest: timedelta | None = None  # between two answers; None: as little as the logbook can bear

    @property
    def started_at(self) -> datetime:
        """From when on episodes count."""
        return self.counted_from or self.since

    @property
    def query(self) -> dict[str, str]:
        """As parameters of a request."""
        cuts = {"cuts": ",".join(map(format_instant, self.cuts))} if self.cuts else {}
        named = dict.fromkeys(name for name in (self.candidate, self.stable, self.anchor, *self.arms) if name)
        return {
            "versions": ",".join(named),
            "rollout": self.key.name,
            "outcome": self.outcome_query.outcome,
            "window": f"{self.outcome_query.window_s:g}",
            "grace": f"{self.outcome_query.grace_s:g}",
            "since": format_instant(self.started_at),
            **({"by": "user"} if self.by_user else {}),
            **cuts,
        }

    @property
    def path(self) -> str:
        """The path asked, without parameters."""
        return f"{API_PREFIX}/namespaces/{self.key.namespace}/statistics"

    @property
    def text(self) -> str:
        """As evidence: what was asked, of whom."""
        return f"logbook {self.path}?{urlencode(self.query, safe=',:')}"


class LogbookDown(Exception):
    """The logbook does not answer, or not with statistics."""


class LogbookSource:
    """The MetricSource."""

    name = "logbook"
    unanswerable = None

    def reading(self, metric: Metric, sides: Sides, reader: Reader, settings: Settings) -> Reading | None:
        """Return the logbook's last answer about the metric's outcome."""
        if settings.logbook_url is None:
            return NOT_INSTALLED
        fact = reader.fact(TOPIC, sides.namespace, sides.rollout)
        if not isinstance(fact, StatisticsFact) or metric.source.logbook is None:
            return None
        if sides.candidate not in fact.on_trial or (fact.stable, fact.since) != (sides.stable, sides.since):
            return None
        outcome = metric.source.logbook.outcome
        found = fact.outcomes.get(outcome)
        # The answer to another query, from before an edit of grace or window, says nothing about this metric.
        return found if found is not None and found.outcome_query == outcome_query(outcome, sides.analysis) else None

    def at_rest(self, context: PollerContext) -> None:
        """Return None: outcomes are compared, after a promotion too (`promoted.py`)."""

    async def run(self, context: PollerContext) -> None:
        """Keep one task per query that some rollout wants answered."""
        if context.settings.logbook_url is None:
            await asyncio.Event().wait()  # nothing to ask, ever; decisions say so themselves
        tasks: dict[OutcomePoll, asyncio.Task[None]] = {}
        with context.changes("RLRollout") as changes:
            trials = Trials(context, changes, outcome_queries)
            async with asyncio.TaskGroup() as group:  # only a bug ends a task: the engine sees it, and starts us again
                while True:
                    for change in trials.refresh():
                        before, after = polls_of(change.before), polls_of(change.after)
                        for poll in before - after:
                            tasks.pop(poll).cancel()
                        for poll in after - before:
                            asking = keep_asking(context, poll)
                            tasks[poll] = group.create_task(asking, name=f"statistics-{poll.key.name}")
                        if change.before is not None and before and not after:
                            key = change.before.key
                            context.put(TOPIC, key.namespace, key.name, None)
                    await changes.wait()
                    await asyncio.sleep(GATHER.total_seconds())


def polls_of(trial: Trial[tuple[OutcomeQuery, ...]] | None) -> set[OutcomePoll]:
    """Return what to ask for a trial."""
    if trial is None or not trial.judged or trial.stable is None or trial.since is None:
        return set()
    key, candidate, stable, since = trial.key, trial.candidate, trial.stable, trial.since
    cuts, arms, by_user = trial.weight_changes, trial.arms, trial.by_user
    return {
        OutcomePoll(key, candidate, stable, since, query, trial.anchor, cuts, arms=arms, by_user=by_user)
        for query in trial.wanted
    }


async def keep_asking(context: PollerContext, poll: OutcomePoll) -> None:
    """Send one query until cancelled, and write each change of the answer as a fact."""
    rng = random.Random()  # spreads retries, decides nothing
    last: Reading | None = None
    failures = 0
    while True:
        at = instant(context.now())
        # After a failure without waiting for news: that it answers at all is the news.
        known = last.windows if last is not None and last.problem is None else None
        try:
            statistics = await _ask(context, poll, etag=known.etag if known else None)
        except LogbookDown as error:
            failures += 1
            if last is None or last.problem != str(error):
                last = Reading(
                    poll.text,
                    at,
                    windows=last.windows if last else None,
                    outcome_query=poll.outcome_query,
                    problem=str(error),
                    silent_since=(last.silent_since if last else None) or at,
                )
                _publish(context, poll, last)
            await asyncio.sleep(backoff(failures, rng, first=FIRST_RETRY, longest=LAST_RETRY).total_seconds())
            continue
        failures = 0
        if poll.started_at > statistics.at:
            # Written by a leader whose clock was ahead of the logbook's. Nothing can have started by then: what starts
            # from now on counts, instead of nothing until that time has come.
            poll = replace(poll, counted_from=statistics.at)
            continue
        if known is None or known.etag != statistics.etag:
            last = Reading(poll.text, instant(context.now()), windows=statistics, outcome_query=poll.outcome_query)
            _publish(context, poll, last)
        await asyncio.sleep((poll.rest or _rest(statistics)).total_seconds())


def _rest(answer: Statistics) -> timedelta:
    """How long to leave the logbook alone after an answer."""
    return GATHER + GATHER_PER_WINDOW * sum(len(side.windows) for side in answer.versions)


async def _ask(context: PollerContext, poll: OutcomePoll, *, etag: str | None) -> Statistics:
    """Return the logbook's next answer. Raises: LogbookDown."""
    # A first query is answered at once; with an etag the logbook waits for news.
    query = poll.query | ({"etag": etag, "wait": f"{WAIT.total_seconds():g}"} if etag else {})
    within = WAIT + SLACK if etag else SLACK
    try:
        async with logbook.request(context, "GET", poll.path, within=within, connect=SLACK, params=query) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise LogbookDown(f"the logbook does not answer ({type(error).__name__})") from error
    if answer.status != 200:
        raise LogbookDown(f"the logbook answers {answer.status}: {logbook.refusal(body)}")
    try:
        return Statistics.model_validate_json(body)
    except ValidationError as error:
        raise LogbookDown("the logbook's answer is not what this version of Belay understands") from error


def _publish(context: PollerContext, poll: OutcomePoll, outcome: Reading) -> None:
    """Put one outcome beside the rollout's others of the same trial, and wake the rollout."""
    key = poll.key
    before = context.fact(poll.topic, key.namespace, key.name)
    same = isinstance(before, StatisticsFact) and (before.candidate, before.stable, before.since) == (
        poll.candidate,
        poll.stable,
        poll.since,
    )
    outcomes: Mapping[str, Reading] = {
        **(before.outcomes if before is not None and same else {}),
        poll.outcome_query.outcome: outcome,
    }
    fact = StatisticsFact(poll.candidate, poll.stable, poll.since, outcomes, poll.arms)
    context.put(poll.topic, key.namespace, key.name, fact, wake=(key,))


SOURCE: MetricSource = LogbookSource()
