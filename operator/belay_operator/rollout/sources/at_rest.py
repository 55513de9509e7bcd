"""Count for the limits of promoted versions once a minute, for as long as they are stable: do they keep them still?

A trial is looked at each second, for a rollback within seconds. Here nobody is taken back by it, and a thousand
rollouts are watched for months. So a look wakes its rollout only where there is an alarm to begin or to end.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import ValidationError

from belay_api.rollout.watch import WatchSpec
from belay_operator.engine.plan import Key
from belay_operator.engine.source import PollerContext
from belay_operator.rollout import standing
from belay_operator.rollout.analysis.blocks import hold
from belay_operator.rollout.analysis.standing import Seen
from belay_operator.rollout.facts import Silence
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.active import analysis_of
from belay_operator.rollout.sources.following import follow
from belay_operator.rollout.sources.source import Counter, MetricSource
from belay_operator.rollout.standing import Standing, StandingFact, StandingLimit
from belay_operator.rollout.unwatched import UNWATCHED, is_long

PERIOD = standing.BLOCK
GATHER = timedelta(seconds=1)  # nobody waits for it

Counters = Mapping[str, Callable[[Standing], Counter]]
"""What makes a version's counter, by the source it counts for."""


@dataclass(slots=True)
class _Told:
    """What the sources of a version have said so far."""

    seen: dict[StandingLimit, Seen]
    silence: dict[StandingLimit, Silence | None]
    unheard: set[str]  # metrics of which the rollout was told that nothing is heard


class AtRest:
    """The Source."""

    name = "standing"

    def __init__(self, sources: Mapping[str, MetricSource]) -> None:
        """Count for the limits that are held to what these measure."""
        self._sources = sources

    async def run(self, context: PollerContext) -> None:
        """Keep one task per stable version with limits."""
        found = {name: source.at_rest(context) for name, source in self._sources.items()}
        counters = {name: made for name, made in found.items() if made is not None}
        ask = partial(_keep_counting, counters)
        await follow(context, standing.TOPIC, wanted=standing_of, ask=ask, gather_s=GATHER.total_seconds())


def standing_of(rollout: Mapping[str, Any]) -> frozenset[Standing]:
    """Return what to count for a rollout: how its stable version keeps its limits, where it has any."""
    stable, meta = ((rollout.get("status") or {}).get("stable") or {}).get("policy"), rollout["metadata"]
    if not stable:
        return frozenset()
    try:
        spec = WatchSpec.model_validate((rollout.get("spec") or {}).get("watch") or {})
    except ValidationError:  # for its own reconcile to tell; what is left out of a spec has its default
        spec = WatchSpec()
    limits = standing.limits(analysis_of(rollout), spec)
    key = Key("RLRollout", meta["namespace"], meta["name"])
    return frozenset((Standing(key, stable, limits),)) if limits else frozenset()


async def _keep_counting(counters: Counters, context: PollerContext, asked: Standing) -> None:
    """Count until cancelled, each source by itself: one that does not answer holds up no other."""
    told = _Told({}, {}, set())
    by_source = defaultdict[str, list[StandingLimit]](list)
    for limit in asked.limits:
        by_source[limit.spec.source.kind].append(limit)
    async with asyncio.TaskGroup() as group:
        for kind, limits in by_source.items():
            group.create_task(_keep_asking(counters[kind](asked), limits, context, asked, told))


async def _keep_asking(
    counter: Counter,
    limits: Sequence[StandingLimit],
    context: PollerContext,
    asked: Standing,
    told: _Told,
) -> None:
    """Count for one source. The first look is anywhere in a minute, so that rollouts do not come all at once."""
    await asyncio.sleep(random.uniform(0, PERIOD.total_seconds()))
    while True:
        await counter.count()
        for limit in limits:
            now = _seen(limit, counter, told.seen.get(limit))
            if now is not None:
                told.seen[limit] = now
            told.silence[limit] = _silence(counter.problem(limit), told.silence.get(limit), context.now())
        fact = StandingFact(asked.policy, dict(told.seen), dict(told.silence))
        before, told.unheard = told.unheard, _unheard(fact, context.now())
        woken = [asked.key] if told.unheard != before or _is_news(context, asked, fact) else []
        context.put(standing.TOPIC, asked.key.namespace, asked.key.name, fact, wake=woken)
        await asyncio.sleep(PERIOD.total_seconds())


def _seen(limit: StandingLimit, counter: Counter, before: Seen | None) -> Seen | None:
    counts = counter.counts(limit)
    if counts is None:
        return before
    held = hold(limit.rail, counts, None if before is None else before.held, None)
    return Seen(held) if before is None else before.after(held, limit.rail.block_s)


def _silence(problem: str | None, before: Silence | None, now: datetime) -> Silence | None:
    return None if problem is None else Silence(instant(now) if before is None else before.since, problem)


def _is_news(context: PollerContext, asked: Standing, fact: StandingFact) -> bool:
    """Whether an alarm is to begin that status has not, or one to end that it has."""
    status = (context.get("RLRollout", asked.key.namespace, asked.key.name) or {}).get("status") or {}
    alarms = {one.get("metric") for one in status.get("watch") or () if "degradedSince" in one}
    if any(now.is_over if limit.metric in alarms else now.is_broken for limit, now in fact.seen.items()):
        return True
    unwatched = any(one.get("type") == UNWATCHED for one in status.get("conditions") or ())
    return unwatched and not any(fact.silence.values())


def _unheard(fact: StandingFact, now: datetime) -> set[str]:
    """The metrics of which nothing is heard for so long that the rollout is to say so."""
    return {limit.metric for limit, one in fact.silence.items() if one is not None and is_long(one, now)}
