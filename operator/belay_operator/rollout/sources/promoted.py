"""Ask the logbook how the episodes of promoted versions go, for as long as they are stable.

The same queries as a trial's, from the instant up to which the rollout has counted, and far rarer: one that is watched
for months is worth no look a second.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from belay_api.units import parse_instant
from belay_operator.engine.plan import Key
from belay_operator.engine.source import PollerContext, Source
from belay_operator.rollout import watch
from belay_operator.rollout.sources.active import analysis_of
from belay_operator.rollout.sources.following import follow
from belay_operator.rollout.sources.logbook import GATHER, WATCH_TOPIC, Poll, keep_asking

REST = timedelta(minutes=1)


class PromotedSource:
    """The Source."""

    name = "promoted"

    async def run(self, context: PollerContext) -> None:
        """Keep one task per query about a promoted version."""
        if context.settings.logbook_url is None:
            await asyncio.Event().wait()
        await follow(context, WATCH_TOPIC, wanted=polls_of, ask=keep_asking, gather_s=GATHER.total_seconds())


def polls_of(rollout: Mapping[str, Any]) -> frozenset[Poll]:
    """Return what to ask for a rollout's stable version; one that cannot be read is for its own reconcile to tell."""
    status, meta = rollout.get("status") or {}, rollout["metadata"]
    stable = (status.get("stable") or {}).get("policy")
    analysis = analysis_of(rollout)
    compared = {metric.name for metric in watch.watched(analysis)}
    records = [
        one for one in status.get("watch") or () if one.get("policy") == stable and one.get("metric") in compared
    ]
    if stable is None or not records:
        return frozenset()
    try:
        since = _since(records)
        queries = watch.queries(analysis)
    except (ValueError, KeyError):
        return frozenset()
    key = Key("RLRollout", meta["namespace"], meta["name"])
    return frozenset(Poll(key, stable, stable, since, query, topic=WATCH_TOPIC, rest=REST) for query in queries)


def _since(records: list[Mapping[str, Any]]) -> datetime:
    """From when on: what a metric has counted already it leaves out itself."""
    return min(parse_instant(record["countedUntil"]) for record in records)


POLLER: Source = PromotedSource()
