"""Status from what was observed: conditions as kstatus reads them, and how far the job is."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from belay_api.conditions import Condition, ConditionStatus, clear_condition, get_condition, set_condition
from belay_api.reasons import TrainingReason
from belay_api.training import Progress, RLTrainingJobStatus, SeedPhase, SeedStatus, TrainingPhase
from belay_operator.training.observed import Observed
from belay_operator.training.seeds import rounded
from belay_operator.training.situation import Situation

_ENDED = frozenset({SeedPhase.SUCCEEDED, SeedPhase.FAILED, SeedPhase.STOPPED})
_FAR = timedelta(days=3650)  # what is farther says nothing, and what is farther than 9999d could not be read back


def with_situation(
    status: RLTrainingJobStatus, seen: Situation, *, generation: int, now: datetime
) -> RLTrainingJobStatus:
    """Return `status` with the conditions and the phase of the situation."""
    conditions = status.conditions
    active = not (seen.ready or seen.stalled or seen.rests)
    for kind, true in (("Ready", seen.ready), ("Reconciling", active), ("Stalled", seen.stalled)):
        if kind != "Ready" and not true:
            conditions = clear_condition(conditions, kind)
            continue
        conditions = set_condition(
            conditions, kind, true, reason=seen.reason, message=seen.message, generation=generation, now=now
        )
    return status.model_copy(update={"phase": seen.phase, "conditions": conditions, "observed_generation": generation})


def with_gates(status: RLTrainingJobStatus, seen: Situation, *, generation: int, now: datetime) -> RLTrainingJobStatus:
    """Return `status` with the condition GatesPassed, once it is known whether a policy passed; without gates never."""
    best = status.aggregate.best.seed if status.aggregate is not None else None
    passed = next((seed.validation for seed in status.seeds if seed.seed == best and seed.validation is not None), None)
    if passed is None and seen.reason is not TrainingReason.GATES_FAILED:
        return status
    conditions = set_condition(
        status.conditions,
        "GatesPassed",
        passed is not None,
        reason=TrainingReason.GATES_FAILED if passed is None else TrainingReason.GATES_PASSED,
        message=seen.message if passed is None else f"The policy of seed {best} passed all {passed.gates} gates.",
        generation=generation,
        now=now,
    )
    return status.model_copy(update={"conditions": conditions})


def invalid_status(status: RLTrainingJobStatus, message: str, *, generation: int, now: datetime) -> RLTrainingJobStatus:
    """Return `status` saying that the spec cannot be run."""
    conditions = clear_condition(status.conditions, "Reconciling")
    for kind, true in (("Ready", False), ("Stalled", True)):
        conditions = set_condition(
            conditions,
            kind,
            true,
            reason=TrainingReason.INVALID_SPEC,
            message=message,
            generation=generation,
            now=now,
        )
    phase = status.phase or TrainingPhase.PENDING  # of one that never began; others stay where they were
    return status.model_copy(
        update={"phase": phase, "conditions": conditions, "observed_generation": generation},
    )


def over(status: RLTrainingJobStatus) -> bool:
    """Whether the job is over and all that was wanted of it is done."""
    ready = get_condition(status.conditions, "Ready")
    succeeded = ready is not None and ready.status == ConditionStatus.TRUE
    return status.finished_at is not None and (succeeded or status.phase == TrainingPhase.FAILED)


def acknowledged(status: RLTrainingJobStatus, generation: int) -> RLTrainingJobStatus:
    """Return the status of a job that is over, for a spec that changed afterwards: nothing but the generation moves."""
    if status.observed_generation == generation:
        return status
    conditions: list[Condition] = [c.model_copy(update={"observed_generation": generation}) for c in status.conditions]
    return status.model_copy(update={"conditions": conditions, "observed_generation": generation})


def progress(observed: Observed, seeds: Sequence[SeedStatus]) -> Progress | None:
    """Return how far the job is; None before the first heartbeat."""
    if all(seed.step is None for seed in seeds):
        return None
    budget = observed.spec.budget.steps
    # A seed that ended early has no more to do.
    steps = [budget if seed.phase == SeedPhase.SUCCEEDED else min(seed.step or 0, budget) for seed in seeds]
    running = [seed.steps_per_second for seed in seeds if seed.phase == SeedPhase.RUNNING]
    rate = sum(r for r in running if r is not None)
    left = sum(budget - step for step, seed in zip(steps, seeds, strict=True) if seed.phase not in _ENDED)
    return Progress(
        percent=100 * sum(steps) // (budget * len(seeds)),
        steps_per_second=rounded(rate) if rate > 0 else None,
        eta=_eta(left, rate),
    )


def _eta(left: int, rate: float) -> timedelta | None:
    if rate <= 0 or left <= 0 or left / rate > _FAR.total_seconds():
        return None
    return timedelta(seconds=round(left / rate))
