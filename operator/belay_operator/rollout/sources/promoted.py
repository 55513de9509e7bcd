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
from belay_operator.rollout.sources.logbook import GATHER, WATCH_TOPIC, Poll, keep_asking

REST = timedelta(minutes=1)


class PromotedSource:
    """The Source."""

    name = "promoted"

    async def run(self, context: PollerContext) -> None:
        """Keep one task per query about a promoted version."""
        if context.settings.logbook_url is None:
            await asyncio.Event().wait()
        tasks: dict[Poll, asyncio.Task[None]] = {}
        held: dict[tuple[str, str], frozenset[Poll]] = {}
        with context.changes("RLRollout") as changes:
            async with asyncio.TaskGroup() as group:
                while True:
                    for name in changes.take():
                        rollout = context.get("RLRollout", *name)
                        before = held.pop(name, frozenset())
                        wanted = frozenset() if rollout is None else polls_of(rollout)
                        for poll in before - wanted:
                            tasks.pop(poll).cancel()
                        for poll in wanted - before:
                            asking = keep_asking(context, poll)
                            tasks[poll] = group.create_task(asking, name=f"watch-{poll.key.name}")
                        if wanted:
                            held[name] = wanted
                        elif before:
                            context.put(WATCH_TOPIC, *name, None)
                    await changes.wait()
                    await asyncio.sleep(GATHER.total_seconds())


def polls_of(rollout: Mapping[str, Any]) -> frozenset[Poll]:
    """Return what to ask for a rollout's stable version; one that cannot be read is for its own reconcile to tell."""
    status, meta = rollout.get("status") or {}, rollout["metadata"]
    stable = (status.get("stable") or {}).get("policy")
    records = [record for record in status.get("watch") or () if record.get("policy") == stable]
    if stable is None or not records:
        return frozenset()
    try:
        since = _since(records)
        queries = watch.queries(analysis_of(rollout))
    except (ValueError, KeyError):
        return frozenset()
    key = Key("RLRollout", meta["namespace"], meta["name"])
    return frozenset(Poll(key, stable, stable, since, query, topic=WATCH_TOPIC, rest=REST) for query in queries)


def _since(records: list[Mapping[str, Any]]) -> datetime:
    """From when on: what a metric has counted already it leaves out itself."""
    return min(parse_instant(record["countedUntil"]) for record in records)


POLLER: Source = PromotedSource()
