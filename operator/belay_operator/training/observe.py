"""What a training job's decision needs, read from the cache into one frozen value; and `KIND`, the engine's door.

RLTrainingJob ──owns──▶ Job `<name>-a<attempt>` ──owns──▶ pods, one per index and life
      │                        └ conditions, index ranges      └ termination messages, failure counts
      └─ status: what was once read and must outlast its pods
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from belay_api import names
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus
from belay_api.units import parse_instant
from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.engine.kind import Kind, Priority, Reader
from belay_operator.engine.plan import Key, Plan, Settings
from belay_operator.pods import PodView, pod_view
from belay_operator.specs import InvalidSpec, read_spec
from belay_operator.training import build
from belay_operator.training.decide import decide
from belay_operator.training.observed import JobView, Observed
from belay_operator.training.status import invalid_status, over

KIND_NAME = "RLTrainingJob"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_LENGTH = 63  # of a label value, and of `<job>-<index>`, an Indexed Job's host names
_NEVER = "0001-01-01T00:00:00Z"


def observe(body: Mapping[str, Any], reader: Reader, settings: Settings) -> Observed:
    """Return the training job in `body` with its Job, pods, heartbeats and, where it may publish, taken names.

    Raises: InvalidSpec for a spec that the API server let pass and that still cannot be run.
    """
    owner = Owner.of(body)
    spec = read_spec(RLTrainingJobSpec, body)
    status = RLTrainingJobStatus.model_validate(body.get("status") or {})
    _check(owner, spec)

    attempt = status.attempt or 1
    job = reader.get("Job", owner.namespace, build.job_name(owner.name, attempt))
    view = None if job is None else _job_view(job, owner)
    ours = view is not None and view.ours
    ended = status.aggregate is not None or (view is not None and view.ended is not None)
    # Each change of a published policy wakes its job, long after that is over: it must not read all the others then.
    publishes = spec.publish is not None and ended and not over(status)
    return Observed(
        owner=owner,
        spec=spec,
        status=status,
        child=view,
        settings=build.settings_of(job, settings) if job is not None and ours else settings,
        pods=_pods(reader.owned("Pod", job["metadata"]["uid"])) if job is not None and ours else (),
        strays=job is None and _strays(body, reader),
        progress=reader.fact("progress", owner.namespace, owner.name) or {},
        creation_failure=reader.fact("creation", owner.namespace, owner.name),
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
    """Return nothing: owner references and labels say all there is to say."""
    return ()


def _check(owner: Owner, spec: RLTrainingJobSpec) -> None:
    last = f"{build.job_name(owner.name, 1)}-{spec.seeds.count - 1}"
    if not _LABEL.fullmatch(owner.name) or len(last) > _LABEL_LENGTH:
        raise InvalidSpec(
            f"metadata.name: {owner.name} cannot name pods: {last} must be a DNS label of at most {_LABEL_LENGTH} "
            "characters. Nothing is started. Create the job under a shorter name without dots."
        )
    if spec.seeds.required is not None and spec.seeds.required > spec.seeds.count:
        raise InvalidSpec(
            f"spec.seeds.required: {spec.seeds.required} of {spec.seeds.count} seeds cannot succeed. Nothing is "
            "started. Lower seeds.required or raise seeds.count."
        )


def _job_view(job: Mapping[str, Any], owner: Owner) -> JobView:
    status = job.get("status") or {}
    held = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    ended = "Complete" if "Complete" in held else "Failed" if "Failed" in held else None
    condition = held.get(ended or "", {})
    at = status.get("completionTime") or condition.get("lastTransitionTime")
    return JobView(
        ours=owner.owns(job),
        deleting="deletionTimestamp" in job["metadata"],
        suspended=bool(job.get("spec", {}).get("suspend")),
        ended=ended,
        ended_at=parse_instant(at or _NEVER) if ended else None,
        reason=condition.get("reason", "") if ended == "Failed" else "",
        message=condition.get("message", "") if ended == "Failed" else "",
        completed=indexes(status.get("completedIndexes", "")),
        failed=indexes(status.get("failedIndexes", "")),
    )


def indexes(ranges: str) -> frozenset[int]:
    """Return the indexes in a Job's text form.

    >>> sorted(indexes("0,2-4"))
    [0, 2, 3, 4]
    """
    found: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _pods(pods: Iterable[Mapping[str, Any]]) -> tuple[PodView, ...]:
    return tuple(sorted(map(pod_view, pods), key=lambda pod: (pod.created_at, pod.name)))


def _strays(body: Mapping[str, Any], reader: Reader) -> bool:
    """Whether a pod of this training has not ended although its Job is gone: a deleted Job goes before its pods.

    Pods older than the training are those of a deleted namesake, whose checkpoints lie elsewhere.
    """
    meta = body["metadata"]
    made = parse_instant(meta["creationTimestamp"])
    pods = _pods(reader.labelled("Pod", meta["namespace"], names.TRAINING_JOB_LABEL, meta["name"]))
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
