"""What a policy's decision needs, read from the cache into one frozen value; and `KIND`, the engine's door.

    RLRollout ──needs──▶ RLPolicy ──owns──▶ Deployment ──▶ ReplicaSet ──▶ pods (found by label)
                             ├────owns──▶ Service              └ init container `fetch`: LoadReport
                             └────owns──▶ Job of each question ──▶ pod, its last word: JudgingReport

What is read of a rollout stands in `needs.py`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from belay_api.policy import LoadReport, RLPolicySpec, RLPolicyStatus
from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.engine.indexes import POLICY, policies_of_rollout
from belay_operator.engine.kind import Kind, Priority, Reader
from belay_operator.engine.plan import Key, Plan, Settings
from belay_operator.named_policy import policy_view
from belay_operator.pods import ContainerView, PodView, shorten
from belay_operator.policy import build, judgements, needs
from belay_operator.policy.build import FETCH, SERVER
from belay_operator.policy.decide import decide
from belay_operator.policy.deployments import pods_of, ready_pods, ref_of
from belay_operator.policy.observed import DeploymentView, Observed, ServingPod, Template, Whose
from belay_operator.policy.status import invalid_status
from belay_operator.specs import InvalidSpec, read_spec

KIND_NAME = "RLPolicy"
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SERVICE_LENGTH = 63
_UNTOLD = Template({}, None)  # until the rest is observed, which it follows from


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
    spec = read_spec(RLPolicySpec, body)
    status = RLPolicyStatus.model_validate(body.get("status") or {})
    questions = judgements.asked_of(owner, spec, status, reader)
    rollouts = reader.indexed(POLICY, "RLRollout", owner.namespace, owner.name)
    asked = needs.demands(owner.name, rollouts)
    deployment = reader.get("Deployment", owner.namespace, owner.name)
    pods = [] if deployment is None else pods_of(deployment, reader)
    child = None if deployment is None else _deployment_view(deployment, owner, pods, digest=spec.artifact.digest)
    observed = Observed(
        owner=owner,
        spec=spec,
        status=status,
        child=child,
        service=reader.get("Service", owner.namespace, owner.name) is not None,
        pods=tuple(_pods(pods)) if child is not None and child.whose is Whose.OURS else (),
        demands=asked,
        closed_by=needs.closed_by(owner.name, rollouts, asked),
        settings=settings,
        template=_UNTOLD,
        asked=questions,
        outdated_jobs=judgements.outdated_jobs(owner, questions, reader),
    )
    observed = replace(observed, template=build.template(observed))
    if observed.deployment is None or observed.deployment.template == observed.template.fingerprint:
        return observed
    held = reader.whole("Deployment", owner.namespace, owner.name)
    if held is None:
        return observed
    return replace(observed, accepted=Template(held["spec"]["template"], observed.deployment.template))


def invalid(body: Mapping[str, Any], message: str, now: datetime) -> Plan:
    """Return a plan that says the spec cannot be served, and touches nothing else."""
    before = RLPolicyStatus.model_validate(body.get("status") or {})
    status = invalid_status(before, message, generation=Owner.of(body).generation, now=now)
    return Plan(status=None if status == before else status.dump())


def priority(body: Mapping[str, Any], reader: Reader) -> Priority:
    """Return ROLLBACK while an overdue rollback waits for its endpoints to close, else REST: it wakes rollouts."""
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    closes = any(needs.closes(rollout, name) for rollout in reader.indexed(POLICY, "RLRollout", namespace, name))
    return Priority.ROLLBACK if closes else Priority.REST


def related(change: Change, reader: Reader) -> Iterable[Key]:
    """Return the policies of which a changed rollout asks something else than before, those it let go among them.

    A rollout under analysis writes its status every few seconds; nothing of that is news to its policies.
    """
    if change.kind == KIND_NAME:
        return _waiting(change, reader)
    if change.kind != "RLRollout":
        return ()
    named = {name for side in change.sides for name in policies_of_rollout(side)}
    changed = (name for name in named if _asks(change.before, name) != _asks(change.after, name))
    return [Key(KIND_NAME, change.name[0], name) for name in sorted(changed)]


def _waiting(change: Change, reader: Reader) -> Iterable[Key]:
    """Return the policies whose gates wait for a policy which is new, or of whose artifact the word is."""
    if len({policy_view(side) for side in change.sides}) == 1 < len(change.sides):
        return ()
    namespace, name = change.name
    waiting = reader.indexed(POLICY, KIND_NAME, namespace, name)
    return [Key(KIND_NAME, namespace, body["metadata"]["name"]) for body in waiting]


def _asks(rollout: Mapping[str, Any] | None, policy: str) -> tuple[object, ...]:
    """Return all that `observe` and `priority` read of one rollout for one policy; equal: nothing to look at again."""
    return () if rollout is None else (*needs.demands(policy, [rollout]), needs.closes(rollout, policy))


def _deployment_view(
    deployment: Mapping[str, Any], owner: Owner, pods: list[PodView], *, digest: str
) -> DeploymentView:
    meta, status = deployment["metadata"], deployment.get("status") or {}
    held = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    failure = held.get("ReplicaFailure")
    annotations, owners = meta.get("annotations") or {}, meta.get("ownerReferences") or ()
    serves = annotations.get(build.DIGEST_ANNOTATION)
    return DeploymentView(
        whose=_whose(owner, owners, serves=serves, ours=digest),
        ref=ref_of(deployment),
        digest=serves,
        template=annotations.get(build.TEMPLATE_ANNOTATION),
        keepers=frozenset(one["uid"] for one in owners if not one.get("controller")),
        asked=(deployment.get("spec") or {}).get("replicas", 1),
        deleting="deletionTimestamp" in meta,
        current=status.get("observedGeneration", 0) >= meta.get("generation", 1),
        replicas=status.get("replicas", 0),
        ready=ready_pods(deployment, pods),
        updated=status.get("updatedReplicas", 0),
        failure=shorten(f"{failure.get('reason', '')}: {failure.get('message', '')}") if failure else None,
    )


def _whose(owner: Owner, owners: Iterable[Mapping[str, Any]], *, serves: str | None, ours: str) -> Whose:
    controller = next((one["uid"] for one in owners if one.get("controller")), None)
    if controller is not None:
        return Whose.OURS if controller == owner.uid else Whose.TAKEN
    return Whose.OURS if serves in (None, ours) else Whose.LEFTOVER


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
            unschedulable=pod.unschedulable,
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
