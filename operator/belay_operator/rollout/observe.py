"""What a rollout's decision needs, read from the cache into one frozen value; and `KIND`, the engine's door.

RLRollout ──owns──▶ HTTPRoute of its name ──backends──▶ Services of the policies (the policy kind's)
    │                    └ accepted by the Gateway?
    ├─ names ──▶ RLPolicy: digest, ready replicas, verified?
    ├─ fact `statistics`: outcomes of episodes, per version          (sources/logbook)
    └─ fact `serving` of stable and candidate: requests, latency     (sources/serving)
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from belay_api.conditions import clear_condition, set_condition
from belay_api.names import CLOSED_LABEL, COMMAND_ANNOTATION, POLICY_LABEL
from belay_api.reasons import PolicyReason, RolloutReason
from belay_api.rollout import RLRolloutSpec, RLRolloutStatus
from belay_api.units import parse_instant
from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.engine.kind import Kind, Reader
from belay_operator.engine.plan import Key, Plan, Settings
from belay_operator.rollout import build
from belay_operator.rollout.analysis.queries import check_analysis, check_steps
from belay_operator.rollout.commands import parse
from belay_operator.rollout.decide import decide
from belay_operator.rollout.move import changed
from belay_operator.rollout.observed import Observed, PolicyView
from belay_operator.rollout.traffic.gateway_api import KIND as ROUTE

KIND_NAME = "RLRollout"
# Reasons of Verified=False that no waiting mends: the policy's bytes are fixed, and they are not servable.
BROKEN = frozenset({PolicyReason.DIGEST_MISMATCH, PolicyReason.ARTIFACT_INVALID, PolicyReason.ARTIFACT_NOT_FOUND})
# Reasons worth repeating in the rollout. The other words of a policy (fetching, loading) say only that it is not ready,
# and each would be one more write.
TROUBLE = BROKEN | {
    PolicyReason.POD_START_FAILED,
    PolicyReason.STORE_UNAVAILABLE,
    PolicyReason.CHILD_CONFLICT,
    PolicyReason.INVALID_SPEC,
}


def observe(body: Mapping[str, Any], reader: Reader, settings: Settings) -> Observed:
    """Return the rollout in `body` with its policies, route and facts.

    Raises: ValueError for a spec that the API server let pass and that still cannot be carried out, unless something is
        served: its route, and judging a candidate and taking it back, must not wait until somebody mends the steps.
    """
    owner = Owner.of(body)
    spec = RLRolloutSpec.model_validate(body["spec"])
    status = RLRolloutStatus.model_validate(body.get("status") or {})
    route = reader.get(ROUTE, owner.namespace, owner.name)
    annotation = (body["metadata"].get("annotations") or {}).get(COMMAND_ANNOTATION)
    on_trial = [side.policy for side in (status.candidate, status.stable) if side is not None]
    facts = {name: reader.fact("serving", owner.namespace, name) for name in on_trial}
    observed = Observed(
        owner=owner,
        spec=spec,
        status=status,
        policies=_policies(owner, spec, status, reader),
        route=None if route is None else build.ROUTER.read(route, spec.traffic.gateway_api, owner=owner),
        gateway_api=reader.serves(ROUTE),
        candidate_pods=_endpoints(owner, status, reader),
        command=parse(annotation) if annotation else None,
        statistics=reader.fact("statistics", owner.namespace, owner.name) if status.candidate else None,
        serving={name: fact for name, fact in facts.items() if fact is not None},
        logbook=settings.logbook_url is not None,
        labels=settings.labels,
    )
    for rule, judgeable in ((check_analysis, False), (check_steps, True)):
        try:
            rule(spec)
        except ValueError as error:
            if status.candidate is None and status.stable is None:
                raise
            return replace(observed, unfit=str(error), judgeable=judgeable)
    return observed


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


def priority(body: Mapping[str, Any], reader: Reader) -> int:
    """Return 0 while a rollback is not proven, else 1: traffic goes before everything that is not traffic."""
    rollback = (body.get("status") or {}).get("rollback")
    return 0 if rollback and "drainedAt" not in rollback else 1


def related(change: Change, reader: Reader) -> Iterable[Key]:
    """Return the rollouts that a changed policy, or a pod or Service of one, concerns."""
    kind, body, (namespace, _) = change.kind, change.latest, change.name
    if kind == "RLPolicy":
        return _keys(namespace, reader.naming(KIND_NAME, namespace, body["metadata"]["name"]))
    if kind in ("Pod", "Service"):
        # Pods concern a rollout only while it waits to see them gone; readiness comes by the policy.
        policy = (body["metadata"].get("labels") or {}).get(POLICY_LABEL)
        users = reader.naming(KIND_NAME, namespace, policy) if policy else []
        return _keys(namespace, [rollout for rollout in users if priority(rollout, reader) == 0])
    return ()


def _keys(namespace: str, rollouts: Iterable[Mapping[str, Any]]) -> list[Key]:
    return [Key(KIND_NAME, namespace, rollout["metadata"]["name"]) for rollout in rollouts]


def _policies(owner: Owner, spec: RLRolloutSpec, status: RLRolloutStatus, reader: Reader) -> dict[str, PolicyView]:
    names = {spec.policy.name}
    names |= {side.policy for side in (status.stable, status.candidate, status.previous) if side is not None}
    if status.rollback is not None:
        names.add(status.rollback.policy)
    views = {}
    for name in sorted(names):
        policy = reader.get("RLPolicy", owner.namespace, name)
        if policy is not None:
            views[name] = _view(policy, owner, spec)
    return views


def _view(policy: Mapping[str, Any], owner: Owner, spec: RLRolloutSpec) -> PolicyView:
    status, serving = policy.get("status") or {}, policy["spec"].get("serving") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    verified, ready, loaded = (conditions.get(kind, {}) for kind in ("Verified", "Ready", "Loaded"))
    broken = verified.get("status") == "False" and verified.get("reason") in BROKEN
    own = serving.get("replicas")
    return PolicyView(
        name=policy["metadata"]["name"],
        digest=policy["spec"]["artifact"]["digest"],
        ready_replicas=status.get("readyReplicas") or 0,
        # A policy with a number of its own is never scaled for us: waiting for more would be for ever.
        needed_replicas=spec.replicas if own is None else max(min(spec.replicas, own), 1),
        broken=(verified["reason"], verified.get("message", "")) if broken else None,
        message=ready.get("message", "") if ready.get("reason") in TROUBLE else "",
        silent_since=parse_instant(loaded["lastTransitionTime"]) if loaded.get("status") == "False" else None,
        shared=any(name != owner.name for name in status.get("usedBy") or ()),
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
)
