"""The limits of the stable version after its promotion: when one is shown to be broken, and when that is over.

The evidence is a guard rail's (`analysis.limits`), in blocks of a minute and with money that comes as slowly as false
alarms may. It is kept by who counts, and not in status: while all is well a limit has nothing to record, and another
operator that begins without evidence finds a breach a minute later. What is recorded is the alarm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_api.rollout.watch import WatchSpec, WatchStatus
from belay_operator.engine.plan import Key
from belay_operator.rollout.analysis.blocks import Held
from belay_operator.rollout.analysis.limits import Counted, Rail
from belay_operator.rollout.analysis.queries import definition_of, limit_of
from belay_operator.rollout.analysis.standing import Seen
from belay_operator.rollout.facts import Silence
from belay_operator.rollout.move import instant
from belay_operator.rollout.watch import watched

Told = TypeVar("Told")

TOPIC = "standing"
BLOCK = timedelta(minutes=1)  # what goes wrong within it counts once
DAYS_OF_MONTH = 30.0


@dataclass(frozen=True, slots=True)
class StandingLimit:
    """A limit that the stable version is held to."""

    metric: str
    definition: str  # hash of what it measures and is judged by
    rail: Rail
    spec: Metric = field(compare=False, repr=False)  # `definition` says the same in short


@dataclass(frozen=True, slots=True)
class Standing:
    """A stable version and its limits."""

    key: Key
    policy: str
    limits: tuple[StandingLimit, ...]


@dataclass(frozen=True, slots=True)
class StandingFact:
    """How far a rollout's stable version is beyond its limits. Topic `standing`, under the rollout's name."""

    policy: str
    seen: Mapping[StandingLimit, Seen]  # absent: nothing was counted yet
    silence: Mapping[StandingLimit, Silence | None]  # of whom the source says nothing; absent: it was not asked yet


def limits(analysis: AnalysisSpec, spec: WatchSpec) -> tuple[StandingLimit, ...]:
    """Return the limits that a promoted version is watched by: those that ask nothing of another version."""
    found = limited(analysis)
    alarms = spec.false_alarms_per_month / DAYS_OF_MONTH / max(len(found) + len(watched(analysis)), 1)
    return tuple(
        StandingLimit(metric.name, definition_of(metric, analysis), _at_rest(rail, alarms, metric), metric)
        for metric in found
        if (rail := limit_of(metric)) is not None
    )


def told(fact: object, analysis: AnalysisSpec) -> dict[str, dict[str, Seen]]:
    """Return what a fact says, by policy and by metric; of a limit defined otherwise it says nothing.

    By policy, for a promotion may come between the fact and the look at it.
    """
    return {fact.policy: _asked(fact.seen, analysis)} if isinstance(fact, StandingFact) else {}


def silences(fact: object, analysis: AnalysisSpec, policy: str) -> dict[str, Silence | None]:
    """Return which limits of a version nothing is heard of, and since when, of those that were asked, by metric."""
    return _asked(fact.silence, analysis) if isinstance(fact, StandingFact) and fact.policy == policy else {}


def _asked(told: Mapping[StandingLimit, Told], analysis: AnalysisSpec) -> dict[str, Told]:
    asked = {(metric.name, definition_of(metric, analysis)) for metric in limited(analysis)}
    return {one.metric: said for one, said in told.items() if (one.metric, one.definition) in asked}


def records(
    recorded: Iterable[WatchStatus],
    told: Mapping[str, Seen],
    limits: Iterable[StandingLimit],
    *,
    policy: str,
    now: datetime,
) -> list[WatchStatus]:
    """Return the alarms that stand after this look.

    Args:
        recorded: As status has them.
        told: What was seen of each limit, by metric; absent: nothing, and what stood stands.
    """
    known = {(one.metric, one.definition, one.policy): one for one in recorded}
    found = []
    for limit in limits:
        old, seen = known.get((limit.metric, limit.definition, policy)), told.get(limit.metric)
        if old is not None and not (seen is not None and seen.is_over):
            found.append(old)
        elif old is None and seen is not None and seen.is_broken:
            found.append(_alarm(limit, seen.held, policy, now))
    return found


def is_alarm(record: WatchStatus) -> bool:
    """Whether a record of the watch is one of a limit: these have nothing to be held against."""
    return record.degraded_since is not None and record.reference is None


def limited(analysis: AnalysisSpec) -> list[Metric]:
    """Return the metrics with a limit that asks nothing of another version."""
    return [metric for metric in analysis.deciding if metric.limit is not None and not metric.needs_stable]


def _at_rest(rail: Rail, alarms_per_day: float, metric: Metric) -> Rail:
    """The rail with blocks of a minute or more: of what is looked at more seldom, of a look."""
    prometheus = metric.source.prometheus
    apart = BLOCK if prometheus is None else max(prometheus.interval, BLOCK)
    return replace(rail, block_s=max(rail.block_s, apart.total_seconds()), false_per_day=alarms_per_day)


def _alarm(limit: StandingLimit, held: Held, policy: str, now: datetime) -> WatchStatus:
    """What was seen. It stays as it is while the alarm stands, so numbers may be in it."""
    return WatchStatus(
        metric=limit.metric,
        definition=limit.definition,
        policy=policy,
        counted_until=instant(now),
        degraded_since=instant(now),
        message=f"{policy} is beyond the limit {limit.metric}: {_breach(limit.rail, held)}",
    )


def _breach(rail: Rail, held: Held) -> str:
    share, allowed = (f"{100 * one:.3g} %" for one in (held.share or 0.0, rail.allowed))
    match rail.counted:
        case Counted.LOOKS:
            side = "below" if rail.below else "above"
            return f"the last look gave a number {side} {rail.bound:g}, as {allowed} of looks may and more do"
        case Counted.SHARES:
            return f"at the last look the share {'lies below 1 by' if rail.below else 'is'} {share}, and {allowed} may"
    went = "failed" if held.bound_s is None else f"took longer than {held.bound_s:g} s"
    return f"of the last requests {share} {went}, and {allowed} may"
