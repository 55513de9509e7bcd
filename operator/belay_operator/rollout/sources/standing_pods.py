"""Scrape the pods of promoted versions once a minute, for as long as they are stable: do they keep their limits still?

A trial is scraped each second, for a rollback within seconds. Here nobody is taken back by it, and a thousand rollouts
are watched for months. So a scrape wakes its rollout only where there is an alarm to begin or to end.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import ValidationError

from belay_api.rollout.watch import WatchSpec
from belay_operator.engine.plan import Key
from belay_operator.engine.source import PollerContext, Source
from belay_operator.rollout import standing
from belay_operator.rollout.analysis.blocks import hold
from belay_operator.rollout.analysis.standing import Seen
from belay_operator.rollout.facts import ServingFact
from belay_operator.rollout.sources.active import analysis_of
from belay_operator.rollout.sources.following import follow
from belay_operator.rollout.sources.gate import Gate
from belay_operator.rollout.sources.meter import Meter
from belay_operator.rollout.sources.serving import AT_ONCE, PLACE_TIME, counts_of, scrape
from belay_operator.rollout.standing import StandingFact, Watched

PERIOD = standing.BLOCK
GATHER = timedelta(seconds=1)  # nobody waits for it


@dataclass(frozen=True, slots=True)
class Standing:
    """A stable version and its limits."""

    key: Key
    policy: str
    limits: tuple[Watched, ...]


class StandingPods:
    """The Source."""

    name = "standing"

    async def run(self, context: PollerContext) -> None:
        """Keep one task per stable version with limits."""
        ask = partial(_keep_scraping, Gate(AT_ONCE, PLACE_TIME))
        await follow(context, standing.TOPIC, wanted=standing_of, ask=ask, gather_s=GATHER.total_seconds())


def standing_of(rollout: Mapping[str, Any]) -> frozenset[Standing]:
    """Return what to scrape for a rollout: the pods of its stable version, where that has limits."""
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


async def _keep_scraping(gate: Gate, context: PollerContext, asked: Standing) -> None:
    """Scrape until cancelled. The first scrape is anywhere in a minute, so that rollouts do not come all at once."""
    meter, seen = Meter(), dict[Watched, Seen]()
    await asyncio.sleep(random.uniform(0, PERIOD.total_seconds()))
    while True:
        fact = await scrape(context, gate, (asked.key.namespace, asked.policy), meter)
        seen = {limit: now for limit in asked.limits if (now := _seen(limit, fact, seen.get(limit))) is not None}
        woken = [asked.key] if _is_news(context, asked, seen) else []
        context.put(standing.TOPIC, asked.key.namespace, asked.key.name, StandingFact(asked.policy, seen), wake=woken)
        await asyncio.sleep(PERIOD.total_seconds())


def _seen(limit: Watched, fact: ServingFact, before: Seen | None) -> Seen | None:
    counts = counts_of(limit.rail, fact, "")
    if counts is None:
        return before
    held = hold(limit.rail, counts, None if before is None else before.held, None)
    return Seen(held) if before is None else before.after(held, PERIOD.total_seconds())


def _is_news(context: PollerContext, asked: Standing, seen: Mapping[Watched, Seen]) -> bool:
    """Whether an alarm is to begin that status has not, or one to end that it has."""
    rollout = context.get("RLRollout", asked.key.namespace, asked.key.name) or {}
    alarms = {one.get("metric") for one in (rollout.get("status") or {}).get("watch") or () if "degradedSince" in one}
    return any(now.is_over if limit.metric in alarms else now.is_broken for limit, now in seen.items())


POLLER: Source = StandingPods()
