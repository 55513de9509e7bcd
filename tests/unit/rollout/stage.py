"""A rollout on stage: a world with policies, a Gateway, pods that are scraped and episodes that end.

Nothing here decides. It plays the parts of the others (the policy kind, the Gateway's controller, the pollers, time),
so that a test reads as what happened, in order, and asserts what the rollout made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import inf
from typing import Any

from tests.world import START, World, belay_object

from belay_api.names import FAMILY_LABEL
from belay_api.rollout.status import RLRolloutStatus
from belay_api.units import format_instant
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.engine.plan import Key
from belay_operator.policy.build import DIGEST_ANNOTATION
from belay_operator.rollout import specification
from belay_operator.rollout.analysis.queries import outcome_query
from belay_operator.rollout.arms import running
from belay_operator.rollout.facts import Reading, ServingFact, StatisticsFact
from belay_operator.rollout.histogram import Histogram
from belay_operator.rollout.observe import KIND, observe
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.sources.meter import Counters, Meter, PodScrape

WINDOWS = 5  # that the episodes of an answer lie in
BACKUPS = 4  # of status

KEY = Key("RLRollout", "default", "cartpole")
ANALYSIS = {
    "window": "10s",
    "grace": "2s",
    "metrics": [
        {"name": "return", "source": {"logbook": {"outcome": "return"}}, "compare": {"maxRegression": "10%"}},
        {"name": "latency", "source": {"serving": "latencyP99"}, "limit": {"max": "100ms", "tolerates": "1s"}},
    ],
}
SPEC: dict[str, Any] = {
    "policy": {"name": "a"},
    "traffic": {"gatewayAPI": {"parentRefs": [{"name": "gw"}]}},
    "steps": [{"setWeight": 10}, {"pause": {"duration": "30s"}}, {"setWeight": 50}, {"analyze": {}}],
    "bake": {"duration": "1m", "keepWarm": "1h"},
    "analysis": ANALYSIS,
}


def _of(at: datetime | None) -> dict[str, datetime]:
    return {} if at is None else {KEY.name: at}


def digest(policy: str) -> str:
    return f"sha256:{policy * 64}"[:71]


def asked_of(on_trial: tuple[str, ...], stable: str, since: datetime) -> str:
    """What a verdict by the logbook says was asked: no two trials are asked about in the same words."""
    return f"{', '.join(sorted(set(on_trial)))} beside {stable} since {format_instant(since)}"


@dataclass
class Counted:
    """What a policy's one pod has counted, and the poller of it."""

    meter: Meter = field(default_factory=Meter)
    trial: datetime | None = None
    numbers: dict[datetime, int] = field(default_factory=dict)  # of the scrape that first knew of a weight
    at: datetime = START
    number: int = -1
    requests: float = 0.0
    slow: float = 0.0

    def scrape(self, rate: float | None, slow: float) -> ServingFact:
        """One more second has passed."""
        self.at += timedelta(seconds=1)
        self.requests += rate or 0.0
        self.slow += slow * (rate or 0.0)
        latencies = Histogram.of({0.1: self.requests - self.slow, 100.0: self.requests, inf: self.requests})
        counters = Counters(self.requests, 0.0, latencies) if rate is not None else None
        fact = self.meter.add(self.at, [PodScrape("pod", counters, None if counters else "pod does not answer")])
        self.number = fact.scrapes[-1].number
        return fact


def _headers(rule: Mapping[str, Any]) -> dict[str, str]:
    """What a rule matches beside the path."""
    return {one["name"]: one["value"] for one in rule["matches"][0].get("headers", ())}


class Stage:
    """One rollout named `cartpole`, policies by one-letter names, and everybody around them."""

    def __init__(self, *policies: str, **spec: Any) -> None:
        self.now = START
        self.world = World([belay_object("RLRollout", "cartpole", SPEC | spec)])
        self.etag = 0
        self.counted: dict[str, Counted] = {}
        self.countings: dict[tuple[str, datetime | None], set[datetime | None]] = {}  # in which trials each was begun
        self.beyond: set[str] = set()  # whose limits were ever seen broken after a promotion
        self.accepted_anchor: str | None = None  # whom the route accepted last leads to as a third
        self.accepted: dict[str, int] | None = None  # who gets new episodes by the route accepted last; None: not known
        self.backups: list[Mapping[str, Any]] = []  # the status after each of the last few passes, oldest first
        for policy in policies:
            self.publish(policy)

    # --- the others ---------------------------------------------------------------------------------------------------
    def publish(self, policy: str, *, ready: int = 1, family: str = "") -> None:
        """An RLPolicy exists, with that many ready pods."""
        artifact = {"uri": f"store://sha256/{policy * 64}", "digest": digest(policy)}
        status = {"readyReplicas": ready, "conditions": [{"type": "Ready", "status": "True", "reason": "Told"}]}
        made = belay_object("RLPolicy", policy, {"artifact": artifact}, status=status)
        if family:
            made["metadata"]["labels"] = {FAMILY_LABEL: family}
        self.world.put(made, now=self.now)
        for index in range(ready):
            labels = {"belay.dev/policy": policy}
            pod = {"kind": "Pod", "metadata": {"name": f"{policy}-{index}", "labels": labels}}
            self.world.put(pod | {"status": {"phase": "Running"}})

    def ready(self, policy: str, replicas: int, *, crash: str = "") -> None:
        """The policy kind reports ready pods, and since when none answers; `crash`: because its container ends so."""
        at = format_instant(self.now)
        loaded = {"type": "Loaded", "status": str(replicas > 0), "reason": "Told", "lastTransitionTime": at}
        why = {"type": "Ready", "status": "False", "reason": "PodStartFailed", "message": crash}
        conditions = [loaded, why] if crash else [loaded]
        self.world.patch("RLPolicy", policy, {"status": {"readyReplicas": replicas, "conditions": conditions}})

    def deletes(self, policy: str) -> None:
        """Somebody deletes the RLPolicy; its Deployment is left to its other owner, the rollout."""
        self.world.objects.pop(("RLPolicy", "default", policy))
        uid = self.world.objects["RLRollout", "default", "cartpole"]["metadata"]["uid"]
        owner = {"kind": "RLRollout", "name": "cartpole", "uid": uid}
        meta = {
            "name": policy,
            "labels": {"belay.dev/policy": policy},
            "annotations": {DIGEST_ANNOTATION: digest(policy)},
            "ownerReferences": [owner],
        }
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": policy, "labels": meta["labels"]}}
        self.world.put(service | {"spec": {"selector": {"belay.dev/policy": policy}}})
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": 1}}
        self.world.put(deployment | {"status": {"readyReplicas": 1}})
        self.world.objects.pop(("Pod", "default", f"{policy}-0"), None)

    def wants(self, policy: str) -> None:
        """The user changes the spec."""
        self.world.patch(
            "RLRollout", "cartpole", {"spec": {"policy": {"name": policy, "winnerOf": None, "latestOf": None}}}
        )

    def wants_winner_of(self, *arms: str, **said: Any) -> None:
        """The user has policies compete, each by its name or with its weight: `b` or `b:20`."""
        listed = [{"policy": one[0], "weight": int(one[2:] or 10)} for one in arms]
        asked = {"arms": listed, "metric": "return", "duration": "1h", "timeout": "24h"} | said
        self.world.patch(
            "RLRollout", "cartpole", {"spec": {"policy": {"name": None, "latestOf": None, "winnerOf": asked}}}
        )

    def follows(self, family: str) -> None:
        """The user has the rollout take up whatever is published in a family."""
        self.edits(policy={"name": None, "winnerOf": None, "latestOf": family})

    def edits(self, **spec: Any) -> None:
        """The user changes the spec; None takes a field out."""
        self.world.patch("RLRollout", "cartpole", {"spec": spec})

    def edits_steps(self, *steps: Mapping[str, Any]) -> None:
        """The user puts other steps into the spec."""
        self.edits(steps=list(steps), progression=None, recipe=None)

    def edits_metrics(self, *metrics: Mapping[str, Any]) -> None:
        """The user judges by other metrics."""
        self.world.patch("RLRollout", "cartpole", {"spec": {"analysis": {"metrics": list(metrics)}}})

    def command(self, text: str) -> None:
        """The user sets the annotation."""
        self.world.patch("RLRollout", "cartpole", {"metadata": {"annotations": {"belay.dev/command": text}}})

    def accept(self) -> None:
        """The Gateway's controller judges the route at its latest generation: it accepts one whose Services exist."""
        route = self.world.objects.get(("HTTPRoute", "default", "cartpole"))
        if route is not None:
            backends = {ref["name"] for rule in route["spec"]["rules"] for ref in rule["backendRefs"]}
            kinds = ("RLPolicy", "Deployment")
            found = all(any((kind, "default", name) in self.world.objects for kind in kinds) for name in backends)
            conditions = [
                {"type": t, "status": str(good), "reason": t, "observedGeneration": route["metadata"]["generation"]}
                for t, good in (("Accepted", True), ("ResolvedRefs", found))
            ]
            route["status"] = {"parents": [{"parentRef": {"name": "gw"}, "conditions": conditions}]}
            self.accepted = self.weights if found else self.accepted

    def scrape(
        self, policy: str, *, rate: float | None, slow: float = 0.0, seconds: int = 90, weight_seen: bool = True
    ) -> None:
        """The poller has scraped the policy's pods once a second for a while, up to now.

        Args:
            rate: Requests per second; None: the pods do not answer.
            slow: Share of the requests that take longer than any limit.
            seconds: How long; 90 are enough for a good candidate to pass its limit of blocks of a second.
            weight_seen: Whether the poller knew of the last change of weight then.
        """
        status, counted = self.status, self.counted.setdefault(policy, Counted())
        competing = running(status) if status.candidate is None else None
        trial = competing.started_at if competing is not None else status.analysis_started_at
        begins = counted.trial != trial or not counted.numbers
        if begins:
            counted.meter, counted.trial, counted.numbers = Meter(), trial, {}
            counted.at = self.now - timedelta(seconds=seconds)
            fact = counted.scrape(0, 0)
        since = status.weight.since if status.weight and weight_seen else competing and competing.started_at
        if since is not None:
            counted.numbers.setdefault(since, counted.number)
        for _ in range(0 if begins and seconds == 0 else max(seconds, 1)):
            fact = counted.scrape(rate, slow)
        self.countings.setdefault((policy, fact.counting), set()).add(trial)
        off_route = status.rollback.weight_zero_at if status.rollback else None
        self.world.facts["serving", "default", policy] = replace(
            fact,
            at=self.now,
            rate_since=self.now - timedelta(seconds=1),
            request_rate=rate,
            trials=_of(trial),
            weights={} if since is None else {KEY.name: (since, counted.numbers[since])},
            off_route=_of(off_route if off_route and off_route <= self.now - timedelta(seconds=1) else None),
        )

    def episodes(self, outcome: str, sides: Mapping[str, tuple[int, float, float]]) -> None:
        """The logbook answers: (count, mean, spread) of each version, over WINDOWS windows."""
        status, self.etag = self.status, self.etag + 1
        began = (status.weight.since if status.weight else None) or self._trial().since
        versions = [
            VersionStatistics(
                version=version,
                windows=[
                    WindowStatistics(
                        start=began + index * timedelta(milliseconds=1),  # before any further weight
                        count=count // WINDOWS,
                        missing=0,
                        mean=mean,
                        m2=spread**2 * (count // WINDOWS - 1),
                        min=mean - 2 * spread,
                        max=mean + 2 * spread,
                    )
                    for index in range(WINDOWS)
                ],
            )
            for version, (count, mean, spread) in sides.items()
        ]
        self.answers(outcome, versions)

    def no_episodes(self, outcome: str) -> None:
        """The logbook answers that it knows of none."""
        self.etag += 1
        self.answers(outcome, [])

    def answers(self, outcome: str, versions: list[VersionStatistics]) -> None:
        """The logbook answers that, beside what it said of the trial's other outcomes."""
        trial = self._trial()
        answer = Statistics(outcome=outcome, at=self.now, etag=str(self.etag), versions=versions)
        spec = self.world.objects["RLRollout", "default", "cartpole"]["spec"]
        analysis = specification.analysis(spec["analysis"])
        query = asked_of(trial.on_trial, trial.stable, trial.since)
        reading = Reading(query, self.now, windows=answer, outcome_query=outcome_query(outcome, analysis))
        known = self.world.facts.get(("statistics", "default", "cartpole"))
        same = known is not None and replace(known, outcomes={}) == trial
        outcomes = {**(known.outcomes if same else {}), outcome: reading}
        self.world.facts["statistics", "default", "cartpole"] = replace(trial, outcomes=outcomes)

    def _trial(self) -> StatisticsFact:
        """What the logbook is asked about now, without an answer."""
        status = self.status
        found = running(status) if status.candidate is None else None
        if found is not None:
            assert found.started_at is not None
            names = tuple(arm.policy for arm in found.arms)
            return StatisticsFact(names[0], found.stable, found.started_at, {}, names)
        assert status.candidate is not None
        assert status.stable is not None
        assert status.analysis_started_at is not None
        return StatisticsFact(status.candidate.policy, status.stable.policy, status.analysis_started_at, {})

    def later(self, **by: float) -> None:
        """Time passes."""
        self.now += timedelta(**by)

    # --- the operator -------------------------------------------------------------------------------------------------
    def passes(self) -> None:
        """The operator looks until nothing is left to do; then a further look must write nothing."""
        self.world.settle(KIND, KEY, now=self.now)
        assert self.world.would_write(KIND, KEY, self.now) == []
        status = self.world.objects["RLRollout", "default", "cartpole"].get("status")
        self.backups = [*self.backups, status or {}][-BACKUPS:]

    def go(self, **later: float) -> "Stage":
        """Time passes, the operator acts, the Gateway accepts, the operator sees it."""
        self.later(**later)
        self.passes()
        self.accept()
        self.passes()
        status = self.status
        if status.candidate is not None and status.analysis_started_at is not None:
            counted = self.counted.get(status.candidate.policy)
            if counted is None or counted.trial != status.analysis_started_at:
                self.scrape(status.candidate.policy, rate=0.0, seconds=0)  # the first of the trial, as it begins
                self.passes()
        if self.status.step is not None and self.status.step.kind == "first":
            assert self.status.candidate is not None
            self.scrape(self.status.candidate.policy, rate=0.0, seconds=60)  # nobody asks it for a block's time
            self.passes()
        return self

    # --- what can be seen ---------------------------------------------------------------------------------------------
    @property
    def recorded(self) -> RLRolloutStatus:
        """The status as the API server has it."""
        held = self.world.objects["RLRollout", "default", "cartpole"]
        return RLRolloutStatus.model_validate(held.get("status") or {})

    @property
    def status(self) -> RLRolloutStatus:
        """The status with what the route carries ahead of it."""
        return self.observed.status

    @property
    def observed(self) -> Observed:
        """What a pass would see now."""
        held = self.world.get("RLRollout", "default", "cartpole")
        assert held is not None
        return observe(held, self.world, self.world.settings)

    @property
    def weights(self) -> dict[str, int] | None:
        """The first rule of the route: who gets new episodes; None: there is no route."""
        rules = self._rules()
        return rules and {ref["name"]: ref["weight"] for ref in rules[0]["backendRefs"]}

    @property
    def pinned(self) -> dict[str, str] | None:
        """Who answers the episodes under way of whom, in the order of the rules."""
        rules = self._rules()
        return rules and {
            headers["x-belay-policy"]: rule["backendRefs"][0]["name"]
            for rule in rules
            if list(headers := _headers(rule)) == ["x-belay-policy"]
        }

    @property
    def segment(self) -> dict[str, int] | None:
        """The weighted rule of a segment: who gets its new episodes; None: there is none."""
        rules = [rule for rule in self._rules() or () if "x-belay-policy" not in (_headers(rule) or ["x-belay-policy"])]
        return {ref["name"]: ref["weight"] for ref in rules[0]["backendRefs"]} if rules else None

    @property
    def compared(self) -> list[str]:
        """Whose rules name the rollout to the pods: `everybody`'s, the `segment`'s."""
        told: dict[str, set[bool]] = {}
        for rule in self._rules() or ():
            whose = "segment" if set(_headers(rule)) - {"x-belay-policy"} else "everybody"
            said = rule["filters"][1]["requestHeaderModifier"].get("set", ())
            told.setdefault(whose, set()).add("x-belay-rollout" in {one["name"] for one in said})
        assert all(len(said) == 1 for said in told.values()), "an episode is whose its first decision was"
        return [whose for whose, said in told.items() if said == {True}]

    def has_endpoints(self, policy: str) -> bool:
        """Whether pods of a policy answer: its RLPolicy's, or those that it has left behind."""
        held, left = (self.world.objects.get((kind, "default", policy)) for kind in ("RLPolicy", "Deployment"))
        found = held if held is not None else left
        return found is not None and found["status"]["readyReplicas"] > 0

    @property
    def reason(self) -> str:
        return next(c.reason for c in self.status.conditions if c.type == "Ready")

    @property
    def message(self) -> str:
        return next(c.message for c in self.status.conditions if c.type == "Ready")

    @property
    def told(self) -> list[str]:
        """Reasons of the events so far."""
        return [note.reason for _, note in self.world.events]

    def _rules(self) -> list[Any] | None:
        route = self.world.objects.get(("HTTPRoute", "default", "cartpole"))
        return None if route is None else route["spec"]["rules"]
