"""Decide what a training job still needs: its Job, its result, its policy.

    (nothing) ─▶ Pending ─▶ Running ⇄ Suspended ─▶ Succeeded ─▶ Succeeded, policy published
                                          └──────▶ Failed

Every pass reads the whole situation anew and asks for whatever is missing. The result goes into status before the
policy is made of it, so an operator that dies in between publishes the same policy afterwards, whatever became of the
Job meanwhile. A job that is over costs nothing: the plan is empty.
"""

from datetime import datetime, timedelta
from typing import Any

from belay_api.conditions import get_condition
from belay_api.reasons import EventReason, TrainingReason
from belay_api.training import RLTrainingJobStatus, TrainingPhase
from belay_operator.engine.plan import EMPTY, Note, Plan
from belay_operator.training import build, job_key
from belay_operator.training.observed import Observed
from belay_operator.training.seeds import published, seed_statuses, unread
from belay_operator.training.situation import Situation, situation
from belay_operator.training.status import acknowledged, over, progress, with_situation
from belay_operator.training.summary import aggregate

REPORT_GRACE = timedelta(seconds=30)
"""How long after the Job's end a pod's last word may be on its way: Job and pods come by different watches."""


def decide(observed: Observed, now: datetime) -> Plan:
    """Return what is still missing; an empty plan once the job is over and nothing is."""
    if observed.owner.deleting:
        return EMPTY
    if over(observed.status):
        return _status_plan(observed, acknowledged(observed.status, observed.owner.generation))

    status = _read_world(observed)
    waiting = _waits_for_reports(observed, status, now)
    if not waiting:
        status = _with_result(observed, status)
    seen = situation(observed, status, settled=not waiting)
    status = with_situation(status, seen, generation=observed.owner.generation, now=now)
    if seen.over:
        status = status.model_copy(update={"finished_at": _ended_at(observed, now)})
    return _status_plan(
        observed,
        status,
        **_missing(observed, status, seen),
        events=_events(observed, status, seen),
        requeue_after=REPORT_GRACE if waiting else None,
    )


def _read_world(observed: Observed) -> RLTrainingJobStatus:
    before = observed.status
    started = [c.started_at for pod in observed.pods for c in pod.containers if c.started_at is not None]
    seeds = before.seeds if before.aggregate is not None else seed_statuses(observed)  # the result is final
    return before.model_copy(
        update={
            "attempt": observed.attempt,
            "algorithm": observed.spec.algorithm.chosen,
            "template_hash": before.template_hash or build.spec_hash(observed.spec),
            "seeds": seeds,
            "progress": progress(observed, seeds),
            "started_at": before.started_at or min(started, default=None),
        }
    )


def _waits_for_reports(observed: Observed, status: RLTrainingJobStatus, now: datetime) -> bool:
    job = observed.job
    if job is None or job.ended_at is None or status.aggregate is not None:
        return False
    return bool(unread(observed, status.seeds)) and now - job.ended_at < REPORT_GRACE


def _with_result(observed: Observed, status: RLTrainingJobStatus) -> RLTrainingJobStatus:
    """Return `status` with the result, once it is final: nothing that happens to the Job afterwards changes it."""
    if status.aggregate is not None:
        return status
    job = observed.job
    # Without a Job (deleted by hand) the result is known all the same, if its pods' reports were read in time.
    enough = sum(map(published, status.seeds)) >= observed.required
    final = enough if job is None else job.ended == "Complete"
    result = aggregate(status.seeds) if final else None
    if result is None:
        return status
    publish = observed.spec.publish
    name = publish and build.policy_name(publish.family, result.best.artifact.digest, observed.policies)
    return status.model_copy(update={"aggregate": result, "published_policy": name})


def _missing(observed: Observed, status: RLTrainingJobStatus, seen: Situation) -> dict[str, tuple[Any, ...]]:
    """Return what the plan creates and applies."""
    result, child = status.aggregate, observed.child
    if result is not None:
        publish, name = observed.spec.publish, status.published_policy
        if publish is None or name is None or observed.policies.get(name) == result.best.artifact.digest:
            return {}
        return {"apply": (build.policy(observed, publish, name, result.best),)}
    if child is None:
        return {} if observed.strays or seen.over else _with_mounts(observed, build.job(observed))
    if seen.over or not child.ours or child.deleting or child.ended is not None:
        return {}
    changed = (build.job(observed),) if child.suspended != observed.spec.suspend else ()
    if status.started_at is not None:
        return {"apply": changed}
    # The Job may have been made without what its pods mount: what the API server refuses stops nothing else.
    return _with_mounts(observed, *changed)


def _with_mounts(observed: Observed, *jobs: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    keys, config = job_key.secrets(observed.owner, observed.settings), build.config_map(observed)
    return {"create": keys, "apply": (config, *jobs)}


def _events(observed: Observed, status: RLTrainingJobStatus, seen: Situation) -> tuple[Note, ...]:
    """Return what is told once, at the change of situation. An event may be lost with the operator, status is not."""
    before = get_condition(observed.status.conditions, "Ready")
    was = before.reason if before else None
    notes = []
    if observed.status.started_at is None and status.started_at is not None:
        name = build.job_name(observed.owner.name, observed.attempt)
        notes.append(Note(EventReason.TRAINING_STARTED, f"Job {name} trains {observed.spec.seeds.count} seeds"))
    if seen.reason == was:
        return tuple(notes)
    if seen.phase == TrainingPhase.FAILED:
        notes.append(Note(EventReason.TRAINING_FAILED, seen.message, warning=True))
    if seen.phase == TrainingPhase.SUCCEEDED and observed.status.aggregate is None:
        notes.append(Note(EventReason.TRAINING_SUCCEEDED, seen.message))
    if seen.reason == TrainingReason.PUBLISHED:
        notes.append(Note(EventReason.POLICY_PUBLISHED, seen.message))
    return tuple(notes)


def _ended_at(observed: Observed, now: datetime) -> datetime:
    job = observed.job
    return job.ended_at if job is not None and job.ended_at is not None else now


def _status_plan(observed: Observed, status: RLTrainingJobStatus, **rest: Any) -> Plan:
    return Plan(status=None if status == observed.status else status.dump(), **rest)
