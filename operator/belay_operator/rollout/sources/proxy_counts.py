"""Ask the proxies of a rollout's Gateways what they count of its versions.

    proxy 1 ┐                         ┌ 10.0.3.7  a pod of the candidate ┐
    proxy 2 ┼─ requests, failures by ─┼ 10.0.4.2  a pod of stable        ┼─▶ one tally a version
    proxy 3 ┘                         └ 10.0.4.9  nobody's               ┘

Counters are attributed by address, to the pod that has it now. Nobody remembers what was counted for us: what came
before a proxy or a pod was first seen is not in it, and what a proxy counts while it does not answer us comes with its
next answer.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from belay_api.names import POLICY_LABEL
from belay_operator.engine.plan import Key
from belay_operator.engine.source import PollerContext
from belay_operator.rollout.facts import Counts, GatewayFact, Tally
from belay_operator.rollout.histogram import EMPTY
from belay_operator.rollout.move import instant
from belay_operator.rollout.sources.endpoints import Growth, ProxyAnswer, owners
from belay_operator.rollout.sources.meter import Counters, Meter, PodScrape
from belay_operator.rollout.sources.proxies import Gateway, NotSetUp, Pod, Proxies, ProxyDown, ask, ready
from belay_operator.rollout.sources.throttle import Throttle
from belay_operator.rollout.standing import Standing, StandingLimit

Place = tuple[str, str, str, str]
"""One counter: uid of the proxy, cluster, address, uid of the pod that has the address."""


@dataclass(slots=True)
class Tallies:
    """What proxies have counted for one rollout since counting began."""

    key: Key
    since: datetime
    growths: dict[Place, tuple[str, Growth]] = field(default_factory=dict)  # with the version
    meters: dict[str, Meter] = field(default_factory=dict)
    weights: dict[tuple[str, datetime], int] = field(default_factory=dict)  # and the scrape that first knew of it

    def grow(self, answers: Mapping[str, ProxyAnswer | None], owned: Mapping[str, tuple[str, str]]) -> None:
        """Take what proxies have counted. What one that answers does not count any more, or is not there, is let go."""
        seen = {place: growth for place, growth in self.growths.items() if answers.get(place[0], ...) is None}
        for proxy, answer in answers.items():
            for (cluster, address), counted in (answer.endpoints if answer is not None else {}).items():
                if address in owned:
                    version, uid = owned[address]
                    place = (proxy, cluster, address, uid)
                    seen[place] = self.growths.get(place) or (version, Growth())
                    seen[place][1].add(counted)
        self.growths = seen

    def of(self, version: str, at: datetime, weight_since: datetime | None) -> Tally:
        """Take what has grown of one version as a scrape of its own."""
        meter = self.meters.setdefault(version, Meter())
        grown = [
            PodScrape("/".join(place), Counters(growth.requests, growth.failed, EMPTY))
            for place, (of, growth) in self.growths.items()
            if of == version
        ]
        fact = meter.add(at, grown)
        weight_from = 0
        if weight_since is not None:
            weight_from = self.weights.setdefault((version, weight_since), fact.scrapes[-1].number)
        return Tally(fact.counting or at, fact.scrapes, weight_from)


class Counting:
    """What all rollouts share: which proxies there are, and how many are asked at once."""

    def __init__(self, context: PollerContext, gate: Throttle, *, all_proxies: bool = True) -> None:
        """Args: all_proxies: Ask those that are not ready as well, which may send requests still."""
        self._context, self._proxies, self._gate, self._all = context, Proxies(context), gate, all_proxies

    async def count(self, tallies: Tallies, versions: Sequence[str], weight_since: datetime | None) -> GatewayFact:
        """Ask every proxy once.

        Args:
            versions: Whose addresses are told apart, and who is counted.
            weight_since: status.weight.since; None: a weight is on its way, or there is none.
        """
        key, at = tallies.key, instant(self._context.now())
        gateways = _gateways(self._context, key)
        owned = owners(_owned(self._context, key.namespace, versions))
        problem: str | None = None
        absence: str | None = None
        refused = False
        try:
            answers, problem = await self._ask(gateways, key)
        except ProxyDown as error:
            problem = str(error)
        except NotSetUp as error:
            absence, refused = str(error), True
        else:
            tallies.grow(answers, owned)
            absence, refused = absence_of([one for one in answers.values() if one is not None], owned, gateways, key)
        return GatewayFact(
            since=tallies.since,
            weight_since=weight_since,
            at=at,
            asked=_named(gateways),
            versions={version: tallies.of(version, at, weight_since) for version in versions},
            problem=problem,
            absence=absence,
            refused=refused,
        )

    async def _ask(self, gateways: list[Gateway], key: Key) -> tuple[dict[str, ProxyAnswer | None], str | None]:
        """What each proxy answers, by its uid, and why those that should do not. Raises: ProxyDown, NotSetUp."""
        pods = await self._pods(gateways)
        pods = pods if self._all else ready(pods)
        told = dict(zip(map(_uid, pods), await asyncio.gather(*(self._one(pod, key) for pod in pods)), strict=True))
        silent = {uid: str(answer) for uid, answer in told.items() if isinstance(answer, ProxyDown)}
        if silent:  # one that has gone since is no outage
            pods = await self._pods(gateways, anew=True)
        expected = ready(pods)
        problems = [silent[_uid(pod)] for pod in expected if _uid(pod) in silent]
        if not expected:
            problems.append(f"{_named(gateways)} are not ready")
        answers = {uid: answer if isinstance(answer, ProxyAnswer) else None for uid, answer in told.items()}
        return answers, "; ".join(problems) or None

    async def _one(self, pod: Pod, key: Key) -> ProxyAnswer | ProxyDown:
        async with self._gate.place():
            try:
                return await ask(self._context.http, pod, key.namespace, key.name)
            except ProxyDown as error:
                return error

    async def _pods(self, gateways: list[Gateway], *, anew: bool = False) -> list[Pod]:
        return [pod for gateway in gateways for pod in await self._proxies.of(gateway, anew=anew)]


class ProxyCounter:
    """The Counter: what proxies have counted of a promoted version's pods."""

    def __init__(self, context: PollerContext, counting: Counting, asked: Standing) -> None:
        self._counting, self._policy = counting, asked.policy
        self._tallies = Tallies(asked.key, instant(context.now()))
        self._fact: GatewayFact | None = None

    async def count(self) -> None:
        """Ask every proxy once."""
        self._fact = await self._counting.count(self._tallies, [self._policy], None)

    def counts(self, limit: StandingLimit) -> Counts | None:
        """Return the requests and those that failed."""
        return None if self._fact is None else counts_of(self._fact.versions[self._policy], self._fact)

    def problem(self, limit: StandingLimit) -> str | None:
        """Return which proxy does not answer, or what has to be set for it to count."""
        fact = self._fact
        return None if fact is None else fact.problem or (fact.absence if fact.refused else None)


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


def absence_of(
    answers: Sequence[ProxyAnswer], owned: Collection[str], gateways: Iterable[Gateway], key: Key
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


def counts_of(tally: Tally, fact: GatewayFact) -> Counts:
    """What a limit asks of the counters."""
    return Counts(
        began=tally.counting,
        scrapes=tally.scrapes,
        of=lambda scrape: (scrape.requests, scrape.errors),
        weight_since=fact.weight_since,
        weight_from=tally.weight_from,
    )
