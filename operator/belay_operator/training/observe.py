"""What a training job's decision needs, read from the cache into one frozen value; and `KIND`, the engine's door.

RLTrainingJob ──owns──▶ what runs its pods, see `workloads/` ──▶ pods
      └─ status: what was once read and must outlast its pods
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from belay_api import names
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus
from belay_api.units import parse_instant
from belay_operator import job_key
from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.engine.indexes import POLICY
from belay_operator.engine.kind import Kind, Priority, Reader
from belay_operator.engine.plan import Key, Plan, Ref, Settings
from belay_operator.named_policy import named, policy_view
from belay_operator.pods import pod_view
from belay_operator.specs import InvalidSpec, read_spec
from belay_operator.training import remover
from belay_operator.training.clock import seconds_left
from belay_operator.training.cost import is_priced, is_spent, rates_of
from belay_operator.training.decide import decide
from belay_operator.training.initial import waits_for
from belay_operator.training.observed import Observed, attempt_of
from belay_operator.training.status import invalid_status, over
from belay_operator.training.workloads import workload

KIND_NAME = "RLTrainingJob"
_ADVICE = "Nothing is changed. Correct it in a job of another name."  # hardly a field of a spec may change


def observe(body: Mapping[str, Any], reader: Reader, settings: Settings) -> Observed:
    """Return the training job in `body` with what runs it, heartbeats and, where it may publish, taken names.

    Raises: InvalidSpec for a spec that the API server let pass and that still cannot be run.
    """
    owner = Owner.of(body)
    spec = read_spec(RLTrainingJobSpec, body, advice=_ADVICE)
    status = RLTrainingJobStatus.model_validate(body.get("status") or {})
    _check(owner, spec)
    if not over(status):
        _check_budget(spec, settings)

    searching = spec.search is not None and status.searched_at is None
    spent = is_spent(spec, status, settings)
    suspended = spec.suspend or spent
    found = workload(searching=searching)
    left = seconds_left(spec, status)
    view = found.view(owner, spec, reader, attempt=attempt_of(status), suspended=suspended, seconds_left=left)
    # Each change of a published policy wakes its job, long after that is over: it must not read all the others then.
    # A job whose workload was deleted by hand may end as well, by what its status holds.
    ended = status.aggregate is not None or view.end is not None or not view.ours
    publishes = spec.publish is not None and ended and not over(status)
    return Observed(
        owner=owner,
        spec=spec,
        status=status,
        workload=view,
        searching=searching,
        # The pod of a cleanup has the job's key, also where those that trained had none.
        settings=job_key.settings_of(view.annotations, settings) if view.ours and not over(status) else settings,
        spent=spent,
        strays=not view.exists and _strays(body, reader),
        remover=remover.view(owner, reader) if over(status) else None,
        search_job=_search_job(owner, spec, status, reader) if over(status) and not searching else None,
        named={
            field: named(reader, owner.namespace, name, field=field) for field, name in waits_for(spec, status).items()
        },
        progress=reader.fact("progress", owner.namespace, owner.name) or {},
        outage=reader.fact("store", "", "") if spec.storage.pvc is None else None,
        policies=_digests(reader.in_namespace("RLPolicy", owner.namespace)) if publishes else {},
    )


def invalid(body: Mapping[str, Any], message: str, now: datetime) -> Plan:
    """Return a plan that says the spec cannot be run, and touches nothing else."""
    before = RLTrainingJobStatus.model_validate(body.get("status") or {})
    status = invalid_status(before, message, generation=Owner.of(body).generation, now=now)
    return Plan(status=None if status == before else status.dump())


def priority(body: Mapping[str, Any], reader: Reader) -> Priority:
    """Return REST: a training never goes before a rollout."""
    return Priority.REST


def related(change: Change, reader: Reader) -> Iterable[Key]:
    """Return the jobs that wait for a policy which is new, or of whose artifact the word is."""
    if change.kind != "RLPolicy" or len({policy_view(side) for side in change.sides}) == 1 < len(change.sides):
        return ()
    namespace, name = change.name
    waiting = reader.indexed(POLICY, KIND_NAME, namespace, name)
    return [Key(KIND_NAME, namespace, body["metadata"]["name"]) for body in waiting]


def _check(owner: Owner, spec: RLTrainingJobSpec) -> None:
    for searching in (False, True):
        workload(searching=searching).check(owner, spec)
    _check_draws(spec)
    if spec.seeds.required is not None and spec.seeds.required > spec.seeds.count:
        raise InvalidSpec(
            f"spec.seeds.required: {spec.seeds.required} of {spec.seeds.count} seeds cannot succeed. Nothing is "
            "started. Lower seeds.required or raise seeds.count."
        )


def _check_draws(spec: RLTrainingJobSpec) -> None:
    """The API server's rules cannot see a list of anything, which `choice` is; a pod would find it minutes later."""
    for field, environment in (("", spec.environment), ("evaluation.", spec.evaluation.environment)):
        for name, draw in environment.randomize.items() if environment is not None else ():
            if sum(value is not None for _, value in draw) != 1:
                raise InvalidSpec(
                    f"spec.{field}environment.randomize.{name}: a draw has exactly one of uniform, log and choice, "
                    f"such as {{uniform: [8, 12]}}. {_ADVICE}"
                )


def _check_budget(spec: RLTrainingJobSpec, settings: Settings) -> None:
    if spec.cost.budget is not None and not is_priced(rates_of(spec.cost, settings.rates)):
        raise InvalidSpec(
            f"spec.cost.budget: {spec.cost.budget:g} would never be spent, for nothing has a price. Nothing is "
            "changed. Set cost.cpuHour, cost.gpuHour or cost.memoryGibHour, or the chart's operator.rates."
        )


def _search_job(owner: Owner, spec: RLTrainingJobSpec, status: RLTrainingJobStatus, reader: Reader) -> Ref | None:
    if spec.search is None:
        return None
    search = workload(searching=True)
    return search.view(owner, spec, reader, attempt=attempt_of(status), suspended=False, seconds_left=None).ref


def _strays(body: Mapping[str, Any], reader: Reader) -> bool:
    """Whether a pod of this training has not ended although what ran it is gone: a deleted Job goes before its pods.

    Pods older than the training are those of a deleted namesake, whose checkpoints lie elsewhere.
    """
    meta = body["metadata"]
    made = parse_instant(meta["creationTimestamp"])
    pods = map(pod_view, reader.labelled("Pod", meta["namespace"], names.TRAINING_JOB_LABEL, meta["name"]))
    return any(pod.created_at >= made and pod.phase not in ("Succeeded", "Failed") for pod in pods)


def _digests(policies: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {p["metadata"]["name"]: p.get("spec", {}).get("artifact", {}).get("digest", "") for p in policies}


KIND = Kind(
    name=KIND_NAME,
    plural="rltrainingjobs",
    observe=observe,
    decide=decide,
    invalid=invalid,
    priority=priority,
    related=related,
)
