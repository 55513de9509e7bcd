"""Ask the logbook how the episodes of promoted versions go, for as long as they are stable.

The same queries as a trial's, from the instant up to which the rollout has counted, and far rarer: one that is watched
for months is worth no look a second.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from belay_api.rollout.analysis import AnalysisSpec
from belay_api.units import parse_instant
from belay_operator.engine.plan import Key
from belay_operator.engine.source import PollerContext, Source
from belay_operator.rollout import watch
from belay_operator.rollout.sources.active import analysis_of
from belay_operator.rollout.sources.following import follow
from belay_operator.rollout.sources.logbook import GATHER, WATCH_TOPIC, OutcomePoll, keep_asking

REST = timedelta(minutes=1)


class PromotedSource:
    """The Source."""

    name = "promoted"

    async def run(self, context: PollerContext) -> None:
        """Keep one task per query about a promoted version."""
        if context.settings.logbook_url is None:
            await asyncio.Event().wait()
        await follow(context, WATCH_TOPIC, wanted=polls_of, ask=keep_asking, gather_s=GATHER.total_seconds())


def polls_of(rollout: Mapping[str, Any]) -> frozenset[OutcomePoll]:
    """Return what to ask for a rollout's stable version; one that cannot be read is for its own reconcile to tell."""
    status, meta = rollout.get("status") or {}, rollout["metadata"]
    stable, analysis = status.get("stable") or {}, analysis_of(rollout)
    try:
        since, counted = parse_instant(stable["since"]), _counted(status, analysis, stable["policy"])
        queries = watch.queries(analysis)
    except (ValueError, KeyError):
        return frozenset()
    key, policy = Key("RLRollout", meta["namespace"], meta["name"]), stable["policy"]
    return frozenset(
        OutcomePoll(
            key, policy, policy, since, query, counted_from=counted[query.outcome], topic=WATCH_TOPIC, rest=REST
        )
        for query in queries
        if query.outcome in counted
    )


def _counted(status: Mapping[str, Any], analysis: AnalysisSpec, stable: str) -> dict[str, datetime]:
    """From when on each outcome counts; what a metric has counted already it leaves out itself.

    One that nobody reports is never counted, and must not have months of the others read again at each look.
    """
    asked = {
        metric.name: query.outcome for metric in watch.watched(analysis) if (query := watch.query_of(metric, analysis))
    }
    found: dict[str, datetime] = {}
    for record in status.get("watch") or ():
        if record.get("policy") == stable and (outcome := asked.get(record.get("metric"))) is not None:
            until = parse_instant(record["countedUntil"])
            found[outcome] = min(found.get(outcome, until), until)
    return found


POLLER: Source = PromotedSource()
