"""What a policy's decision needs, read from the cache into one frozen value; and `KIND`, the engine's door.

    RLRollout ──names in status──▶ RLPolicy ──owns──▶ Deployment ──▶ ReplicaSet ──▶ pods (found by label)
                                       └────owns──▶ Service              └ init container `fetch`: LoadReport

A rollout's *status* counts, not its spec: what it serves is decided there, and is recorded before traffic moves.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from belay_api import names
from belay_api.policy import LoadReport, RLPolicySpec, RLPolicyStatus
from belay_api.units import parse_instant
from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.engine.kind import Kind, Reader
from belay_operator.engine.plan import Key, Plan, Settings
from belay_operator.engine.resources import policies_named
from belay_operator.pods import ContainerView, PodView, pod_view, shorten
from belay_operator.policy.build import FETCH, SERVER
from belay_operator.policy.decide import decide
from belay_operator.policy.observed import Demand, DeploymentView, Observed, ServingPod
from belay_operator.policy.status import invalid_status
from belay_operator.specs import InvalidSpec, read_spec

KIND_NAME = "RLPolicy"
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SERVICE_LENGTH = 63


def observe(body: Mapping[str, Any], reader: Reader, settings: Settings) -> Observed:
    """Return the policy in `body` with its Deployment, Service, pods and the rollouts that use it.

    Raises: InvalidSpec for a spec that the API server let pass and that still cannot be served.
    """
    owner = Owner.of(body)
    if not _SERVICE_NAME.fullmatch(owner.name) or len(owner.name) > _SERVICE_LENGTH:
        raise InvalidSpec(
            f"metadata.name: {owner.name} cannot name a Service: it must begin with a letter, hold only a-z, 0-9 "
            f"and -, and have at most {_SERVICE_LENGTH} characters. Nothing is served. Create the policy under "
            "another name."
        )
    rollouts = reader.naming("RLRollout", owner.namespace, owner.name)
    deployment = reader.get("Deployment", owner.namespace, owner.name)
    # Pods older than the policy are a deleted namesake's, on their way out: what they loaded says nothing of ours.
    made = parse_instant(body["metadata"]["creationTimestamp"])
    views = map(pod_view, reader.labelled("Pod", owner.namespace, names.POLICY_LABEL, owner.name))
    pods = [pod for pod in views if pod.created_at >= made]
    demands = tuple(sorted(_demands(owner.name, rollouts), key=lambda demand: demand.rollout))
    return Observed(
        owner=owner,
        spec=read_spec(RLPolicySpec, body),
        status=RLPolicyStatus.model_validate(body.get("status") or {}),
        child=None if deployment is None else _deployment_view(deployment, owner, pods),
        service=reader.get("Service", owner.namespace, owner.name) is not None,
        pods=tuple(_pods(pods)),
        demands=demands,
        closed_by=_closed_by(owner.name, rollouts, demands),
        settings=settings,
    )


def invalid(body: Mapping[str, Any], message: str, now: datetime) -> Plan:
    """Return a plan that says the spec cannot be served, and touches nothing else."""
    before = RLPolicyStatus.model_validate(body.get("status") or {})
    status = invalid_status(before, message, generation=Owner.of(body).generation, now=now)
    return Plan(status=None if status == before else status.dump())


def priority(body: Mapping[str, Any], reader: Reader) -> int:
    """Return 0 while an overdue rollback waits for its endpoints to close, else 2: its status wakes rollouts."""
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    return 0 if any(_closes(rollout, name) for rollout in reader.naming("RLRollout", namespace, name)) else 2


def related(change: Change, reader: Reader) -> Iterable[Key]:
    """Return the policies of which a changed rollout asks something else than before, those it let go among them.

    A rollout under analysis writes its status every few seconds; nothing of that is news to its policies.
    """
    if change.kind != "RLRollout":
        return ()
    named = {name for side in change.sides for name in policies_named(change.kind, side)}
    changed = (name for name in named if _asks(change.before, name) != _asks(change.after, name))
    return [Key(KIND_NAME, change.name[0], name) for name in sorted(changed)]


def _asks(rollout: Mapping[str, Any] | None, policy: str) -> tuple[object, ...]:
    """Return all that `observe` and `priority` read of one rollout for one policy; equal: nothing to look at again."""
    return () if rollout is None else (*_demands(policy, [rollout]), _closes(rollout, policy))


def _demands(policy: str, rollouts: Iterable[Mapping[str, Any]]) -> Iterator[Demand]:
    """Yield what each rollout asks of the policy: one demand, however many of its sides it is."""
    for rollout in rollouts:
        if "deletionTimestamp" in rollout["metadata"]:
            continue
        status = rollout.get("status") or {}
        sides = {side: status.get(side) or {} for side in ("stable", "candidate", "previous")}
        ours = {side: said for side, said in sides.items() if said.get("policy") == policy}
        if not ours:
            continue
        warm_only = set(ours) == {"previous"}
        yield Demand(
            rollout=rollout["metadata"]["name"],
            replicas=int(rollout.get("spec", {}).get("replicas", 1)),
            until=parse_instant(ours["previous"]["until"]) if warm_only else None,
            stable="stable" in ours,
        )


def _closed_by(policy: str, rollouts: Iterable[Mapping[str, Any]], demands: Iterable[Demand]) -> str | None:
    """Return the rollout whose rollback is overdue and wants this policy's endpoints gone.

    They come back once the route without them is in force: until then the Gateway may still send requests here, though
    the rollback is over and has let the policy go. Another rollout's stable version is never closed: there is no other
    version for its traffic to go to.
    """
    for rollout in rollouts:
        name = rollout["metadata"]["name"]
        if _closes(rollout, policy) and not any(demand.stable and demand.rollout != name for demand in demands):
            return str(name)
    return None


def _closes(rollout: Mapping[str, Any], policy: str) -> bool:
    """Whether a rollback of this policy is overdue, and the route without it not in force yet."""
    rollback = (rollout.get("status") or {}).get("rollback") or {}
    over = rollback.get("drainedAt") and rollback.get("weightZeroAt")
    return bool(rollback.get("policy") == policy and rollback.get("endpointsClosedAt") and not over)


def _deployment_view(deployment: Mapping[str, Any], owner: Owner, pods: Sequence[PodView]) -> DeploymentView:
    meta, status = deployment["metadata"], deployment.get("status") or {}
    ready = status.get("readyReplicas", 0)
    if pods:
        # The Deployment's own number lags: a pod told to go still counts there for a moment. A rollout that begins in
        # that moment (deleted and made anew, say) would send its traffic to nobody.
        ready = min(ready, sum(pod.ready and not pod.deleting for pod in pods))
    held = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    failure = held.get("ReplicaFailure")
    return DeploymentView(
        ours=owner.owns(deployment),
        deleting="deletionTimestamp" in meta,
        current=status.get("observedGeneration", 0) >= meta.get("generation", 1),
        replicas=status.get("replicas", 0),
        ready=ready,
        updated=status.get("updatedReplicas", 0),
        failure=shorten(f"{failure.get('reason', '')}: {failure.get('message', '')}") if failure else None,
    )


def _pods(pods: Iterable[PodView]) -> Iterator[ServingPod]:
    for pod in sorted(pods, key=lambda pod: (pod.created_at, pod.name)):
        if pod.deleting or pod.phase in ("Succeeded", "Failed"):
            continue
        report = _report(pod.container(FETCH))
        yield ServingPod(
            name=pod.name,
            created_at=pod.created_at,
            ready=pod.ready,
            report=report,
            cannot_start=pod.cannot_start or _crashing(pod, report),
        )


def _report(fetch: ContainerView | None) -> LoadReport | None:
    if fetch is None or fetch.ended is None or not fetch.ended.message:
        return None
    try:
        return LoadReport.model_validate_json(fetch.ended.message)
    except ValidationError:
        return None  # an image of the user's own may say anything


def _crashing(pod: PodView, report: LoadReport | None) -> str | None:
    """Say how a container that ends again and again ends; in words that do not change from one life to the next."""
    server, fetch = pod.container(SERVER), pod.container(FETCH)
    if server is not None and server.ended is not None and not server.ready:
        return f"container {SERVER} ended with {server.ended.words}; its log says why"
    if report is None and fetch is not None and fetch.ended is not None and fetch.ended.exit_code != 0:
        return f"container {FETCH} ended with {fetch.ended.words} and without a report; its log says why"
    return None


KIND = Kind(
    name=KIND_NAME,
    plural="rlpolicies",
    observe=observe,
    decide=decide,
    invalid=invalid,
    priority=priority,
    related=related,
)
