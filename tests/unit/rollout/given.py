"""From the short form of a case to what `decide` is handed, and from its plan to what a case compares.

The short form leaves out what follows from the rest: a policy's digest from its name, the places of the pinned rules
from the versions on the route, a route from status. Everything in it is named by the claim of some case; keys are
checked, so a misspelt one is an error.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from belay_api.rollout import RLRolloutSpec, RLRolloutStatus
from belay_api.units import format_duration, parse_instant
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.children import Owner
from belay_operator.engine.plan import Plan
from belay_operator.rollout import build
from belay_operator.rollout.commands import parse
from belay_operator.rollout.facts import OutcomeFact, ServingFact, StatisticsFact
from belay_operator.rollout.observed import Observed, PolicyView
from belay_operator.rollout.progress import passed_hash
from belay_operator.rollout.traffic.router import Answer, RouteView

OWNER = Owner("RLRollout", "default", "cartpole", "uid-1", 1)
GIVEN = (
    *("spec", "status", "policies", "route", "routeOf", "gatewayAPI", "pods", "command", "serving", "statistics"),
    *("problem", "logbook", "late"),
)
SPEC = {"policy": {"name": "b"}, "traffic": {"gatewayAPI": {"parentRefs": [{"name": "gw"}]}}}
WINDOW = timedelta(seconds=10)


def digest(policy: str) -> str:
    """The digest of the policy of that name in all cases."""
    return f"sha256:{policy * 64}"[:71]


def observed(given: Mapping[str, Any], now: datetime) -> Observed:
    """Return what the case describes."""
    spec = RLRolloutSpec.model_validate(SPEC | dict(given.get("spec") or {}))
    status = RLRolloutStatus.model_validate(_status(given.get("status") or {}, spec))
    made = Observed(
        owner=OWNER,
        spec=spec,
        status=status,
        policies={name: _policy(name, **(said or {})) for name, said in (given.get("policies") or {}).items()},
        gateway_api=given.get("gatewayAPI", True),
        candidate_pods=given.get("pods"),
        command=parse(given["command"]) if "command" in given else None,
        serving={name: _serving(**said) for name, said in (given.get("serving") or {}).items()},
        statistics=_statistics(given, status, now),
        logbook=given.get("logbook", True),
    )
    return replace(made, route=_route(made, given, now))


def after(seen: Observed, plan: Plan, now: datetime) -> Observed:
    """Return the world once the plan is carried out, and nobody else has done anything yet."""
    status = seen.status if plan.status is None else RLRolloutStatus.model_validate(plan.status)
    route = seen.route
    if plan.apply:
        route = RouteView(uid="route", spec=plan.apply[0]["spec"], answer=Answer.PENDING, message="pending")
    if plan.delete:
        route = None
    return replace(seen, status=status, route=route)


def summary(plan: Plan) -> dict[str, Any]:
    """Return what of a plan a case compares: all of it but the form of the route and what never varies."""
    said: dict[str, Any] = {}
    if plan.status is not None:
        status = dict(plan.status)
        ready = next(c for c in status.pop("conditions") if c["type"] == "Ready")
        said["ready"] = f"{ready['status']} {ready['reason']}: {ready['message']}"
        status.pop("observedGeneration")
        if status.get("pinned") == _places(status):
            status.pop("pinned")
        if step := status.get("step"):  # its hash follows from the spec: test_stories has the edited ones
            status["step"] = {key: value for key, value in step.items() if key != "passedHash"}
        for side in ("stable", "candidate", "previous"):
            if side in status:
                status[side] = " ".join(v for k, v in status[side].items() if k in ("policy", "until"))
        said["status"] = {key: value for key, value in status.items() if value != []}
    for manifest in plan.apply:
        weighted, *pinned = manifest["spec"]["rules"]
        said["route"] = {
            "weights": {ref["name"]: ref["weight"] for ref in weighted["backendRefs"]},
            "pinned": [_pinned(rule) for rule in pinned],
        }
    if plan.delete:
        said["delete"] = [f"{ref.kind} {ref.name}" for ref in plan.delete]
    if plan.events:
        said["events"] = [f"{'Warning' if e.warning else 'Normal'} {e.reason}: {e.message}" for e in plan.events]
    if plan.requeue_after is not None:
        said["againAfter"] = format_duration(plan.requeue_after)
    return said


def _pinned(rule: Mapping[str, Any]) -> str:
    """`a`: a's episodes stay with a; `a -> b`: b answers them."""
    policy, serving = rule["matches"][0]["headers"][0]["value"], rule["backendRefs"][0]["name"]
    return policy if policy == serving else f"{policy} -> {serving}"


def _places(status: Mapping[str, Any]) -> list[str]:
    """The pinned rules of versions that came one after the other; left out of cases where they are these."""
    sides = ("previous", "stable", "candidate") if "weight" in status else ("previous", "stable")
    return list(dict.fromkeys(status[side]["policy"] for side in sides if side in status))


def _status(said: Mapping[str, Any], spec: RLRolloutSpec) -> dict[str, Any]:
    status = dict(said)
    if step := status.get("step"):
        status["step"] = {"passedHash": passed_hash(spec, step["index"]), **step}
    status.setdefault("pinned", _places(status))
    for side in ("stable", "candidate", "previous"):
        if side in status:
            status[side] = {"digest": digest(status[side]["policy"]), **status[side]}
    if "rejected" in status:
        status["rejectedDigests"] = [digest(policy) for policy in status.pop("rejected")]
    unknown = set(status) - {field.alias or name for name, field in RLRolloutStatus.model_fields.items()}
    assert not unknown, f"status knows no {unknown}"
    return status


def _policy(
    name: str, *, ready: int = 1, needed: int = 1, broken: list[str] | None = None, shared: bool = False, like: str = ""
) -> PolicyView:
    """`like`: it has the bytes of another policy."""
    return PolicyView(
        name=name,
        digest=digest(like or name),
        ready_replicas=ready,
        needed_replicas=needed,
        broken=(broken[0], broken[1]) if broken else None,
        shared=shared,
    )


def _route(seen: Observed, given: Mapping[str, Any], now: datetime) -> RouteView | None:
    """`route: accepted|pending|silent|refused`: as status asks for; `routeOf`: as another status asked for."""
    if "route" not in given:
        return None
    of = seen
    if "routeOf" in given:
        of = replace(seen, status=RLRolloutStatus.model_validate(_status(given["routeOf"], seen.spec)))
    manifest = build.route(of, now)
    assert manifest is not None, "the case has a route, but status asks for none"
    answer = Answer[given["route"].upper()]
    return RouteView(uid="route", spec=manifest["spec"], answer=answer, message=f"Gateway default/gw: {answer.name}")


def _serving(
    *,
    at: str,
    since: str | None = None,
    rate: float | None = None,
    p99: float | None = None,
    errors: float | None = None,
    requests: float | None = None,
    problem: str | None = None,
) -> ServingFact:
    return ServingFact(
        at=parse_instant(at),
        rate_since=parse_instant(since) if since else None,
        pods=1,
        request_rate=rate,
        requests=requests,
        error_rate=errors,
        latency_p99=p99,
        problem=problem,
    )


def _statistics(given: Mapping[str, Any], status: RLRolloutStatus, now: datetime) -> StatisticsFact | None:
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
        name: OutcomeFact(
            query=f"logbook {name}", at=now, statistics=_answer(name, sides, start, now, given.get("late") or {})
        )
        for name, sides in (given.get("statistics") or {}).items()
    }
    for name, problem in (given.get("problem") or {}).items():
        outcomes[name] = OutcomeFact(query=f"logbook {name}", at=now, statistics=None, problem=problem)
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
