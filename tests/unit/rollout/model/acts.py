"""What may happen to a rollout, by name: what people, policies, gateways, pods, sources and clocks do.

Nothing here looks at what the operator makes of it, and nothing fails: where an act has nothing to happen to, nothing
happens, so hypothesis may draw any order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from tests.unit.rollout.stage import ANALYSIS, SPEC, Stage
from tests.unit.rollout.test_group import TAKEN, TRIAL, rollout
from tests.unit.rollout.test_preview import HOST, PREVIEW, TRAFFIC
from tests.unit.rollout.test_replicas import Cluster
from tests.unit.rollout.test_shadow import hears
from tests.unit.rollout.test_together import MEET, partner, taken_back
from tests.world import belay_object

from belay_api.rollout.metric import Metric
from belay_api.rollout.watch import WatchSpec
from belay_operator.rollout import specification, standing
from belay_operator.rollout.analysis.blocks import Held
from belay_operator.rollout.analysis.limits import PASS_AT, STAKES
from belay_operator.rollout.analysis.standing import CALM, Seen
from belay_operator.rollout.arms import running
from belay_operator.rollout.commands import ACTIONS
from belay_operator.rollout.facts import Counts, GatewayFact, PrometheusFact, Reading, Scrape, Silence, Tally
from belay_operator.rollout.histogram import EMPTY
from belay_operator.rollout.sources import gateway, prometheus

Act = Callable[[Stage], object]

POLICIES = "abc"  # those whose pods come and go; d is always as it was published
FAMILY = "hopper"  # of all of them
BAD = {"a": (80, 480.0, 40.0), "b": (60, 300.0, 60.0)}
GOOD = {"a": (200, 480.0, 40.0), "b": (200, 479.0, 40.0)}
BETTER = {"a": (400, 480.0, 40.0), "b": (400, 570.0, 40.0)}
METRICS: list[dict[str, Any]] = ANALYSIS["metrics"]
THIRD = {**ANALYSIS, "anchor": "Serve", "metrics": METRICS[:1]}
STRICTER = [{**METRICS[0], "compare": {"maxRegression": "1%"}}, METRICS[1]]
ASKING = [{"setWeight": 10}, {"approve": {"timeout": "1h"}}, {"setWeight": 50}, {"pause": {}}]
INTERNAL = [{"name": "x-user-group", "value": "internal"}]
MATCHING = [
    {"match": {"headers": INTERNAL, "weight": 50}},
    {"pause": {"duration": "30s"}},
    {"setWeight": 10},
    {"pause": {"duration": "30s"}},
    {"setWeight": 50},
    {"analyze": {}},
]
MEETING = [{"setWeight": 10}, MEET, {"setWeight": 50}, {"pause": {"duration": "30s"}}, {"analyze": {}}]
BY_THE_LIST: dict[str, Any] = {"steps": [], "recipe": None, "progression": {"name": "ramp"}}
ERRORS = {"name": "errors", "source": {"gateway": "errorRate"}, "limit": {"max": "5%", "tolerates": "1s"}}
QUEUE = {
    "name": "queue",
    "source": {"prometheus": {"query": 'queue{policy="$policy"}', "interval": "10s"}},
    "limit": {"max": 5, "tolerates": "10s"},
}
FROM_EVERYWHERE = [*METRICS, ERRORS, QUEUE]
SUNDAYS = {"days": ["Sun"], "from": "00:00", "to": "24:00", "timeZone": "Europe/Berlin"}  # a stage begins on a Monday


def act(stage: Stage, name: str) -> None:
    """Let that happen; what is no act is the text of a command."""
    if name in NAMED:
        NAMED[name](stage)
    else:
        stage.command(name)


def accept(stage: Stage) -> None:
    """What the Gateway has accepted stays in force until it accepts another route."""
    stage.accept()
    third, weights = stage.status.served_anchor, stage.weights or {}
    stage.accepted_anchor = third.policy if third is not None and third.policy in weights else None


def writes_list(stage: Stage, *weights: int) -> None:
    """Somebody applies an RLProgression: to each weight half a minute, and a verdict at the last."""
    listed = [step for weight in weights for step in ({"setWeight": weight}, {"pause": {"duration": "30s"}})]
    stage.world.put(belay_object("RLProgression", "ramp", {"steps": [*listed, {"analyze": {}}]}))


# --- policies and their pods ------------------------------------------------------------------------------------------
def exists(stage: Stage, policy: str) -> bool:
    return ("RLPolicy", "default", policy) in stage.world.objects


def _ready(stage: Stage, policy: str, replicas: int) -> None:
    if not exists(stage, policy):
        return
    if isinstance(stage, Cluster):
        stage.has_pods(policy, replicas)
    else:
        stage.ready(policy, replicas)


def _all_ready(stage: Stage) -> None:
    usual = 3 if isinstance(stage, Cluster) else 1
    for policy in POLICIES:
        _ready(stage, policy, max(usual, stage.status.replicas or 0))


def _publish_all(stage: Stage) -> None:
    for policy in POLICIES:
        stage.publish(policy, family=FAMILY)


def _delete(stage: Stage, policy: str) -> None:
    if exists(stage, policy):
        stage.world.remove("RLPolicy", policy)


def _orphan(stage: Stage, policy: str) -> None:
    """Its RLPolicy is deleted, and the rollout keeps its pods."""
    if exists(stage, policy) and policy in {side.policy for side in stage.status.versions()}:
        stage.deletes(policy)


# --- what sources say -------------------------------------------------------------------------------------------------
def _judge(stage: Stage, sides: dict[str, tuple[int, float, float]]) -> None:
    status = stage.status
    if status.candidate and status.stable and status.analysis_started_at:
        names = {"a": status.stable.policy, "b": status.candidate.policy}
        found = {names[key]: value for key, value in sides.items()}
        if status.served_anchor is not None:
            found[status.served_anchor.policy] = sides["a"]
        stage.episodes("return", found)
    competing = running(status) if status.candidate is None else None
    if competing is not None and competing.started_at is not None:
        first = competing.arms[0].policy
        arms = {arm.policy: sides["b"] if arm.policy == first else sides["a"] for arm in competing.arms}
        stage.episodes("return", {competing.stable: sides["a"], **arms})


def _logbook_away(stage: Stage) -> None:
    """The logbook answers no more: what it said last is kept, and that it does not answer."""
    key = ("statistics", "default", "cartpole")
    fact = stage.world.facts.get(key)
    if fact is None:
        return
    away = {
        outcome: replace(reading, at=stage.now, problem="the logbook does not answer")
        for outcome, reading in fact.outcomes.items()
    }
    stage.world.facts[key] = replace(fact, outcomes=away)


def _counted(before: Sequence[Scrape], *, every_s: float, each: float) -> tuple[Scrape, ...]:
    """What was counted, and a minute and a half more in which all was well; counting begins with nothing."""
    more = range(len(before), len(before) + (int(90 / every_s) if before else 1))
    return (*before, *(Scrape(number, number * every_s, 0.0, number * each, 0.0, EMPTY) for number in more))


def _gateway_tells(stage: Stage, problem: str | None) -> None:
    """The proxies have counted requests of both sides since the trial began, and answer now or do not."""
    status, began = stage.status, stage.status.analysis_started_at
    if status.candidate is None or began is None or status.weight is None:
        return
    key, candidate = (gateway.TOPIC, "default", "cartpole"), status.candidate.policy
    known = stage.world.facts.get(key)
    same = known is not None and known.since == began and candidate in known.versions
    tally = Tally(began, _counted(known.versions[candidate].scrapes if same else (), every_s=1, each=40), 0)
    stage.countings.setdefault((candidate, began), set()).add(began)
    sides = {side.policy: tally for side in (status.candidate, status.stable) if side is not None}
    stage.world.facts[key] = GatewayFact(
        since=began,
        weight_since=status.weight.since,
        at=stage.now,
        asked="envoy",
        versions=sides,
        problem=problem,
        absence=None,
        refused=False,
    )


def _prometheus_tells(stage: Stage, problem: str | None) -> None:
    """Prometheus has answered since the trial began, each time within the limit, and answers now or does not."""
    status, began = stage.status, stage.status.analysis_started_at
    if status.candidate is None or began is None or status.weight is None:
        return
    key, candidate = (prometheus.TOPIC, "default", "cartpole"), status.candidate.policy
    known = stage.world.facts.get(key)
    same = known is not None and known.since == began and candidate in known.versions
    before = known.versions[candidate]["queue"][1].counts.scrapes if same else ()
    stage.countings.setdefault((candidate, began), set()).add(began)
    counts = Counts(
        began,
        _counted(before, every_s=10, each=1),
        of=lambda one: (one.requests, one.errors),
        weight_since=status.weight.since,
    )
    reading = Reading(f"queue of {candidate}", stage.now, counts=counts, problem=problem)
    stable = status.stable.policy if status.stable is not None else None
    definition = prometheus.definition_of(Metric.model_validate(QUEUE))
    stage.world.facts[key] = PrometheusFact(stable, began, {candidate: {"queue": (definition, reading)}})


def _scrapes(stage: Stage, **said: Any) -> None:
    for policy in POLICIES:
        stage.scrape(policy, **said)


def _shadowed(stage: Stage, difference: float) -> None:
    """The logbook tells of a step `shadow`, where one is under way."""
    if stage.status.step is not None and stage.status.step.mirror is not None and stage.status.stable is not None:
        hears(stage, difference=difference)


def _limits_of_stable(stage: Stage, *, broken: bool) -> None:
    """Stable's pods were asked for an hour or so since its promotion, and they are far beyond their limits, or not."""
    counted = Held(counting=stage.now, scrape=9, share=float(broken))
    held = replace(counted, evidence=(1.0,) * STAKES.size) if broken else replace(counted, wealth=PASS_AT)
    seen = Seen(held, 0.0 if broken else CALM.total_seconds())
    _counted_at_rest(stage, seen, None)
    if broken and stage.status.stable is not None:
        stage.beyond.add(stage.status.stable.policy)


def _limits_of_stable_unseen(stage: Stage) -> None:
    """For an hour nobody has answered who counts for stable's limits."""
    _counted_at_rest(stage, None, Silence(stage.now - timedelta(hours=1), "nobody answers"))


def _counted_at_rest(stage: Stage, seen: Seen | None, silence: Silence | None) -> None:
    stable, spec = stage.status.stable, stage.world.objects["RLRollout", "default", "cartpole"]["spec"]
    if stable is None:
        return
    analysis, watch = specification.analysis(spec["analysis"]), WatchSpec.model_validate(spec.get("watch") or {})
    asked = standing.limits(analysis, watch)
    stage.world.facts[standing.TOPIC, "default", "cartpole"] = standing.StandingFact(
        stable.policy, {} if seen is None else dict.fromkeys(asked, seen), dict.fromkeys(asked, silence)
    )


# --- the operator's own troubles --------------------------------------------------------------------------------------
def _restored(stage: Stage) -> None:
    """Somebody restores a backup of the rollout's status; the operator starts anew, and has measured nothing."""
    stage.world.facts.clear()
    stage.accepted = None  # the backup says what was, until the Gateway says what is
    if stage.backups:
        stage.world.objects["RLRollout", "default", "cartpole"]["status"] = stage.backups[0]


# --- a group, and who else is in it -----------------------------------------------------------------------------------
def _others_trial(stage: Stage, *, begins: bool) -> None:
    """Another rollout of the group has a candidate, or its trial ends."""
    if begins:
        stage.world.put(rollout("other", candidate=TRIAL, group=TAKEN))
    elif ("RLRollout", "default", "other") in stage.world.objects:
        stage.world.remove("RLRollout", "other")


# --- the preview address ----------------------------------------------------------------------------------------------
def _preview_answer(stage: Stage, *, accepted: bool) -> None:
    """The Gateway's controller answers on the preview address."""
    found = stage.world.objects.get(PREVIEW)
    if found is None:
        return
    generation = {"status": str(accepted), "observedGeneration": found["metadata"]["generation"]}
    said = [{"type": kind, "reason": kind, **generation} for kind in ("Accepted", "ResolvedRefs")]
    stage.world.patch(*PREVIEW[::2], {"status": {"parents": [{"parentRef": {"name": "gw"}, "conditions": said}]}})


def _preview_edited(stage: Stage) -> None:
    if PREVIEW in stage.world.objects:
        stage.world.patch(*PREVIEW[::2], {"spec": {"hostnames": ["www.example.org"]}})


EVERY_DAY: dict[str, Act] = {
    "want a": lambda stage: stage.wants("a"),
    "want b": lambda stage: stage.wants("b"),
    "want c": lambda stage: stage.wants("c"),
    "want d": lambda stage: stage.wants("d"),
    "want nothing there": lambda stage: stage.wants("z"),
    "a has no pods": lambda stage: _ready(stage, "a", 0),
    "b has no pods": lambda stage: _ready(stage, "b", 0),
    "all have pods": _all_ready,
    "gateway accepts": accept,
    "second": lambda stage: stage.later(seconds=1),
    "half minute": lambda stage: stage.later(seconds=31),
    "hours": lambda stage: stage.later(hours=2),
    "good episodes": lambda stage: _judge(stage, GOOD),
    "better episodes": lambda stage: _judge(stage, BETTER),
    "bad episodes": lambda stage: _judge(stage, BAD),
    "silent": lambda stage: _scrapes(stage, rate=0.0),
    "fast": lambda stage: _scrapes(stage, rate=40.0),
    "slow": lambda stage: _scrapes(stage, rate=40.0, slow=1.0),
    "no answer": lambda stage: _scrapes(stage, rate=None),
}
"""What moves a trial on and back."""

HANDS: dict[str, Act] = {
    "steps ask": lambda stage: stage.edits_steps(*ASKING),
    "steps spoilt": lambda stage: stage.edits_steps({"analyze": {}}),
    "steps mended": lambda stage: stage.edits_steps(*SPEC["steps"]),
    "steps meet": lambda stage: stage.edits_steps(*MEETING),
    "partner comes": lambda stage: stage.world.put(partner(step=1)),
    "partner is on its way": lambda stage: stage.world.put(partner(step=0)),
    "partner rests": lambda stage: stage.world.put(partner()),
    "partner is taken back": lambda stage: stage.world.put(taken_back()),
    "metrics stricter": lambda stage: stage.edits_metrics(*STRICTER),
    "metrics as before": lambda stage: stage.edits_metrics(*METRICS),
    "metric unreadable": lambda stage: stage.edits_metrics(*METRICS, {"name": "x", "source": {"moon": 1}}),
    "metrics from everywhere": lambda stage: stage.edits_metrics(*FROM_EVERYWHERE),
    "gateway counts": lambda stage: _gateway_tells(stage, None),
    "gateway counts no more": lambda stage: _gateway_tells(stage, "the proxy does not answer"),
    "prometheus tells": lambda stage: _prometheus_tells(stage, None),
    "prometheus away": lambda stage: _prometheus_tells(stage, "Prometheus does not answer"),
    "windows closed": lambda stage: stage.edits(windows=[SUNDAYS]),
    "windows open": lambda stage: stage.edits(windows=[]),
    "a deleted": lambda stage: _delete(stage, "a"),
    "b deleted": lambda stage: _delete(stage, "b"),
    "a orphaned": lambda stage: _orphan(stage, "a"),
    "all published": _publish_all,
    "family followed": lambda stage: stage.follows(FAMILY),
    "scaled up": lambda stage: stage.edits(replicas=4),
    "scaled down": lambda stage: stage.edits(replicas=1),
    "candidates kept": lambda stage: stage.edits(rollback={"keepCandidate": "1h"}),
    "candidates not kept": lambda stage: stage.edits(rollback=None),
    "back when degraded": lambda stage: stage.edits(watch={"onDegraded": "Rollback"}),
    "limits of stable broken": lambda stage: _limits_of_stable(stage, broken=True),
    "limits of stable unseen": _limits_of_stable_unseen,
    "limits of stable kept": lambda stage: _limits_of_stable(stage, broken=False),
    "logbook away": _logbook_away,
    "status restored": _restored,
    "clock behind": lambda stage: stage.later(minutes=-3),
}
"""What people do to it by hand, what is deleted, and what breaks."""

BY_GATEWAY: dict[str, Act] = {
    "b and c compete": lambda stage: stage.wants_winner_of("b", "c:30", duration="20s", timeout="1h"),
    "c and d compete": lambda stage: stage.wants_winner_of("c", "d", duration="20s", keepLosers="3h"),
    "anchor served": lambda stage: stage.edits(analysis=THIRD),
    "anchor not served": lambda stage: stage.edits(analysis={"anchor": "Approve"}),
    "route deleted": lambda stage: stage.world.objects.pop(("HTTPRoute", "default", "cartpole"), None),
}
"""What is there only where a gateway carries traffic."""

BY_GATEWAY_BY_HAND: dict[str, Act] = {
    "steps match": lambda stage: stage.edits_steps(*MATCHING),
    "steps shadow": lambda stage: stage.edits_steps({"shadow": {"duration": "30s"}}, *SPEC["steps"]),
    "shadow agrees": lambda stage: _shadowed(stage, 0.0),
    "shadow differs": lambda stage: _shadowed(stage, 0.9),
}

OF_SHOWN: dict[str, Act] = {
    "preview asked for": lambda stage: stage.edits(traffic=TRAFFIC),
    "preview taken out": lambda stage: stage.edits(traffic={"gatewayAPI": {"preview": None}}),
    "preview elsewhere": lambda stage: stage.edits(traffic={"gatewayAPI": {"preview": {"hostnames": ["x." + HOST]}}}),
    "preview edited": _preview_edited,
    "preview deleted": lambda stage: stage.world.objects.pop(PREVIEW, None),
    "preview accepted": lambda stage: _preview_answer(stage, accepted=True),
    "preview refused": lambda stage: _preview_answer(stage, accepted=False),
    "other begins": lambda stage: _others_trial(stage, begins=True),
    "other ends": lambda stage: _others_trial(stage, begins=False),
    "list taken": lambda stage: stage.edits(**BY_THE_LIST),
    "list edited": lambda stage: writes_list(stage, 20),
    "list as before": lambda stage: writes_list(stage, 10, 50),
    "list deleted": lambda stage: stage.world.objects.pop(("RLProgression", "default", "ramp"), None),
}
"""What happens to one that has a preview address, is in a group and takes its steps from an RLProgression."""

OF_PODS: dict[str, Act] = {
    "a has one pod": lambda stage: _ready(stage, "a", 1),
    "b has one pod": lambda stage: _ready(stage, "b", 1),
    "b has five pods": lambda stage: _ready(stage, "b", 5),
    "service deleted": lambda stage: stage.world.objects.pop(("Service", "default", "cartpole"), None),
    "slices deleted": lambda stage: stage.world.objects.pop(("EndpointSlice", "default", "cartpole-ipv4"), None),
}
"""What happens to one whose weight is a ratio of pods."""

NAMED = EVERY_DAY | HANDS | BY_GATEWAY | BY_GATEWAY_BY_HAND | OF_SHOWN | OF_PODS
SEEN_SILENT = ("gateway accepts", "second", "second", "silent")
"""What proves a rollback, in order."""
COMMANDS = st.builds("{}@{}".format, st.sampled_from([*ACTIONS, "nonsense"]), st.integers(0, 9))


def drawn(*groups: Mapping[str, Act]) -> st.SearchStrategy[str]:
    """Any act of these, or a command."""
    return st.one_of(st.sampled_from(sorted(name for group in groups for name in group)), COMMANDS)
