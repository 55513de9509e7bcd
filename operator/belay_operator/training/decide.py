"""Decide what a training job still needs: what runs its pods, its result, its policy.

    (nothing) ─▶ Pending ─▶ Running ⇄ Suspended ─▶ Succeeded ─▶ Succeeded, policy published
                    └▶ Searching ─┘       └──────▶ Failed

Every pass reads the whole situation anew and asks for whatever is missing. The result goes into status before the
policy is made of it, so an operator that dies in between publishes the same policy afterwards, whatever became of the
pods meanwhile. So do the settings that a search found, before anything is trained with them. A job that is over costs
nothing: the plan is empty until what it leaves behind is to be cleaned up.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from belay_api.conditions import get_condition
from belay_api.content import spec_hash
from belay_api.reasons import EventReason, TrainingReason
from belay_api.summary import aggregate
from belay_api.training import BestSeed, RLTrainingJobStatus, TrainingPhase
from belay_operator.engine.plan import EMPTY, Manifest, Note, Plan
from belay_operator.training import build
from belay_operator.training.cleanup import cleanup
from belay_operator.training.clock import clock
from belay_operator.training.cost import Costs, costs, job_cost, time_left
from belay_operator.training.findings import finding_notes, job_findings
from belay_operator.training.history import closed, history
from belay_operator.training.observed import Observed
from belay_operator.training.search import search_ended, search_progress, search_status, search_workers, words_missing
from belay_operator.training.seeds import complete, seed_statuses, unread
from belay_operator.training.situation import Situation, situation
from belay_operator.training.status import acknowledged, over, progress, with_gates, with_situation
from belay_operator.training.workloads import workload

REPORT_GRACE = timedelta(seconds=30)
"""How long after a workload's end a pod's last word may be on its way: each kind of object has a watch of its own."""


def decide(observed: Observed, now: datetime) -> Plan:
    """Return what is still missing; an empty plan once the job is over and nothing is."""
    if observed.owner.deleting:
        return EMPTY
    if over(observed.status):
        status = acknowledged(observed.status, observed.owner.generation)
        stage, plan = cleanup(observed, status, now)
        status = status.model_copy(update={"cleanup": stage})
        return replace(plan, status=None if status == observed.status else status.dump())

    status = _read_world(observed, now)
    waiting = _waits_for_reports(observed, status, now)
    if not waiting:
        status = _with_result(observed, _with_settings(observed, status))
    seen = situation(observed, status, settled=not waiting)
    status = with_situation(status, seen, generation=observed.owner.generation, now=now)
    status = with_gates(status, seen, generation=observed.owner.generation, now=now)
    if seen.over:
        at = _ended_at(observed, now)
        status = status.model_copy(update={"finished_at": at, "history": closed(status.history, at)})
    return _status_plan(
        observed,
        status,
        **_missing(observed, status, seen),
        events=_events(observed, status, seen),
        requeue_after=REPORT_GRACE if waiting else time_left(observed, status, now),
    )


def _read_world(observed: Observed, now: datetime) -> RLTrainingJobStatus:
    before = observed.status
    seeds = before.seeds if before.aggregate is not None else seed_statuses(observed)  # the result is final
    search = search_status(observed)
    cost = costs(observed, seeds, now)
    seeds = cost.seeds
    best = None if before.aggregate is None else before.aggregate.best
    return before.model_copy(
        update={
            "attempt": observed.attempt,
            "algorithm": observed.spec.algorithm.chosen,
            "template_hash": before.template_hash or spec_hash(observed.spec),
            "search": search,
            "search_workers": search_workers(observed),
            "initial": observed.initial,
            "baseline": observed.baseline,
            "seeds": seeds,
            "running": sum(one.at_work for one in observed.workload.seeds.values()),
            "progress": search_progress(search) if observed.searching else progress(observed, seeds),
            "findings": job_findings(observed, seeds),
            "history": history(observed, now),
            "search_costs": cost.search or None,
            "cost": job_cost(observed, cost, best),
            "clock": clock(observed, now),
            "started_at": before.started_at or (None if observed.searching else observed.workload.started_at),
        }
    )


def _waits_for_reports(observed: Observed, status: RLTrainingJobStatus, now: datetime) -> bool:
    end = observed.workload.end
    if end is None or status.aggregate is not None:
        return False
    unheard = words_missing(observed) if observed.searching else bool(unread(observed.workload, status.seeds))
    return unheard and now - end.at < REPORT_GRACE


def _with_settings(observed: Observed, status: RLTrainingJobStatus) -> RLTrainingJobStatus:
    """Return `status` with the search's end, once it has found settings: the next pass trains seeds with them."""
    end = observed.workload.end
    if end is None or not search_ended(observed, status):
        return status
    return status.model_copy(update={"searched_at": end.at})


def _with_result(observed: Observed, status: RLTrainingJobStatus) -> RLTrainingJobStatus:
    """Return `status` with the result, once it is final: nothing that happens to the pods afterwards changes it."""
    if status.aggregate is not None or observed.searching:
        return status
    gated = observed.spec.gates is not None
    result = aggregate(status.seeds, gated=gated) if complete(observed, status.seeds) else None
    if result is None:
        return status
    publish = observed.spec.publish
    name = publish and build.policy_name(publish.family, result.best.artifact.digest, observed.policies)
    cost = job_cost(observed, Costs.of(status), result.best)
    return status.model_copy(update={"aggregate": result, "published_policy": name, "cost": cost})


def _missing(observed: Observed, status: RLTrainingJobStatus, seen: Situation) -> dict[str, tuple[Any, ...]]:
    """Return what the plan creates, applies and deletes."""
    view = observed.workload
    if status.aggregate is not None:
        return _publication(observed, status, status.aggregate.best)
    if not view.exists:
        waits = observed.missing is not None
        return {} if observed.strays or seen.over or waits else _with_mounts(observed, *_workload(observed))
    if seen.over or not view.ours or view.deleting or view.end is not None:
        return {}
    if view.edited and view.at_rest and not view.ending and view.ref is not None:
        return {"delete": (view.ref,)}  # its pods' template cannot change; seeds go on from their checkpoints
    changed = _workload(observed) if view.outdated else ()
    if status.started_at is not None or view.started_at is not None:
        return {"apply": changed}
    # The workload may have been made without what its pods mount: what the API server refuses stops nothing else.
    return _with_mounts(observed, *changed)


def _publication(observed: Observed, status: RLTrainingJobStatus, best: BestSeed) -> dict[str, tuple[Manifest, ...]]:
    publish, name = observed.spec.publish, status.published_policy
    if publish is None or name is None or observed.policies.get(name) == best.artifact.digest:
        return {}
    return {"apply": (build.policy(observed, publish, name, best),)}


def _with_mounts(observed: Observed, *workload_objects: Manifest) -> dict[str, tuple[Manifest, ...]]:
    return {"create": build.keys(observed), "apply": (build.config_map(observed), *workload_objects)}


def _workload(observed: Observed) -> tuple[Manifest, ...]:
    return workload(searching=observed.searching).objects(observed)


def _events(observed: Observed, status: RLTrainingJobStatus, seen: Situation) -> tuple[Note, ...]:
    """Return what is told once, at the change of situation. An event may be lost with the operator, status is not."""
    before = get_condition(observed.status.conditions, "Ready")
    was = before.reason if before else None
    notes = finding_notes(observed.status, status)
    if observed.status.started_at is None and status.started_at is not None:
        words = f"{observed.workload.title} trains {observed.spec.seeds.count} seeds"
        notes.append(Note(EventReason.TRAINING_STARTED, words))
    if observed.status.search is None and status.search is not None:
        notes.append(
            Note(EventReason.SEARCH_STARTED, f"{observed.workload.title} tries {status.search.trials} settings")
        )
    if observed.status.searched_at is None and status.searched_at is not None:
        notes.append(Note(EventReason.SEARCH_ENDED, seen.message))
    if seen.reason == was:
        return tuple(notes)
    if seen.reason == TrainingReason.BUDGET_SPENT:
        notes.append(Note(EventReason.BUDGET_SPENT, seen.message, warning=True))
    if seen.reason == TrainingReason.STORE_UNAVAILABLE:
        notes.append(Note(EventReason.STORE_UNAVAILABLE, seen.message, warning=True))
    if seen.phase == TrainingPhase.FAILED:
        notes.append(Note(EventReason.TRAINING_FAILED, seen.message, warning=True))
    if seen.phase == TrainingPhase.SUCCEEDED and observed.status.aggregate is None:
        notes.append(Note(EventReason.TRAINING_SUCCEEDED, seen.message))
    if seen.reason == TrainingReason.PUBLISHED:
        notes.append(Note(EventReason.POLICY_PUBLISHED, seen.message))
    return tuple(notes)


def _ended_at(observed: Observed, now: datetime) -> datetime:
    return now if observed.workload.end is None else observed.workload.end.at


def _status_plan(observed: Observed, status: RLTrainingJobStatus, **rest: Any) -> Plan:
    return Plan(status=None if status == observed.status else status.dump(), **rest)
