"""What the proxies of a rollout's Gateways say of the versions on trial: `errorRate`, as callers have it.

A pod that hangs, resets or is gone says nothing of itself; who sent it the request knows.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Key, Settings
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.facts import GatewayFact, Reading
from belay_operator.rollout.sources.active import Trial, Trials
from belay_operator.rollout.sources.proxies import ANSWER_TIME
from belay_operator.rollout.sources.proxy_counts import Counting, ProxyCounter, Tallies, counts_of
from belay_operator.rollout.sources.source import Counter, MetricSource, Sides, Unanswerable
from belay_operator.rollout.sources.throttle import Throttle
from belay_operator.rollout.standing import Standing

TOPIC = "gateway"
PERIOD = timedelta(seconds=1)
AT_ONCE = 64  # proxies whose answers we work on
PLACE_TIME = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class OfProxies:
    """What an analysis asks of this source."""

    any: bool


@dataclass(slots=True)
class Followed:
    """One rollout whose requests are counted."""

    trial: Trial[OfProxies]
    tallies: Tallies
    task: asyncio.Task[None] | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """Whose addresses are told apart, and who is counted."""
        beside = (name for name in (self.trial.stable, self.trial.anchor) if name is not None)
        return tuple(dict.fromkeys([*self.trial.on_trial, *beside]))


class GatewaySource:
    """The MetricSource."""

    name = "gateway"
    unanswerable = Unanswerable("GatewayNotSetUp", RolloutReason.GATEWAY_NOT_SET_UP, EventReason.GATEWAY_NOT_SET_UP)

    def reading(self, metric: Metric, sides: Sides, reader: Reader, settings: Settings) -> Reading | None:
        """Return what the proxies have counted in this trial."""
        fact = reader.fact(TOPIC, sides.namespace, sides.rollout)
        if not isinstance(fact, GatewayFact) or fact.since != sides.since or metric.source.gateway is None:
            return None
        tally = fact.versions.get(sides.candidate)
        return Reading(
            query=f"{metric.source.gateway} of the pods of {sides.candidate}, at {fact.asked}",
            at=fact.at,
            counts=counts_of(tally, fact) if tally is not None else None,
            problem=fact.problem,
            absence=fact.absence,
            refused=fact.refused,
        )

    def at_rest(self, context: PollerContext) -> Callable[[Standing], Counter]:
        """Return how proxies are asked of a promoted version: one at a time, whoever asks.

        A proxy looks at the statistics of all its clusters for each answer, and here nobody is in a hurry. Those that
        are not ready are not asked: on a lost node each would keep the one place until it is given up.
        """
        return partial(ProxyCounter, context, Counting(context, Throttle(1, ANSWER_TIME), all_proxies=False))

    async def run(self, context: PollerContext) -> None:
        """Count for the rollouts that want it, until cancelled."""
        counting, followed = Counting(context, Throttle(AT_ONCE, PLACE_TIME)), dict[Key, Followed]()
        with context.changes("RLRollout") as changes:
            trials = Trials(context, changes, wanted)
            async with asyncio.TaskGroup() as group:
                while True:
                    for change in trials.refresh():
                        either = change.after or change.before
                        if either is None:
                            continue
                        key, before = either.key, followed.get(either.key)
                        since = _since(change.after)
                        if before is not None and since == before.tallies.since and change.after is not None:
                            before.trial = change.after
                            continue
                        if before is not None:
                            del followed[key]
                            if before.task is not None:
                                before.task.cancel()
                            context.put(TOPIC, key.namespace, key.name, None)  # it is of another trial
                        if change.after is not None and since is not None:
                            entry = followed[key] = Followed(change.after, Tallies(key, since))
                            entry.task = group.create_task(_keep(context, counting, entry), name=f"gateway-{key.name}")
                    await changes.wait()


def wanted(analysis: AnalysisSpec) -> OfProxies:
    """Return what an analysis asks of this source."""
    return OfProxies(any(metric.source.gateway is not None for metric in analysis.metrics))


def _since(trial: Trial[OfProxies] | None) -> datetime | None:
    """Which trial to count for; None: none."""
    return trial.since if trial is not None and trial.wanted.any and not trial.rolling_back else None


async def _keep(context: PollerContext, counting: Counting, entry: Followed) -> None:
    """Count for one rollout until cancelled."""
    loop, key = asyncio.get_running_loop(), entry.tallies.key
    while True:
        began = loop.time()
        fact = await counting.count(entry.tallies, entry.versions, entry.trial.weight_since)
        context.put(TOPIC, key.namespace, key.name, fact, wake=[key])
        await asyncio.sleep(max(began + PERIOD.total_seconds() - loop.time(), 0))


SOURCE: MetricSource = GatewaySource()
