"""From the short form of a case to what `decide` is handed, and from its plan to what a case compares.

The short form leaves out what follows from the rest: a policy's digest from its name, the places of the pinned rules
from the versions on the route, a route from status. Everything in it is named by the claim of some case; keys are
checked, so a misspelt one is an error.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import zip_longest
from math import inf
from typing import Any

from tests.world import SETTINGS, World, belay_object

from belay_api.judging_job import JudgingReport
from belay_api.policy import KnownOutcomes
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import RLRolloutStatus
from belay_api.rollout.steps import Step
from belay_api.shadowing import step_of
from belay_api.units import format_duration, parse_instant
from belay_api.wire import ShadowReport, Statistics, VersionStatistics, WindowStatistics
from belay_operator.children import Owner
from belay_operator.engine.plan import Plan, Ref
from belay_operator.judging.build import job_name
from belay_operator.judging.question import Question
from belay_operator.judging.view import JobEnd, JobView
from belay_operator.rollout import carried, experiment, progression_source, route, scaling, watch, winner
from belay_operator.rollout.analysis.blocks import Held
from belay_operator.rollout.analysis.queries import definition_of, outcome_query
from belay_operator.rollout.analysis.standing import Seen
from belay_operator.rollout.arms import compared
from belay_operator.rollout.facts import Reading, Scrape, ServingFact, ShadowFact, StatisticsFact
from belay_operator.rollout.histogram import Histogram
from belay_operator.rollout.observe import with_steps
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.policy_view import PolicyView
from belay_operator.rollout.situations.command_given import parse
from belay_operator.rollout.sources import all_sources
from belay_operator.rollout.sources.source import Sides
from belay_operator.rollout.stepping import kind_under_way, passed_hash, step_at
from belay_operator.rollout.traffic import router
from belay_operator.rollout.traffic.router import Acceptance, TrafficObject, TrafficView
from belay_operator.rollout.trials import judged_by

OWNER = Owner("RLRollout", "default", "cartpole", "uid-1", 1)
GIVEN = (
    *("spec", "status", "policies", "route", "routeOf", "gatewayAPI", "pods", "command", "serving", "statistics"),
    *("problem", "logbook", "late", "job", "family", "watched", "standing", "shadow", "progressions"),
)
ELSEWHERE = ("weightChanges", "weightHistory", "trials", "replicas", "selector")  # see test_trials, test_scaling
SPEC = {"policy": {"name": "b"}, "traffic": {"gatewayAPI": {"parentRefs": [{"name": "gw"}]}}}
WINDOW = timedelta(seconds=10)


def digest(policy: str) -> str:
    """The digest of the policy of that name in all cases."""
    return f"sha256:{policy * 64}"[:71]


def observed(given: Mapping[str, Any], now: datetime) -> Observed:
    """Return what the case describes."""
    spec = RLRolloutSpec.model_validate(SPEC | dict(given.get("spec") or {}))
    status = RLRolloutStatus.model_validate(_status(given.get("status") or {}, spec))
    policies = {name: _policy(name, **(said or {})) for name, said in (given.get("policies") or {}).items()}
    serving = {name: _serving(status, **said) for name, said in (given.get("serving") or {}).items()}
    made = Observed(
        owner=OWNER,
        spec=spec,
        recorded=status,
        status=status,
        router=router(spec.traffic, owner=OWNER, labels={}),
        traffic=TrafficView(installed=given.get("gatewayAPI", True), acceptance=Acceptance.SILENT),
        settings=SETTINGS,
        policies=policies,
        family=tuple(given.get("family") or ()),
        candidate_pods=given.get("pods"),
        command=parse(given["command"]) if "command" in given else None,
        serving=serving,
        shadow=_shadow(given.get("shadow"), status),
        readings=_readings(given, spec, status, serving, now),
        watched=_watched(given, spec, status, now),
        standing={} if status.stable is None else {status.stable.policy: _standing(given, now)},
        arms=_arms(given, spec, status, serving, now),
    )
    made = with_steps(made, _progressions(given))
    return _asked(replace(made, traffic=_traffic(made, given, now)), given.get("job"))


def after(seen: Observed, plan: Plan, now: datetime, given: Mapping[str, Any]) -> Observed:
    """Return the world once the plan is carried out, and nobody else has done anything yet."""
    recorded = seen.recorded if plan.status is None else RLRolloutStatus.model_validate(plan.status)
    traffic = seen.traffic
    routes = [manifest for manifest in plan.apply if manifest["kind"] == "HTTPRoute"]
    if routes:
        traffic = _carrying(routes[0], Acceptance.PENDING)
    if plan.delete:
        traffic = replace(traffic, objects=(), acceptance=Acceptance.SILENT)
    status = carried.read(recorded, traffic.objects, seen.owner, seen.settings)
    return with_steps(
        replace(seen, recorded=recorded, status=status, traffic=traffic, unfit=None), _progressions(given)
    )


def summary(plan: Plan) -> dict[str, Any]:
    """Return what of a plan a case compares: all of it but the form of the route and what never varies."""
    said: dict[str, Any] = {}
    if plan.status is not None:
        status = {name: value for name, value in plan.status.items() if name not in ELSEWHERE}
        ready = next(c for c in status.pop("conditions") if c["type"] == "Ready")
        said["ready"] = f"{ready['status']} {ready['reason']}: {ready['message']}"
        status.pop("observedGeneration")
        if status.get("pinned") == _places(status):
            status.pop("pinned")
        if step := status.get("step"):  # its hash follows from the spec: test_stories has the edited ones
            status["step"] = {key: value for key, value in step.items() if key != "passedHash"}
        if weight := status.get("weight"):
            status["weight"] = {key: value for key, value in weight.items() if key != "since"}
        status["verdicts"] = [
            {key: value for key, value in verdict.items() if key not in ("definition", "evidenceSince")}
            for verdict in status.get("verdicts", [])
        ]
        status |= _versions(status)
        status |= _competing(status)
        status |= _watch(status)
        status |= _progression(status)
        if regret := status.get("regret"):
            status["regret"] = _regret(regret)
        said["status"] = {key: value for key, value in status.items() if value != []}
    routes = [manifest for manifest in plan.apply if manifest["kind"] == "HTTPRoute"]
    made = [f"{one['kind']} {one['metadata']['name']}" for one in (*plan.create, *plan.apply) if one not in routes]
    if made:
        said["made"] = made
    for manifest in routes:
        if text := manifest["metadata"].get("annotations", {}).get(carried.ANNOTATION):
            said["carried"] = _carried(text)
        said["route"] = _rules(manifest["spec"]["rules"])
        mirrored = [_mirrored(rule) for rule in manifest["spec"]["rules"]]
        if any(mirrored):
            said["route"]["mirrored"] = mirrored
    if plan.delete:
        said["delete"] = [f"{ref.kind} {ref.name}" for ref in plan.delete]
    if plan.events:
        said["events"] = [f"{'Warning' if e.warning else 'Normal'} {e.reason}: {e.message}" for e in plan.events]
    if plan.requeue_after is not None:
        said["requeueAfter"] = format_duration(plan.requeue_after)
    return said


def _versions(status: Mapping[str, Any]) -> dict[str, str]:
    """The versions of a status, each in a few words."""
    said = {
        side: " ".join(v for k, v in status[side].items() if k in ("policy", "until"))
        for side in ("stable", "candidate", "previous", "kept")
        if side in status
    }
    if anchor := status.get("anchor"):
        said["anchor"] = f"{anchor['policy']} and {anchor['promotions']} since"
    if third := status.get("servedAnchor"):
        where = "on the route" if third["onRoute"] else f"until {third['until']}" if "until" in third else "asked for"
        said["servedAnchor"] = f"{third['policy']} {where}"
    return said


def _competing(status: Mapping[str, Any]) -> dict[str, Any]:
    """Arms in a few words each, and of an experiment what does not follow from the case; see test_experiment."""
    said: dict[str, Any] = {}
    if served := status.get("arms"):
        said["arms"] = [
            f"{arm['policy']} at {arm['weight']}% "
            + ("on the route" if arm.get("onRoute") else "off the route")
            + ("" if arm.get("accepted", True) else ", not accepted")
            + "".join(f", {key} {arm[key]}" for key in ("episodesUntil", "until") if key in arm)
            for arm in served
        ]
    if found := status.get("experiment"):
        hidden = ("definition", "judgedBy", "stableDigest")
        kept = {key: value for key, value in found.items() if key not in hidden}
        own = ("digest", "weight", "verdicts")
        kept["arms"] = [
            {key: value for key, value in arm.items() if key not in own}
            | ({"verdicts": verdicts} if (verdicts := _reached(arm)) else {})
            for arm in found["arms"]
        ]
        said["experiment"] = kept
    return said


def _reached(arm: Mapping[str, Any]) -> dict[str, str]:
    return {one["metric"]: one["verdict"] for one in arm.get("verdicts") or ()}


def _progression(status: Mapping[str, Any]) -> dict[str, str]:
    """The steps that the spec does not list, in a line."""
    told = status.get("progression")
    return {} if told is None else {"progression": f"{told['source']}: {' · '.join(map(_step, told['steps']))}"}


def _progressions(given: Mapping[str, Any]) -> World:
    """`progressions: {name: [steps]}`: the RLProgressions that there are; null: the cluster does not know the kind."""
    told = given.get("progressions", {})
    missing = ["RLProgression"] if told is None else []
    return World(
        [belay_object("RLProgression", name, {"steps": said}) for name, said in (told or {}).items()], missing=missing
    )


def _step(said: Mapping[str, Any]) -> str:
    """`setWeight 5`, `analyze`."""
    [(kind, value)] = said.items()
    return f"{kind} {value}" if isinstance(value, int) else str(kind)


def _watch(status: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of the watch, without what follows from the spec."""
    told = [one for one in status.get("watch") or () if one.keys() & {"reference", "evidence", "degradedSince"}]
    return {"watch": [{key: value for key, value in one.items() if key != "definition"} for one in told]}


def _regret(said: Mapping[str, Any]) -> str:
    """What was lost, in a line."""
    lost = "{metric}: {estimate:g} ({low:g} to {high:g}) by {episodes}".format(**said)
    risk = said.get("next")
    return (
        lost if risk is None else lost + "; at {weight:g} % for {time} by {episodes} at most {atMost:g}".format(**risk)
    )


def _carried(text: str) -> dict[str, Any]:
    """What the route says ahead of status."""
    said = json.loads(text.partition(" ")[2])
    return {
        "step": {key: value for key, value in said["step"].items() if key != "passedHash"},
        "weight": {key: value for key, value in said["weight"].items() if key != "since"},
    }


def _rules(rules: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Who gets new episodes, and those under way; once there was a segment, the same of it, and the places of all.

    Where users are assigned, how many of a hundred have another share than who says no user, and which.
    """
    if (
        len(rules) > 1
        and "x-belay-user-tens" in (digits := [one["headers"] for one in rules[1]["matches"]])[0][0].values()
    ):
        weights = {ref["name"]: ref["weight"] for ref in rules[1]["backendRefs"]}
        theirs = {"of": sum(10 if len(one) == 1 else 1 for one in digits), "weights": weights}
        return {**_rules([rules[0], *rules[2:]]), "users": theirs}
    headers = [
        {one["name"]: one["value"] for one in rule["matches"][0].get("headers", ()) if one["name"] != "x-belay-policy"}
        for rule in rules
    ]
    theirs = next((said for said in headers if said), None)
    made = {}
    for key, wanted in (("everybody", {}), ("segment", theirs)):
        weighted, *pinned = [rule for rule, said in zip(rules, headers, strict=True) if said == wanted] or [None]
        if weighted is None:
            continue
        weights = {ref["name"]: ref["weight"] for ref in weighted["backendRefs"]}
        made[key] = {"weights": weights, "pinned": [_pinned(rule) for rule in pinned]}
        told = {
            "x-belay-rollout" in str(rule["filters"][1]["requestHeaderModifier"].get("set"))
            for rule in (weighted, *pinned)
        }
        assert len(told) == 1, "an episode is whose its first decision was"
        if told == {False}:
            made[key]["told"] = False
    if theirs is None:
        return made["everybody"]
    made["segment"] = {"of": ", ".join(f"{name}: {value}" for name, value in theirs.items()), **made["segment"]}
    return made["everybody"] | {"segment": made["segment"], "places": "".join("es"[bool(said)] for said in headers)}


def _pinned(rule: Mapping[str, Any]) -> str:
    """`a`: a's episodes stay with a; `a -> b`: b answers them."""
    headers = {one["name"]: one["value"] for one in rule["matches"][0]["headers"]}
    policy, serving = headers["x-belay-policy"], rule["backendRefs"][0]["name"]
    return policy if policy == serving else f"{policy} -> {serving}"


def _mirrored(rule: Mapping[str, Any]) -> str | None:
    """To whom a rule mirrors, how much, and what it tells the pods; None: nothing."""
    found = [one["requestMirror"] for one in rule["filters"] if one["type"] == "RequestMirror"]
    told = {one["name"]: one["value"] for one in rule["filters"][1]["requestHeaderModifier"].get("set", ())}
    assert bool(found) == ("x-belay-shadow" in told)
    return (
        f"{found[0]['backendRef']['name']} {found[0].get('percent', 100)}% {told['x-belay-shadow']}" if found else None
    )


def _places(status: Mapping[str, Any]) -> list[str]:
    """The pinned rules of versions that came one after the other; left out of cases where they are these."""
    sides = ("previous", "stable", "candidate") if "weight" in status else ("previous", "stable")
    found = [status[side]["policy"] for side in sides if side in status]
    if "weight" in status and status.get("servedAnchor", {}).get("onRoute"):
        found = [status["servedAnchor"]["policy"], *found]
    found += [arm["policy"] for arm in status.get("arms") or () if arm.get("onRoute") or "episodesUntil" in arm]
    return list(dict.fromkeys(found))


def _status(said: Mapping[str, Any], spec: RLRolloutSpec) -> dict[str, Any]:
    status = dict(said)
    if followed := status.get("progression"):
        spec = spec.model_copy(update={"steps": [Step.model_validate(step) for step in followed["steps"]]})
        if followed["asked"] == "this":
            now = progression_source.declared(spec, OWNER.namespace, World())
            assert now is not None
            status["progression"] = {**followed, "asked": now.asked}
    if step := status.get("step"):
        status["step"] = {"passedHash": passed_hash(spec, step["index"]), **step}
    if (weight := status.get("weight")) and weight.get("applied") == weight["desired"]:
        # Unless the case says otherwise, the weight in force is the first of the trial.
        status["weight"] = {"since": status.get("analysisStartedAt"), **weight}
    definitions = {metric.name: definition_of(metric, spec.analysis) for metric in spec.analysis.metrics}
    status["verdicts"] = [
        {
            "definition": definitions[verdict["metric"]],
            "evidenceSince": (status.get("weight") or {}).get("since"),
            **verdict,
        }
        for verdict in status.get("verdicts") or ()
    ]
    if (regret := status.get("regret")) and regret["definition"] == "this":
        status["regret"] = {**regret, "definition": definitions[regret["metric"]]}
    if "watch" in status:
        status["watch"] = [{"definition": definitions[one["metric"]], **one} for one in status["watch"]]
    elif "stable" in status and "candidate" not in status:  # recorded at its promotion, and nothing counted since
        at, policy = status["stable"]["since"], status["stable"]["policy"]
        status["watch"] = [
            {"metric": metric.name, "definition": definitions[metric.name], "policy": policy, "countedUntil": at}
            for metric in watch.watched(spec.analysis)
        ]
    status.setdefault("pinned", _places(status))
    status |= _experiment(status, spec)
    for side in ("stable", "candidate", "previous", "anchor", "servedAnchor", "kept"):
        if side in status:
            status[side] = {"digest": digest(status[side]["policy"]), **status[side]}
    if "rejected" in status:
        status["rejectedDigests"] = [digest(policy) for policy in status.pop("rejected")]
    unknown = set(status) - {field.alias or name for name, field in RLRolloutStatus.model_fields.items()}
    assert not unknown, f"status knows no {unknown}"
    if "stable" in status or "candidate" in status:
        shown = scaling.shown(RLRolloutStatus.model_validate(status))
        status = {"replicas": spec.replicas, "selector": shown} | status
    return status


def _experiment(status: Mapping[str, Any], spec: RLRolloutSpec) -> dict[str, Any]:
    """Arms and the experiment with their digests; `definition: this`: it is the one that the spec asks for."""
    said: dict[str, Any] = {}
    if "arms" in status:
        said["arms"] = [{"digest": digest(arm["policy"]), **arm} for arm in status["arms"]]
    if found := status.get("experiment"):
        found = {"judgedBy": judged_by(spec.analysis), "stableDigest": digest(found["stable"]), **found}
        if found["definition"] == "this":
            assert spec.policy.winner_of is not None
            found["definition"] = winner.definition_of(spec.policy.winner_of)
        arms = [{"digest": digest(arm["policy"]), "weight": 10, **arm} for arm in found["arms"]]
        said["experiment"] = found | {"arms": arms}
    return said


def _asked(seen: Observed, job: Mapping[str, Any] | None) -> Observed:
    """`job: {…}`: the Job of what the step asks, as far as it is; `this` stands for its question in the status."""
    step, kind = seen.status.step, kind_under_way(seen)
    asked = None if step is None or kind is None else kind.question(step_at(seen.spec, step.index), seen)
    if not isinstance(asked, Question):
        assert job is None, "nothing is asked that could have a Job"
        return seen
    said = json.loads(json.dumps(seen.status.dump()).replace('"this"', f'"{asked.hash}"'))
    status, name = RLRolloutStatus.model_validate(said), job_name(seen.owner, asked)
    seen = replace(seen, status=status, recorded=status)
    if job is None:
        return replace(seen, asked_job=JobView(name))
    meta = {"name": name, "namespace": "default", "uid": "uid-job"}
    ref = Ref("batch/v1", "Job", "default", name, "uid-job")
    view = JobView(name, exists=True, ours=True, ref=ref, **_job(asked, **job))
    return replace(seen, asked_job=view, jobs=({"kind": "Job", "metadata": meta},))


def _job(
    asked: Question,
    *,
    started: bool = False,
    ended: str | None = None,
    report: Mapping[str, Any] | None = None,
    failure: str | None = None,
    unschedulable: str | None = None,
    evictions: int = 0,
) -> dict[str, Any]:
    """`ended: Complete`, or the reason of its failure; `report`: the last word of its pod, without what it repeats."""
    at = parse_instant("2026-05-04T10:00:10Z")
    stamped = {
        key: {"digest": asked.artifact.digest, "question": asked.hash, **said} for key, said in (report or {}).items()
    }
    return {
        "started": started or ended is not None,
        "end": JobEnd(ended == "Complete", ended, "", at) if ended else None,
        "report": JudgingReport.model_validate({"outcome": "Judged", **stamped}) if report else None,
        "failure": failure,
        "unschedulable": unschedulable,
        "evictions": evictions,
        "spec": {"template": {}} if evictions > asked.asked.retries else None,
    }


def _policy(
    name: str,
    *,
    ready: int = 1,
    needed: int = 1,
    broken: list[str] | None = None,
    shared: bool = False,
    like: str = "",
    deleted: bool = False,
    outcomes: Mapping[str, Any] | None = None,
    asks: Mapping[str, Any] | None = None,
    created: str | None = None,
    fit: bool = True,
) -> PolicyView:
    """`like`: it has the bytes of another policy. `asks`: what its spec asks of it. `fit`: its Ready condition."""
    artifact = {"uri": f"pvc://policies/{name}", "digest": digest(like or name)}
    return PolicyView(
        name=name,
        digest=digest(like or name),
        ready_replicas=ready,
        needed_replicas=needed,
        broken=(broken[0], broken[1]) if broken else None,
        shared=shared,
        deleted=deleted,
        asks={"artifact": artifact, **(asks or {})},
        outcomes=KnownOutcomes.model_validate(outcomes) if outcomes else None,
        is_ready=fit,
        created=parse_instant(created) if created else None,
    )


def _shadow(said: Mapping[str, Any] | None, status: RLRolloutStatus) -> ShadowFact | None:
    """`shadow: {at, report: {…}}` or `{at, problem}`: what was last heard of the step under way."""
    if said is None:
        return None
    assert status.step is not None
    assert status.candidate is not None
    assert status.stable is not None
    return ShadowFact(
        step=said.get("of") or step_of(status.step.started_at),
        candidate=status.candidate.policy,
        stable=status.stable.policy,
        at=parse_instant(said["at"]),
        query="logbook shadows",
        report=ShadowReport.model_validate(said["report"]) if "report" in said else None,
        problem=said.get("problem"),
    )


def _traffic(seen: Observed, given: Mapping[str, Any], now: datetime) -> TrafficView:
    """`route: accepted|pending|silent|refused`: as status asks for; `routeOf`: as another status asked for."""
    if "route" not in given:
        return seen.traffic
    of = seen
    if "routeOf" in given:
        of = replace(seen, status=RLRolloutStatus.model_validate(_status(given["routeOf"], seen.spec)))
    manifests = seen.router.objects(route.intent(of, now), seen.traffic)
    assert manifests, "the case has a route, but status asks for none"
    return _carrying(manifests[0], Acceptance[given["route"].upper()])


def _carrying(manifest: Mapping[str, Any], acceptance: Acceptance) -> TrafficView:
    ref = Ref(manifest["apiVersion"], manifest["kind"], "default", manifest["metadata"]["name"], "route")
    return TrafficView(
        objects=(
            TrafficObject(
                ref,
                manifest["spec"],
                owned=True,
                foreign=False,
                annotations=manifest["metadata"].get("annotations", {}),
            ),
        ),
        acceptance=acceptance,
        message=f"Gateway default/gw: {acceptance.name}",
    )


def _serving(
    status: RLRolloutStatus,
    *,
    at: str,
    since: str | None = None,
    rate: float | None = None,
    counted: list[list[float]] | None = None,
    quiet: float = 0.0,
    counting: str = "2026-05-04T10:00:20Z",
    weight_from: int = 0,
    requests: float | None = None,
    problem: str | None = None,
    earlier: str | None = None,
) -> ServingFact:
    """One policy's pods.

    Args:
        counted: Per scrape: seconds since the first, requests, and those that took longer than 100 ms.
        quiet: Seconds since the last request, at the last scrape.
        weight_from: Number of the scrape that first knew of the weight.
        earlier: `trial`: scraped for another trial; `weight`: before the last change of weight was known.
    """
    off_route = status.rollback.weight_zero_at if status.rollback else None
    return ServingFact(
        at=parse_instant(at),
        rate_since=parse_instant(since) if since else None,
        pods=1,
        request_rate=rate,
        requests=requests,
        counting=parse_instant(counting),
        scrapes=tuple(_scrape(i, *one, quiet=quiet) for i, one in enumerate(counted or [[0, 0, 0]])),
        problem=problem,
        trials=_of(status.analysis_started_at if earlier != "trial" else None),
        weights={
            name: (weight, weight_from)
            for name, weight in _of(status.weight.since if earlier is None and status.weight else None).items()
        },
        off_route=_of(off_route if off_route and since and parse_instant(since) >= off_route else None),
    )


def _scrape(number: int, elapsed_s: float, requests: float, slow: float, *, quiet: float) -> Scrape:
    latencies = Histogram.of({0.1: requests - slow, 10.0: requests, inf: requests})
    return Scrape(number, elapsed_s, quiet, requests, 0.0, latencies)


def _of(at: datetime | None) -> dict[str, datetime]:
    return {} if at is None else {OWNER.name: at}


def _readings(
    given: Mapping[str, Any],
    spec: RLRolloutSpec,
    status: RLRolloutStatus,
    serving: Mapping[str, ServingFact],
    now: datetime,
) -> dict[str, Reading]:
    """What the real sources make of the facts that the case describes."""
    sides = Sides.of("default", "cartpole", status, spec.analysis)
    if sides is None:
        return {}
    facts: dict[tuple[str, str, str], Any] = {("serving", "default", name): fact for name, fact in serving.items()}
    facts["statistics", "default", "cartpole"] = _statistics(given, spec.analysis, status, now)
    world = World(facts=facts)
    settings = SETTINGS if given.get("logbook", True) else replace(SETTINGS, logbook_url=None)
    sources = all_sources()
    found = {m.name: sources[m.source.kind].reading(m, sides, world, settings) for m in spec.analysis.metrics}
    return {name: reading for name, reading in found.items() if reading is not None}


def _standing(given: Mapping[str, Any], now: datetime) -> dict[str, Seen]:
    """`standing: {latency: {against: 1.2, share: 0.5, wealth: 1, bound: 0.1, calm: 60}}`: of stable and its limits."""
    return {
        metric: Seen(
            Held(
                counting=now,
                scrape=9,
                evidence=(said["against"], 0.0, 0.0, 0.0, 0.0),
                wealth=said.get("wealth", 1.0),
                share=said["share"],
                bound_s=said.get("bound"),
            ),
            calm_s=60.0 * said.get("calm", 0),
        )
        for metric, said in (given.get("standing") or {}).items()
    }


def _watched(
    given: Mapping[str, Any], spec: RLRolloutSpec, status: RLRolloutStatus, now: datetime
) -> dict[str, Reading]:
    """`watched: {return: {each: [count, mean, spread], windows: number}}`: of the stable version since its record."""
    found = {}
    for metric in spec.analysis.metrics:
        said = (given.get("watched") or {}).get(metric.name)
        if said is None or status.stable is None:
            continue
        query = watch.query_of(metric, spec.analysis)
        record = next((one for one in status.watch if one.metric == metric.name), None)
        assert query is not None
        start, length = record.counted_until if record else status.stable.since, timedelta(seconds=query.window_s)
        count, mean, spread = said["each"]
        windows = [
            _window(start + index * length, count=count, mean=mean, spread=spread, missing=0, late=0)
            for index in range(said["windows"])
        ]
        versions = [VersionStatistics(version=status.stable.policy, windows=windows)]
        answer = Statistics(outcome=query.outcome, at=now, etag="1", versions=versions)
        found[metric.name] = Reading(query="logbook", at=now, windows=answer, outcome_query=query)
    return found


def _arms(
    given: Mapping[str, Any],
    spec: RLRolloutSpec,
    status: RLRolloutStatus,
    serving: Mapping[str, ServingFact],
    now: datetime,
) -> dict[str, dict[str, Reading]]:
    """The same of each arm of an experiment under way: `statistics` are of all of them."""
    under_way = compared(status)
    if under_way is None:
        return {}
    return {
        arm.policy: _readings(given, spec, experiment.as_candidate(status, under_way, arm), serving, now)
        for arm in under_way.arms
    }


def _statistics(
    given: Mapping[str, Any], analysis: AnalysisSpec, status: RLRolloutStatus, now: datetime
) -> StatisticsFact | None:
    """`statistics: {return: {b: [[count, mean, spread, missing], …], a: […]}}`, one entry per window of 10 s.

    `late: {b: [late per window, longest in seconds]}`: of either version, for every outcome.
    """
    if "statistics" not in given and "problem" not in given:
        return None
    assert status.candidate is not None
    assert status.stable is not None
    assert status.analysis_started_at is not None
    start = status.analysis_started_at
    outcomes = {
        name: Reading(
            query=f"logbook {name}",
            at=now,
            windows=_answer(name, sides, start, now, given.get("late") or {}),
            outcome_query=outcome_query(name, analysis),
        )
        for name, sides in (given.get("statistics") or {}).items()
    }
    for name, problem in (given.get("problem") or {}).items():
        outcomes[name] = Reading(
            query=f"logbook {name}", at=now, outcome_query=outcome_query(name, analysis), problem=problem
        )
    return StatisticsFact(status.candidate.policy, status.stable.policy, start, outcomes)


def _answer(
    name: str, sides: Mapping[str, Any], start: datetime, now: datetime, late: Mapping[str, list[Any]]
) -> Statistics:
    versions = [
        VersionStatistics(
            version=version,
            longest=late.get(version, [(), None])[1],
            windows=[
                _window(start + i * WINDOW, count=c, mean=m, spread=s, missing=missing, late=n)
                for i, ((c, m, s, missing), n) in enumerate(
                    zip_longest(windows, late.get(version, [()])[0], fillvalue=0)
                )
            ],
        )
        for version, windows in sides.items()
    ]
    return Statistics(outcome=name, at=now, etag="1", versions=versions)


def _window(start: datetime, *, count: int, mean: float, spread: float, missing: int, late: int) -> WindowStatistics:
    some = count > 0
    return WindowStatistics(
        start=start,
        count=count,
        missing=missing,
        late=late,
        mean=mean if some else None,
        m2=spread**2 * max(count - 1, 0),
        min=mean - 3 * spread if some else None,
        max=mean + 3 * spread if some else None,
    )
