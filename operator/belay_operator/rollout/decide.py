"""One pass over a rollout, from the bottom to the top of the house.

    readings  →  verdicts  →  situations  →  status  →  route
    (observe)    (verdicts)   (situations/)  (status)   (route, traffic/)

Each situation looks at what is recorded and observed, and either returns the next recorded status or passes. Nothing is
remembered between passes, so it does not matter where the one before died. The situations are asked again until none
has an answer, all within one pass: everything that needs the world (an accepted route, ready pods, a measurement, time)
is only ever read from `observed`, so a chain of changes that need nothing from outside is one write.

What is done to the world follows from the final status alone. The executor writes that status first, except where the
route itself carries what is new in it (see `carried`).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from belay_api.reasons import RolloutReason
from belay_operator.engine.plan import EMPTY, Manifest, Note, Plan, Ref
from belay_operator.judging.build import is_without_time
from belay_operator.policy.leftover import outlived
from belay_operator.rollout import carried, preview, route, verdicts
from belay_operator.rollout.move import Act, Explain, changed, instant
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.patience import next_due
from belay_operator.rollout.situations import (
    anchor_beside_trial,
    candidate_loading,
    candidate_superseded,
    candidate_unfit_to_serve,
    command_given,
    experiment_over,
    experiment_under_way,
    experiment_wanted,
    kept_candidate_expired,
    metric_failed,
    place_in_group,
    policy_wanted,
    preview_refused,
    query_refused,
    replicas_asked,
    rollback_under_way,
    route_not_in_force,
    sample_ratio_off,
    spec_unfit,
    stable_deleted,
    stable_lost,
    stable_not_ready,
    stable_remade,
    stable_unwatched,
    stable_worse,
    step_failed,
    step_under_way,
    steps_from_elsewhere,
    verdict_overdue,
    verdicts_reached,
    warm_version_expired,
    weight_accepted,
    weight_by_pods,
)
from belay_operator.rollout.status import describe
from belay_operator.rollout.stepping import kind_under_way, step_at
from belay_operator.rollout.wait import Wait

ACTS: tuple[Act, ...] = (
    command_given.act,  # what a person asked for comes first
    rollback_under_way.act,  # then what must be finished
    stable_lost.act,
    candidate_superseded.act,  # a candidate nobody wants any more is not judged either
    anchor_beside_trial.act,  # before a weight is taken for in force: its share is part of the route
    weight_accepted.act,
    weight_by_pods.act,
    query_refused.act,
    sample_ratio_off.act,  # before the verdicts that it withholds
    verdicts_reached.act,
    candidate_unfit_to_serve.act,
    metric_failed.act,
    verdict_overdue.act,
    step_failed.act,
    experiment_under_way.act,  # which ends before anybody else is taken up
    steps_from_elsewhere.act,  # before the trial that keeps to them
    place_in_group.act,  # before the candidate that needs it
    policy_wanted.act,
    experiment_over.act,  # a winner that is taken up at once keeps its share
    experiment_wanted.act,
    candidate_loading.act,
    step_under_way.act,
    warm_version_expired.act,
    kept_candidate_expired.act,
    stable_worse.act,
    stable_unwatched.act,
    replicas_asked.act,  # which follows from all of these
)
"""What is done, in the order of asking."""

EXPLANATIONS: tuple[Explain, ...] = (
    stable_lost.explain,
    rollback_under_way.explain,
    spec_unfit.explain,
    metric_failed.explain,
    experiment_wanted.explain,
    experiment_under_way.explain,
    policy_wanted.explain,
    candidate_loading.explain,
    step_under_way.explain,
    experiment_over.explain,
    stable_deleted.explain,
    stable_remade.explain,
    route_not_in_force.explain,
    stable_not_ready.explain,
    steps_from_elsewhere.explain,
)
"""What is told: the first that holds. Where none does, the rollout is healthy."""

ON_ITS_WAY = (RolloutReason.POLICY_NOT_FOUND, RolloutReason.PREPARING, RolloutReason.PROGRESSING)
"""Reasons that often pass within a moment."""

MAX_MOVES = 100  # far above what a spec of 32 steps can chain


class SituationsDisagree(Exception):
    """Two situations undo each other's moves: a bug, told by the queue's back-off instead of an endless pass."""


def decide(observed: Observed, now: datetime) -> Plan:
    """Return the next move; an empty plan when the rollout is as the spec wants it."""
    if observed.owner.deleting:
        return EMPTY  # everything we made is owned and goes with the rollout
    now = instant(now)
    observed, events = _settle(replace(observed, verdicts=verdicts.reach(observed, now)), now)
    wait = _explanation(observed, now)
    observed = observed.after(describe(observed, wait, now))
    status, recorded = observed.status.dump(), observed.recorded.dump()
    apply, delete = route.changes(observed, now)
    carrying = carried.by_route(observed, wait, apply)
    shown, hidden = preview.changes(observed, now)  # behind the route of everybody, whatever becomes of it
    made, ended = _objects_of_step(observed)
    keys = tuple(manifest for manifest in made if manifest["kind"] == "Secret")  # made, and neither read nor changed
    made = tuple(manifest for manifest in made if manifest["kind"] != "Secret")
    return Plan(
        status=status if status != recorded and carrying is None else None,
        create=keys,
        apply=(*(apply if carrying is None else carrying), *shown, *made),
        delete=(*delete, *hidden, *ended, *outlived(observed.leftovers, now)),
        events=events,
        debounce=not events and carrying is None and _only_tells(observed, wait),
        requeue_after=_requeue_after(observed, wait, now),
    )


def _only_tells(observed: Observed, wait: Wait | None) -> bool:
    """Whether nothing is new but words on what is about to come, such as a policy applied together with the rollout."""
    recorded = observed.recorded
    if wait is None or wait.reason not in ON_ITS_WAY or not recorded.conditions:
        return False
    status = changed(observed.status, observed_generation=recorded.observed_generation)
    return carried.as_told_before(status, recorded).dump() == recorded.dump()


def _settle(observed: Observed, now: datetime) -> tuple[Observed, tuple[Note, ...]]:
    """Ask the situations until none has anything to do."""
    events: list[Note] = []
    for _ in range(MAX_MOVES):
        move = next((move for act in ACTS if (move := act(observed, now)) is not None), None)
        if move is None:
            return observed, tuple(events)
        events.extend(move.events)
        observed = observed.after(move.status)
        observed = replace(observed, verdicts=verdicts.reach(observed, now))  # what counts depends on the weight
    raise SituationsDisagree(f"{observed.owner.namespace}/{observed.owner.name}: {MAX_MOVES} moves in one pass")


def _explanation(observed: Observed, now: datetime) -> Wait | None:
    """What the rollout waits for; None: it is healthy. A trial beside a stable version that was remade says so too."""
    wait = next((wait for explain in EXPLANATIONS if (wait := explain(observed, now)) is not None), None)
    wait = preview_refused.beside(wait, observed, now)
    remade = stable_remade.explain(observed, now)
    if wait is None or remade is None or wait == remade or observed.status.candidate is None:
        return wait
    return replace(wait, message=f"{wait.message}. {remade.message}")


def _objects_of_step(observed: Observed) -> tuple[tuple[Manifest, ...], tuple[Ref, ...]]:
    """What the step under way still lacks, and the Jobs that no step needs any more.

    A Job that exists is left as it is, for its template cannot change; but its time may be up.
    """
    step, kind = observed.status.step, kind_under_way(observed)
    wanted: tuple[Manifest, ...] = ()
    if step is not None and not observed.rolling_back:
        # A newer operator's step: its Job is not ours to end. And one that stands still keeps what it has.
        if kind is None or (observed.unfit is not None and kind.needs_fit_spec):
            return (), ()
        wanted = kind.objects(step_at(observed.spec, step.index), observed)
    jobs = {_name(manifest) for manifest in wanted if manifest["kind"] == "Job"}
    held = {_name(job): job.get("spec") or {} for job in observed.jobs}
    ended = [job for job in observed.jobs if _name(job) not in jobs and "deletionTimestamp" not in job["metadata"]]
    return (
        tuple(manifest for manifest in wanted if manifest["kind"] != "Job" or _is_news(manifest, held)),
        tuple(Ref("batch/v1", "Job", observed.owner.namespace, _name(job), job["metadata"]["uid"]) for job in ended),
    )


def _is_news(job: Manifest, held: Mapping[str, Mapping[str, Any]]) -> bool:
    before = held.get(_name(job))
    return before is None or (is_without_time(job["spec"]) and not is_without_time(before))


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def _requeue_after(observed: Observed, wait: Wait | None, now: datetime) -> timedelta | None:
    """Return when time alone will have changed something; the world wakes us for everything else."""
    times = [wait.requeue_after if wait else None, *warm_version_expired.times(observed, now)]
    times += [*anchor_beside_trial.times(observed, now), *kept_candidate_expired.times(observed, now)]
    times += [*preview.times(observed, now), *replicas_asked.times(observed, now)]
    times += stable_unwatched.times(observed, now)
    times += [*experiment_under_way.times(observed, now), *experiment_over.times(observed, now)]
    if not observed.rolling_back:
        times += [
            verdicts_reached.write_after(observed, now),
            next_due(observed, now),
            candidate_unfit_to_serve.silence_left(observed, now),
            *step_failed.times(observed, now),
        ]
    due = [time for time in times if time is not None and time > timedelta()]
    return min(due) if due else None
