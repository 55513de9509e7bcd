"""Name the situation a training job is in: one reason, one sentence, and what it means to programs.

The chain below is read from top to bottom; the first function that recognises the situation names it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from belay_api import names
from belay_api.conditions import get_condition
from belay_api.reasons import TrainingReason
from belay_api.training import Aggregate, RLTrainingJobStatus, SeedPhase, SeedStatus, TrainingPhase
from belay_api.units import format_duration
from belay_operator.engine.blocked import words_about
from belay_operator.pods import over_quota
from belay_operator.training.build import job_name
from belay_operator.training.observed import Observed
from belay_operator.training.seeds import REFUSED, published

_NAMED = 3  # seeds whose failure is quoted in a message; status.seeds has all


@dataclass(frozen=True, slots=True)
class Situation:
    """What is so. `Reconciling` is true exactly while neither `ready`, `stalled` nor `rests` is."""

    phase: TrainingPhase
    reason: TrainingReason
    message: str
    ready: bool = False
    stalled: bool = False  # nothing will happen without somebody's help
    rests: bool = False  # nothing will happen, and that is what was asked for

    @property
    def over(self) -> bool:
        """Whether nothing can change it any more."""
        return self.ready or self.stalled


def situation(observed: Observed, status: RLTrainingJobStatus, *, settled: bool) -> Situation:
    """Return the situation.

    Args:
        status: As read in this pass.
        settled: False: the Job is over, but a pod's last word is still on its way, so no end is declared yet.
    """
    ends: tuple[_Link, ...] = (_published, _succeeded, _report_lost, _failed) if settled else ()
    chain = (
        *ends,
        _refused,
        _old_job,
        _old_pods,
        _suspended,
        _training,
        _cannot_start,
        _unschedulable,
        _cannot_be_made,
    )
    return next((said for link in chain if (said := link(observed, status)) is not None), _pending(observed))


_Link = Callable[[Observed, RLTrainingJobStatus], Situation | None]


def _published(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    name, result = status.published_policy, status.aggregate
    if result is None or name is None or observed.policies.get(name) != result.best.artifact.digest:
        return None
    message = f"{_words_of(result, observed, status)} It is published as RLPolicy {name}."
    return Situation(TrainingPhase.SUCCEEDED, TrainingReason.PUBLISHED, message, ready=True)


def _succeeded(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    result = status.aggregate
    if result is None:
        return None
    done = observed.spec.publish is None
    message = _words_of(result, observed, status) + (
        "" if done else f" RLPolicy {status.published_policy} is being made."
    )
    return Situation(TrainingPhase.SUCCEEDED, TrainingReason.SUCCEEDED, message, ready=done)


def _report_lost(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    job = observed.job
    if job is None or job.ended != "Complete":
        return None
    message = (
        "The Job succeeded, but no seed's final report can be read: the pods were removed before they were, or the "
        "image is not a Belay trainer. Nothing is published. Create the job again under another name."
    )
    return Situation(TrainingPhase.FAILED, TrainingReason.REPORT_LOST, message, stalled=True)


def _failed(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    job, spec = observed.job, observed.spec
    if job is None or job.ended != "Failed":
        return None
    done = sum(map(published, status.seeds))
    if job.reason == "DeadlineExceeded" and spec.budget.deadline is not None:
        reason = TrainingReason.DEADLINE_EXCEEDED
        message = (
            f"spec.budget.deadline: {format_duration(spec.budget.deadline)} passed with {done} of {observed.required} "
            "required seeds done. The pods are gone, checkpoints stay. Create a job of another name with more time."
        )
    elif job.reason == REFUSED:
        reason = TrainingReason.BAD_CONFIGURATION
        words = _quoted([s for s in status.seeds if s.phase == SeedPhase.FAILED and s.message]) or job.message
        message = f"A pod refused its configuration: {words}. Correct it in a job of another name."
    else:
        reason = TrainingReason.TOO_FEW_SEEDS
        lost = [s for s in status.seeds if s.phase == SeedPhase.FAILED]
        message = (
            f"{len(lost)} of {spec.seeds.count} seeds failed and {observed.required} must succeed: "
            f"{_quoted(lost) or job.message}. status.seeds says why each did."
        )
    return Situation(TrainingPhase.FAILED, reason, message, stalled=True)


def _refused(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    """Keep what the engine said while the Job is missing. The spec is frozen: an invalid Job stays an invalid one.

    A quota's or a webhook's no may change; only of an object that breaks its own rules does the API server speak so.
    """
    said = get_condition(observed.status.conditions, "Ready")
    if said is None or said.reason != TrainingReason.CHILD_REFUSED or observed.child is not None:
        return None
    words = words_about(f"Job {_job(observed)}", said.message)
    if words is None or not words.startswith(f'Job.batch "{_job(observed)}" is invalid: '):
        return Situation(TrainingPhase.PENDING, TrainingReason.CHILD_REFUSED, said.message)
    message = f"No Job can be made of this spec: {words}. Correct it in a job of another name."
    return Situation(TrainingPhase.FAILED, TrainingReason.BAD_CONFIGURATION, message, stalled=True)


def _old_job(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    if observed.child is None or (observed.child.ours and not observed.child.deleting):
        return None
    message = (
        f"Job {_job(observed)} is still being removed; a new one is made as soon as it is gone. If it stays, see who "
        "holds its finalizers."
    )
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _old_pods(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    if not observed.strays:
        return None
    message = (
        f"Job {_job(observed)} was deleted and pods of it still run. A new one is made as soon as they are gone: two "
        "pods of one seed must not write checkpoints at once. "
        f"`kubectl get pods -l {names.TRAINING_JOB_LABEL}={observed.owner.name}` shows them."
    )
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _suspended(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    if not observed.spec.suspend:
        return None
    message = "spec.suspend is true: no pod runs, checkpoints stay. Set it to false to resume from them."
    return Situation(TrainingPhase.SUSPENDED, TrainingReason.SUSPENDED, message, rests=True)


def _training(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    # Between two pods of a seed, or when the first seeds are done and the next have not begun, it is still training.
    at_work = {SeedPhase.RUNNING, SeedPhase.SUCCEEDED}
    if not any(seed.phase in at_work for seed in status.seeds):
        return None
    count = observed.spec.seeds.count
    message = f"Job {_job(observed)} trains {count} seeds, {observed.required} must succeed; status.seeds says how far."
    return Situation(TrainingPhase.RUNNING, TrainingReason.TRAINING, message)


def _cannot_start(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    words = sorted(pod.cannot_start for pod in observed.pods if pod.cannot_start)
    if not words:
        return None
    message = f"No pod of Job {_job(observed)} can start: {words[0]}. It goes on by itself once that is mended."
    return Situation(TrainingPhase.PENDING, TrainingReason.POD_START_FAILED, message)


def _unschedulable(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    words = sorted(pod.unschedulable for pod in observed.pods if pod.unschedulable)
    if not words:
        return None
    message = f"No pod of Job {_job(observed)} has a place to run: {words[0]}. It goes on by itself once there is one."
    return Situation(TrainingPhase.PENDING, TrainingReason.UNSCHEDULABLE, message)


def _cannot_be_made(observed: Observed, status: RLTrainingJobStatus) -> Situation | None:
    words = observed.creation_failure
    if words is None or observed.child is None or observed.pods:
        return None
    if over_quota(words):
        message = f"No pod of Job {_job(observed)} has a place to run: {words}. It goes on by itself once there is one."
        return Situation(TrainingPhase.PENDING, TrainingReason.UNSCHEDULABLE, message)
    message = f"No pod of Job {_job(observed)} can be made: {words}. It goes on by itself once that is mended."
    return Situation(TrainingPhase.PENDING, TrainingReason.POD_START_FAILED, message)


def _pending(observed: Observed) -> Situation:
    message = f"No pod of Job {_job(observed)} runs yet."
    before = get_condition(observed.status.conditions, "Ready")
    if observed.child is None and before is not None and before.reason == TrainingReason.PENDING:
        message = f"Job {_job(observed)} could not be made yet, and is tried again."
    return Situation(TrainingPhase.PENDING, TrainingReason.PENDING, message)


def _words_of(result: Aggregate, observed: Observed, status: RLTrainingJobStatus) -> str:
    best, random = f"{result.best.return_:g}", result.best.random
    if random is not None:
        best = f"{best}, where random actions return {random.mean:.3g}"
    said = (
        f"{result.seeds} of {observed.spec.seeds.count} seeds succeeded; seed {result.best.seed} is best with {best}."
    )
    lost = [s for s in status.seeds if s.phase == SeedPhase.SUCCEEDED and not published(s)]
    return f"{said} The final report of {len(lost)} more could not be read." if lost else said


def _quoted(seeds: list[SeedStatus]) -> str:
    said = "; ".join(f"seed {s.seed}: {s.message or 'no word'}" for s in seeds[:_NAMED])
    return f"{said}; and {len(seeds) - _NAMED} more" if len(seeds) > _NAMED else said


def _job(observed: Observed) -> str:
    return job_name(observed.owner.name, observed.attempt)
