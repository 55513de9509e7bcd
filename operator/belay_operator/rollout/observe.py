"""What a rollout's decision needs, read from the cache into one frozen value; and `KIND`, the engine's door.

RLRollout ──owns──▶ the objects that carry traffic, such as an HTTPRoute      (traffic/)
    │                    └ accepted by the Gateway?
    ├─ names ──▶ RLPolicy: digest, ready replicas, verified? or, once it is deleted, its pods that serve on
    ├─ metrics ──▶ what each metric's source last measured                    (sources/)
    └─ fact `serving` of stable, candidate and the anchor on trial: their requests
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from belay_api.conditions import clear_condition, set_condition
from belay_api.names import CLOSED_LABEL, COMMAND_ANNOTATION, FAMILY_LABEL, POLICY_LABEL
from belay_api.policy import KnownOutcomes
from belay_api.reasons import PolicyReason, RolloutReason
from belay_api.rollout.spec import RLRolloutSpec
from belay_api.rollout.status import RLRolloutStatus
from belay_api.units import parse_instant
from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.engine.indexes import FAMILY, PARTNER, POLICY, PROGRESSION, ROLLOUT_GROUP
from belay_operator.engine.kind import Kind, Priority, Reader
from belay_operator.engine.plan import Key, Plan, Settings
from belay_operator.judging.question import Question
from belay_operator.judging.view import JobView, view
from belay_operator.policy.deployments import pods_of, ready_pods
from belay_operator.policy.leftover import Leftover, concerned, left_of, leftovers_of
from belay_operator.rollout import (
    anchor,
    arms,
    carried,
    experiment,
    group,
    latest,
    peers,
    progression_source,
    scaling,
    specification,
    standing,
    unwatched,
    watch,
)
from belay_operator.rollout.decide import decide
from belay_operator.rollout.facts import Reading, StatisticsFact
from belay_operator.rollout.gauges import GAUGES
from belay_operator.rollout.move import changed
from belay_operator.rollout.observed import Observed, Preview
from belay_operator.rollout.policy_view import PolicyView
from belay_operator.rollout.raw_status import is_rolling_back
from belay_operator.rollout.situations.command_given import parse
from belay_operator.rollout.sources import all_sources, shadows
from belay_operator.rollout.sources.logbook import NOT_INSTALLED, WATCH_TOPIC
from belay_operator.rollout.sources.source import Sides
from belay_operator.rollout.stepping import kind_under_way, step_at
from belay_operator.rollout.traffic import preview_router, replicas, router

KIND_NAME = "RLRollout"
SOURCES = all_sources()
ASKS = ("artifact", "validation", "offlineEvaluation")  # of an RLPolicy's spec: what a step's Job is made of
# Reasons of Verified=False that no waiting mends: the policy's bytes are fixed, and they are not servable.
BROKEN = frozenset({PolicyReason.DIGEST_MISMATCH, PolicyReason.ARTIFACT_INVALID, PolicyReason.ARTIFACT_NOT_FOUND})
# Reasons worth repeating in the rollout. The other words of a policy (fetching, loading) say only that it is not ready,
# and each would be one more write.
TROUBLE = BROKEN | {
    PolicyReason.POD_START_FAILED,
    PolicyReason.UNSCHEDULABLE,
    PolicyReason.STORE_UNAVAILABLE,
    PolicyReason.CHILD_CONFLICT,
    PolicyReason.CHILD_REFUSED,
    PolicyReason.NAME_IN_USE,
    PolicyReason.NOT_VALIDATED,
    PolicyReason.INVALID_SPEC,
}


def observe(body: Mapping[str, Any], reader: Reader, settings: Settings) -> Observed:
    """Return the rollout in `body` with its policies, traffic and readings.

    Raises: ValueError for a spec that the API server let pass and that cannot be carried out, where nothing is served
        yet. Where something is, what is left of the spec is gone on with, and `unfit` says what was left out.
    """
    owner = Owner.of(body)
    recorded = RLRolloutStatus.model_validate(body.get("status") or {})
    trial = recorded.candidate or recorded.stable
    read = specification.read(body.get("spec") or {}, serving=trial.policy if trial else None)
    if read.unfit is not None and trial is None:
        raise ValueError(read.unfit)
    spec = read.spec
    way = router(read.spec.traffic, owner=owner, labels=settings.labels)
    family = _family(owner, spec, reader)
    named = _named(family, spec, recorded)  # what is carried names no others
    traffic = way.read(reader, named)
    status = carried.read(recorded, traffic.objects, owner, settings)
    annotation = (body["metadata"].get("annotations") or {}).get(COMMAND_ANNOTATION)
    sides = [side.policy for side in (status.candidate, status.stable, status.served_anchor) if side is not None]
    facts = {name: reader.fact("serving", owner.namespace, name) for name in sides}
    at_rest = reader.fact(standing.TOPIC, owner.namespace, owner.name)
    watched = _watched(owner, spec, status, reader, settings)
    made = Observed(
        owner=owner,
        spec=spec,
        recorded=recorded,
        status=status,
        router=way,
        traffic=traffic,
        settings=settings,
        preview=_preview(owner, spec, reader, settings),
        policies=_policies(owner, named, spec, status, reader),
        family=family,
        group=_group(owner, spec, reader),
        candidate_pods=_endpoints(owner, status, reader),
        command=parse(annotation) if annotation else None,
        readings=_readings(owner, spec, status, reader, settings),
        arms=_arms(owner, spec, status, reader, settings),
        watched=watched,
        standing=standing.told(at_rest, spec.analysis),
        silences={}
        if status.stable is None
        else {status.stable.policy: unwatched.silences(at_rest, watched, spec.analysis, status.stable.policy)},
        serving={name: fact for name, fact in facts.items() if fact is not None},
        shadow=reader.fact(shadows.TOPIC, owner.namespace, owner.name),
        leftovers=leftovers_of(reader, owner),
        jobs=tuple(reader.owned("Job", owner.uid)),
        unfit=read.unfit,
    )
    made = with_steps(made, reader)
    return replace(made, asked_job=_asked_job(made, reader))


def _preview(owner: Owner, spec: RLRolloutSpec, reader: Reader, settings: Settings) -> Preview | None:
    """The preview address as the spec has it, and what carries it; where it has none, what is left of one."""
    gateway, way = spec.traffic.gateway_api, preview_router(spec.traffic, owner=owner, labels=settings.labels)
    if gateway is None or way is None:
        return None
    return Preview(wanted=gateway.preview is not None, router=way, traffic=way.read(reader, ()))


def with_steps(observed: Observed, reader: Reader) -> Observed:
    """Return the same with the steps that hold now, where the spec does not list them."""
    spec, status = observed.spec, observed.status
    declared, kept = (
        progression_source.declared(spec, observed.owner.namespace, reader),
        progression_source.kept(spec, status),
    )
    made = replace(observed, declared=declared, kept=kept).following()
    return replace(made, unfit=_unfit(made), peers=_peers(made, reader))


def invalid(body: Mapping[str, Any], message: str, now: datetime) -> Plan:
    """Return a plan that says the spec cannot be carried out, and leaves traffic as it is."""
    before = RLRolloutStatus.model_validate(body.get("status") or {})
    generation, reason = Owner.of(body).generation, RolloutReason.INVALID_SPEC
    conditions = clear_condition(list(before.conditions), "Reconciling")
    for kind, holds in (("Ready", False), ("Stalled", True)):
        conditions = set_condition(
            conditions, kind, holds, reason=reason, message=message, generation=generation, now=now
        )
    after = changed(before, conditions=conditions, observed_generation=generation)
    return Plan(status=None if after.dump() == before.dump() else after.dump())


def priority(body: Mapping[str, Any], reader: Reader) -> Priority:
    """Return ROLLBACK while a rollback is not proven, else ROLLOUT: traffic goes before what is not traffic."""
    return Priority.ROLLBACK if is_rolling_back(body.get("status") or {}) else Priority.ROLLOUT


def related(change: Change, reader: Reader) -> Iterable[Key]:
    """Return the rollouts that a changed policy, or a pod or Service of one, concerns.

    A policy's counts and its words on the way are no news to a rollout, and a thousand rollouts may name one.
    """
    kind, body, (namespace, _) = change.kind, change.latest, change.name
    if kind == "RLPolicy":
        return _keys(namespace, _told(change, reader))
    if kind == progression_source.KIND_NAME:
        return _keys(namespace, _taking(change, reader))
    if kind == KIND_NAME:
        return _keys(namespace, [*_queueing(change, reader), *_meeting(change, reader)])
    if kind not in ("Deployment", "Service", "Pod"):
        return ()
    meta = body["metadata"]
    policy = meta["name"] if kind == "Deployment" else (meta.get("labels") or {}).get(POLICY_LABEL, "")
    # Where the policy lives its status tells of readiness; but for who waits to see pods come or gone.
    users = reader.indexed(POLICY, KIND_NAME, namespace, policy)
    proving = [one for one in users if kind != "Deployment" and priority(one, reader) == Priority.ROLLBACK]
    waiting = [one for one in users if _waits(one, policy) or (kind == "Pod" and replicas.hears(one))]
    left = (Key(KIND_NAME, namespace, name) for name in concerned(kind, body, reader))
    return {*_keys(namespace, proving), *_keys(namespace, waiting), *left}


def _told(change: Change, reader: Reader) -> list[Mapping[str, Any]]:
    """The rollouts to which a change of a policy says anything new: who names it, and who follows its family."""
    namespace, name = change.name
    before, after = (None if side is None else _read(side) for side in (change.before, change.after))
    named = [] if before == after else reader.indexed(POLICY, KIND_NAME, namespace, name)
    sides = [() if read is None else (read.family, read.is_ready, read.deleting) for read in (before, after)]
    families = {read.family for read in (before, after) if read is not None} if sides[0] != sides[1] else set()
    return named + [one for family in sorted(families) for one in reader.indexed(FAMILY, KIND_NAME, namespace, family)]


def _taking(change: Change, reader: Reader) -> list[Mapping[str, Any]]:
    """The rollouts that take the steps of a changed RLProgression."""
    before, after = (None if side is None else side.get("spec") for side in (change.before, change.after))
    if before == after:
        return []
    return reader.indexed(PROGRESSION, KIND_NAME, *change.name)


def _group(owner: Owner, spec: RLRolloutSpec, reader: Reader) -> tuple[group.Member, ...]:
    """The others of the rollout's group that have a place in it or ask for one."""
    if spec.group is None:
        return ()
    name = spec.group.name
    return group.others(name, owner.name, reader.indexed(ROLLOUT_GROUP, KIND_NAME, owner.namespace, name))


def _queueing(change: Change, reader: Reader) -> list[Mapping[str, Any]]:
    """The rollouts of a group that have no candidate yet, where a place in it was asked for, taken or left."""
    before, after = group.member(change.before), group.member(change.after)
    if before == after:
        return []
    groups, namespace = {one.group for one in (before, after) if one is not None}, change.name[0]
    everybody = [one for name in sorted(groups) for one in reader.indexed(ROLLOUT_GROUP, KIND_NAME, namespace, name)]
    return [one for one in everybody if (place := group.member(one)) is not None and not place.on_trial]


def _peers(observed: Observed, reader: Reader) -> dict[str, peers.Peer]:
    """The rollouts that the steps of this one name."""
    namespace, steps = observed.owner.namespace, observed.spec.steps
    names = {name for step in steps if step.together is not None for name in step.together.with_}
    found = ((name, reader.get(KIND_NAME, namespace, name)) for name in sorted(names))
    return {name: peers.peer(body) for name, body in found if body is not None}


def _meeting(change: Change, reader: Reader) -> list[Mapping[str, Any]]:
    """The rollouts that are to meet the changed one, where it is somewhere else now."""
    before, after = (None if side is None else peers.peer(side) for side in (change.before, change.after))
    return [] if before == after else reader.indexed(PARTNER, KIND_NAME, *change.name)


def _waits(rollout: Mapping[str, Any], policy: str) -> bool:
    """Whether a rollout waits for pods of a version: the Deployment says that it has been heard, and they come."""
    status = rollout.get("status") or {}
    served = status.get("servedAnchor") or {}
    if served.get("policy") == policy and not served.get("onRoute"):
        return True
    if any(arm.get("policy") == policy and not arm.get("onRoute") for arm in status.get("arms") or ()):
        return True
    return "step" not in status and (status.get("candidate") or {}).get("policy") == policy


def _keys(namespace: str, rollouts: Iterable[Mapping[str, Any]]) -> list[Key]:
    names = dict.fromkeys(rollout["metadata"]["name"] for rollout in rollouts)
    return [Key(KIND_NAME, namespace, name) for name in names]


def _readings(
    owner: Owner, spec: RLRolloutSpec, status: RLRolloutStatus, reader: Reader, settings: Settings
) -> dict[str, Reading]:
    """What the source of each metric last measured for the trial under way."""
    sides = Sides.of(owner.namespace, owner.name, status, spec.analysis)
    if sides is None:
        return {}
    read = {
        metric.name: SOURCES[metric.source.kind].reading(metric, sides, reader, settings)
        for metric in spec.analysis.metrics
    }
    return {name: reading for name, reading in read.items() if reading is not None}


def _arms(
    owner: Owner, spec: RLRolloutSpec, status: RLRolloutStatus, reader: Reader, settings: Settings
) -> dict[str, dict[str, Reading]]:
    """The same of each arm of the experiment under way, in the candidate's place."""
    compared = arms.compared(status)
    if compared is None:
        return {}
    return {
        arm.policy: _readings(owner, spec, experiment.as_candidate(status, compared, arm), reader, settings)
        for arm in compared.arms
        if arm.outcome is None
    }


def _watched(
    owner: Owner, spec: RLRolloutSpec, status: RLRolloutStatus, reader: Reader, settings: Settings
) -> dict[str, Reading]:
    """What the logbook last said of the stable version since its promotion, by metric."""
    fact, stable = reader.fact(WATCH_TOPIC, owner.namespace, owner.name), status.stable
    if stable is not None and settings.logbook_url is None:
        nobody = replace(NOT_INSTALLED, silent_since=stable.since)
        return {metric.name: nobody for metric in watch.watched(spec.analysis)}
    if not isinstance(fact, StatisticsFact) or stable is None or fact.stable != stable.policy:
        return {}
    asked = {metric.name: watch.query_of(metric, spec.analysis) for metric in watch.watched(spec.analysis)}
    found = {name: fact.outcomes.get(query.outcome) for name, query in asked.items() if query is not None}
    return {name: one for name, one in found.items() if one is not None and one.outcome_query == asked[name]}


def _unfit(observed: Observed) -> str | None:
    """What of the spec cannot be carried out, the steps of a trial under way included, wherever they come from."""
    declared, held = observed.declared, observed.progression
    if declared is None or held is None or observed.status.candidate is None or observed.returning:
        return observed.unfit
    fault = held.fault or (declared.fault if declared.asked != held.asked else None)
    return "; ".join(words for words in (observed.unfit, fault and fault.message) if words) or None


def _asked_job(observed: Observed, reader: Reader) -> JobView | None:
    """The Job of what the step under way asks, as far as it is made."""
    step, kind = observed.status.step, kind_under_way(observed)
    question = None if step is None or kind is None else kind.question(step_at(observed.spec, step.index), observed)
    return view(observed.owner, question, reader) if isinstance(question, Question) else None


def _family(owner: Owner, spec: RLRolloutSpec, reader: Reader) -> tuple[str, ...]:
    """The members of the family that the spec follows, as far as they are looked at."""
    if spec.policy.latest_of is None:
        return ()
    members = (
        one["metadata"] for one in reader.labelled("RLPolicy", owner.namespace, FAMILY_LABEL, spec.policy.latest_of)
    )
    # The API server writes instants of creation in one form, so their texts are ordered as they are.
    return latest.youngest(
        (meta["creationTimestamp"], meta["name"]) for meta in members if "deletionTimestamp" not in meta
    )


def _named(family: Iterable[str], spec: RLRolloutSpec, status: RLRolloutStatus) -> set[str]:
    """The policies that spec or status name."""
    names = {*family, *(version.policy for version in status.versions())}
    if spec.policy.name is not None:
        names.add(spec.policy.name)
    if spec.policy.winner_of is not None:
        names |= {arm.policy for arm in spec.policy.winner_of.arms}
    if status.anchor is not None and anchor.is_served(spec):
        names.add(status.anchor.policy)
    if status.rollback is not None:
        names.add(status.rollback.policy)
    return names


def _policies(
    owner: Owner, names: Iterable[str], spec: RLRolloutSpec, status: RLRolloutStatus, reader: Reader
) -> dict[str, PolicyView]:
    views = {}
    for name in sorted(names):
        policy = reader.get("RLPolicy", owner.namespace, name)
        read = None if policy is None else _read(policy)
        left = left_of(reader, owner.namespace, name)
        if read is not None and not read.deleting:
            views[name] = _heard(
                _beside(_view(name, read, owner, scaling.asked(spec, status)), left), owner, status, reader
            )
        elif left is not None:
            views[name] = _left_view(left, status, spec)
    return views


def _beside(view: PolicyView, left: Leftover | None) -> PolicyView:
    """A policy made again while the pods of its namesake serve on: as many answer, with the bytes they have."""
    if left is None or left.digest is None or left.digest == view.digest:
        return view
    return replace(view, ready_replicas=left.ready if left.open else 0, serves=left.digest)


def _heard(view: PolicyView, owner: Owner, status: RLRolloutStatus, reader: Reader) -> PolicyView:
    """A policy before its first step here: its pods count once its Deployment is kept for us, and as that has them.

    The policy's status says nothing of us yet: it may speak of pods that were a namesake's and are about to be ended.
    """
    taken = {side.policy for side in (status.stable, status.previous) if side is not None}
    begins = status.step is None or _starts(status, view.name)
    if not begins or view.name in taken:
        return view
    deployment = reader.get("Deployment", owner.namespace, view.name)
    if deployment is None:
        return view
    ready = ready_pods(deployment, pods_of(deployment, reader)) if owner.owns(deployment) else 0
    return replace(view, ready_replicas=min(view.ready_replicas, ready))


def _starts(status: RLRolloutStatus, policy: str) -> bool:
    """Whether it is the anchor, and its pods are only asked for."""
    served = status.served_anchor
    return served is not None and served.policy == policy and not served.on_route


def _left_view(left: Leftover, status: RLRolloutStatus, spec: RLRolloutSpec) -> PolicyView:
    """What a deleted policy left: pods that serve on. Nobody scales them, so no more is waited for than there are."""
    named = [side.digest for side in (status.candidate, status.stable) if side and side.policy == left.policy]
    ready = left.ready if left.open else 0
    return PolicyView(
        name=left.policy,
        digest=left.digest or (named[0] if named else ""),
        ready_replicas=ready,
        needed_replicas=max(min(scaling.asked(spec, status), ready), 1),
        shared=len({demand.rollout for demand in left.demands}) > 1,
        deleted=True,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """All that is read of an RLPolicy; equal: no rollout has anything to look at again."""

    deleting: bool
    created: str | None
    digest: str
    replicas: int | None  # its own number; None: as many as rollouts need
    ready_replicas: int
    broken: tuple[str, str] | None
    crashing: bool
    message: str
    silent_since: str | None
    used_by: tuple[str, ...]
    outcomes: KnownOutcomes | None
    asks: Mapping[str, Any]
    # News to who follows its family, and to nobody else.
    family: str = field(compare=False)
    is_ready: bool = field(compare=False)


def _read(policy: Mapping[str, Any]) -> _Read:
    meta, spec, status = policy["metadata"], policy.get("spec") or {}, policy.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    verified, ready, loaded = (conditions.get(kind, {}) for kind in ("Verified", "Ready", "Loaded"))
    broken = verified.get("status") == "False" and verified.get("reason") in BROKEN
    return _Read(
        deleting="deletionTimestamp" in meta,
        created=meta.get("creationTimestamp"),
        digest=(spec.get("artifact") or {}).get("digest", ""),
        replicas=(spec.get("serving") or {}).get("replicas"),
        ready_replicas=status.get("readyReplicas") or 0,
        broken=(verified["reason"], verified.get("message", "")) if broken else None,
        crashing=ready.get("reason") == PolicyReason.POD_START_FAILED,
        message=ready.get("message", "") if ready.get("reason") in TROUBLE else "",
        silent_since=loaded.get("lastTransitionTime") if loaded.get("status") == "False" else None,
        used_by=tuple(status.get("usedBy") or ()),
        outcomes=KnownOutcomes.model_validate(status["outcomes"]) if "outcomes" in status else None,
        asks={part: spec[part] for part in ASKS if part in spec},
        family=(meta.get("labels") or {}).get(FAMILY_LABEL, ""),
        is_ready=ready.get("status") == "True",
    )


def _view(name: str, read: _Read, owner: Owner, replicas: int) -> PolicyView:
    own = read.replicas
    return PolicyView(
        name=name,
        digest=read.digest,
        ready_replicas=read.ready_replicas,
        # A policy with a number of its own is never scaled for us: waiting for more would be for ever.
        needed_replicas=replicas if own is None else max(min(replicas, own), 1),
        broken=read.broken,
        crashing=read.crashing,
        message=read.message,
        silent_since=parse_instant(read.silent_since) if read.silent_since is not None else None,
        shared=any(other != owner.name for other in read.used_by),
        outcomes=read.outcomes,
        asks=read.asks,
        is_ready=read.is_ready,
        created=parse_instant(read.created) if read.created is not None else None,
    )


def _endpoints(owner: Owner, status: RLRolloutStatus, reader: Reader) -> int | None:
    """Pods that may still get requests of the candidate's Service; only counted while it is being withdrawn."""
    if status.rollback is None or status.rollback.drained_at is not None:
        return None
    name = status.rollback.policy
    service = reader.get("Service", owner.namespace, name)
    if service is not None and CLOSED_LABEL in ((service.get("spec") or {}).get("selector") or {}):
        return 0
    pods = reader.labelled("Pod", owner.namespace, POLICY_LABEL, name)
    return sum(
        "deletionTimestamp" not in pod["metadata"]
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        for pod in pods
    )


KIND = Kind(
    name=KIND_NAME,
    plural="rlrollouts",
    observe=observe,
    decide=decide,
    invalid=invalid,
    priority=priority,
    related=related,
    gauges=GAUGES,
)
