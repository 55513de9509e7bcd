"""Ask the proxies of a rollout's Gateways what they count of its versions: `errorRate`, as callers have it.

    proxy 1 ┐                         ┌ 10.0.3.7  a pod of the candidate ┐
    proxy 2 ┼─ requests, failures by ─┼ 10.0.4.2  a pod of stable        ┼─▶ one tally a version
    proxy 3 ┘                         └ 10.0.4.9  nobody's               ┘

A pod that hangs, resets or is gone says nothing of itself; who sent it the request knows. Counters are attributed by
address, to the pod that has it now. Nobody remembers what was counted for us: what came before a proxy or a pod was
first seen is not in it, and what a proxy counts while it does not answer us comes with its next answer.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from belay_api.names import POLICY_LABEL
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Key, Settings
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.facts import Counts, GatewayFact, Reading, Tally
from belay_operator.rollout.histogram import EMPTY
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.active import Trial, Trials
from belay_operator.rollout.sources.endpoints import Answer, Growth, owners
from belay_operator.rollout.sources.gate import Gate
from belay_operator.rollout.sources.meter import Counters, Meter, PodScrape
from belay_operator.rollout.sources.proxies import Down, Gateway, NotSetUp, Pod, Proxies, ask, ready
from belay_operator.rollout.sources.source import MetricSource, Sides

TOPIC = "gateway"
PERIOD = timedelta(seconds=1)
AT_ONCE = 64  # proxies whose answers we work on
PLACE_TIME = timedelta(milliseconds=50)

Place = tuple[str, str, str, str]
"""One counter: uid of the proxy, cluster, address, uid of the pod that has the address."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an analysis asks of this source."""

    any: bool


@dataclass(slots=True)
class Followed:
    """One rollout whose requests are counted."""

    trial: Trial[Wanted]
    since: datetime
    growths: dict[Place, tuple[str, Growth]] = field(default_factory=dict)  # with the version
    meters: dict[str, Meter] = field(default_factory=dict)
    weights: dict[tuple[str, datetime], int] = field(default_factory=dict)  # and the scrape that first knew of it
    task: asyncio.Task[None] | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """Whose addresses are told apart, and who is counted."""
        beside = (name for name in (self.trial.stable, self.trial.anchor) if name is not None)
        return tuple(dict.fromkeys([*self.trial.on_trial, *beside]))


class GatewaySource:
    """The MetricSource."""

    name = "gateway"

    def reading(self, metric: Metric, sides: Sides, reader: Reader, settings: Settings) -> Reading | None:
        """Return what the proxies have counted in this trial."""
        fact = reader.fact(TOPIC, sides.namespace, sides.rollout)
        if not isinstance(fact, GatewayFact) or fact.since != sides.since or metric.source.gateway is None:
            return None
        tally = fact.versions.get(sides.candidate)
        return Reading(
            query=f"{metric.source.gateway} of the pods of {sides.candidate}, at {fact.asked}",
            at=fact.at,
            counts=_counts(tally, fact) if tally is not None else None,
            problem=fact.problem,
            absence=fact.absence,
            refused=fact.refused,
        )

    async def run(self, context: PollerContext) -> None:
        """Count for the rollouts that want it, until cancelled."""
        counting, followed = _Counting(context), dict[Key, Followed]()
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
                        if before is not None and since == before.since and change.after is not None:
                            before.trial = change.after
                            continue
                        if before is not None:
                            del followed[key]
                            if before.task is not None:
                                before.task.cancel()
                            context.put(TOPIC, key.namespace, key.name, None)  # it is of another trial
                        if change.after is not None and since is not None:
                            entry = followed[key] = Followed(change.after, since)
                            entry.task = group.create_task(counting.keep(entry), name=f"gateway-{key.name}")
                    await changes.wait()


def wanted(analysis: AnalysisSpec) -> Wanted:
    """Return what an analysis asks of this source."""
    return Wanted(any(metric.source.gateway is not None for metric in analysis.metrics))


def _since(trial: Trial[Wanted] | None) -> datetime | None:
    """Which trial to count for; None: none."""
    return trial.since if trial is not None and trial.wanted.any and not trial.rolling_back else None


def _counts(tally: Tally, fact: GatewayFact) -> Counts:
    """What a limit asks of the counters."""
    return Counts(
        began=tally.counting,
        scrapes=tally.scrapes,
        of=lambda scrape: (scrape.requests, scrape.errors),
        weight_since=fact.weight_since,
        weight_from=tally.weight_from,
    )


class _Counting:
    """What all rollouts share: which proxies there are, and how many are asked at once."""

    def __init__(self, context: PollerContext) -> None:
        self._context, self._proxies, self._gate = context, Proxies(context), Gate(AT_ONCE, PLACE_TIME)

    async def keep(self, entry: Followed) -> None:
        """Count for one rollout until cancelled."""
        loop, context, key = asyncio.get_running_loop(), self._context, entry.trial.key
        while True:
            began, weight_since = loop.time(), entry.trial.weight_since
            fact = await self._count(entry, weight_since)
            context.put(TOPIC, key.namespace, key.name, fact, wake=[key])
            await asyncio.sleep(max(began + PERIOD.total_seconds() - loop.time(), 0))

    async def _count(self, entry: Followed, weight_since: datetime | None) -> GatewayFact:
        """Ask every proxy once."""
        key, at = entry.trial.key, instant(self._context.now())
        gateways = _gateways(self._context, key)
        owned = owners(_owned(self._context, key.namespace, entry.versions))
        problem: str | None = None
        absence: str | None = None
        refused = False
        try:
            answers, problem = await self._ask(gateways, key)
        except Down as error:
            problem = str(error)
        except NotSetUp as error:
            absence, refused = str(error), True
        else:
            _grow(entry, answers, owned)
            absence, refused = _absence([one for one in answers.values() if one is not None], owned, gateways, key)
        return GatewayFact(
            since=entry.since,
            weight_since=weight_since,
            at=at,
            asked=_named(gateways),
            versions={version: _tally(entry, version, at, weight_since) for version in entry.versions},
            problem=problem,
            absence=absence,
            refused=refused,
        )

    async def _ask(self, gateways: list[Gateway], key: Key) -> tuple[dict[str, Answer | None], str | None]:
        """What each proxy answers, by its uid, and why those that should do not. Raises: Down, NotSetUp."""
        pods = await self._pods(gateways)
        told = dict(zip(map(_uid, pods), await asyncio.gather(*(self._one(pod, key) for pod in pods)), strict=True))
        silent = {uid: str(answer) for uid, answer in told.items() if isinstance(answer, Down)}
        if silent:  # one that has gone since is no outage
            pods = await self._pods(gateways, anew=True)
        expected = ready(pods)
        problems = [silent[_uid(pod)] for pod in expected if _uid(pod) in silent]
        if not expected:
            problems.append(f"{_named(gateways)} are not ready")
        answers = {uid: answer if isinstance(answer, Answer) else None for uid, answer in told.items()}
        return answers, "; ".join(problems) or None

    async def _one(self, pod: Pod, key: Key) -> Answer | Down:
        async with self._gate.place():
            try:
                return await ask(self._context.http, pod, key.namespace, key.name)
            except Down as error:
                return error

    async def _pods(self, gateways: list[Gateway], *, anew: bool = False) -> list[Pod]:
        return [pod for gateway in gateways for pod in await self._proxies.of(gateway, anew=anew)]


def _uid(pod: Pod) -> str:
    return str(pod["metadata"]["uid"])


def _gateways(context: PollerContext, key: Key) -> list[Gateway]:
    """Which Gateways the rollout's route is attached to."""
    spec = (context.get("RLRollout", key.namespace, key.name) or {}).get("spec") or {}
    refs = ((spec.get("traffic") or {}).get("gatewayAPI") or {}).get("parentRefs") or ()
    return list(dict.fromkeys((ref.get("namespace") or key.namespace, ref["name"]) for ref in refs))


def _named(gateways: Iterable[Gateway]) -> str:
    return "the proxies of Gateway " + ", ".join("/".join(gateway) for gateway in gateways)


def _owned(
    context: PollerContext, namespace: str, versions: Iterable[str]
) -> Iterable[tuple[str, Mapping[str, object]]]:
    """Every version with its pods and its Service."""
    for version in versions:
        for pod in context.labelled("Pod", namespace, POLICY_LABEL, version):
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                yield version, pod
        service = context.get("Service", namespace, version)
        if service is not None:
            yield version, service


def _absence(
    answers: Sequence[Answer], owned: Collection[str], gateways: Iterable[Gateway], key: Key
) -> tuple[str | None, bool]:
    """Why proxies that answer count nothing, and whether that is for somebody to set up."""
    addresses = {address for answer in answers for _, address in answer.endpoints}
    if addresses:
        apart = addresses.isdisjoint(owned)
        return (f"{_named(gateways)} send requests to other addresses than those of the pods" if apart else None), False
    if not answers:
        return None, False
    if any(answer.routed for answer in answers):
        return (
            f"{_named(gateways)} count nothing by endpoint: set spec.telemetry.metrics.enablePerEndpointStats: true in "
            "the EnvoyProxy of the Gateway or of its class",
            True,
        )
    return (
        f"{_named(gateways)} know no cluster httproute/{key.namespace}/{key.name}: they have not got the route yet, or "
        "spec.telemetry.metrics.clusterStatName or matches of the EnvoyProxy give or leave other names",
        False,
    )


def _grow(entry: Followed, answers: Mapping[str, Answer | None], owned: Mapping[str, tuple[str, str]]) -> None:
    """Take what proxies have counted. What one that answers does not count any more, or is not there, is let go."""
    seen = {place: growth for place, growth in entry.growths.items() if answers.get(place[0], ...) is None}
    for proxy, answer in answers.items():
        for (cluster, address), counted in (answer.endpoints if answer is not None else {}).items():
            if address in owned:
                version, uid = owned[address]
                place = (proxy, cluster, address, uid)
                seen[place] = entry.growths.get(place) or (version, Growth())
                seen[place][1].add(counted)
    entry.growths = seen


def _tally(entry: Followed, version: str, at: datetime, weight_since: datetime | None) -> Tally:
    """Take what has grown of one version as a scrape of its own."""
    meter = entry.meters.setdefault(version, Meter())
    grown = [
        PodScrape("/".join(place), Counters(growth.requests, growth.failed, EMPTY))
        for place, (of, growth) in entry.growths.items()
        if of == version
    ]
    fact = meter.add(at, grown)
    weight_from = 0
    if weight_since is not None:
        weight_from = entry.weights.setdefault((version, weight_since), fact.scrapes[-1].number)
    return Tally(fact.counting or at, fact.scrapes, weight_from)


SOURCE: MetricSource = GatewaySource()
