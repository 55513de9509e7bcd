"""What is left to do for a job that is over: to remove, when its time has come, what it only needed to run.

Checkpoints, and the journal of a search, lie in a store that only the job's own pods may write to, so a last pod of the
job removes them, whatever the store is. The Jobs of the training and of its search go after them, so that a cleanup
that fails has not taken the logs. The RLTrainingJob itself is never deleted: it is the record of the results, and what
keeps it in Git would make it again and train anew. Artifacts stay, and with them every policy that serves one.
"""

from datetime import datetime, timedelta

from belay_api.cleanup import CleanupStatus
from belay_api.reasons import EventReason
from belay_api.training import RLTrainingJobStatus, TrainingPhase
from belay_api.units import format_instant
from belay_operator.engine.plan import EMPTY, Note, Plan, Ref
from belay_operator.training import remover
from belay_operator.training.build import config_map, keys
from belay_operator.training.observed import Observed


def cleanup(observed: Observed, status: RLTrainingJobStatus, now: datetime) -> tuple[CleanupStatus | None, Plan]:
    """Return how far the cleanup is, and the next move; its plan has no status.

    Args:
        status: Of a job that is over.
    """
    before, delay = status.cleanup, _delay(observed, status)
    if before is not None and before.done_at is not None:
        return before, Plan(delete=_jobs(observed))
    if delay is None or status.finished_at is None:
        return None, EMPTY
    due = CleanupStatus(due_at=status.finished_at + delay)
    if now < due.due_at:
        notes = () if before == due else (_announcement(due),)
        return due, Plan(events=notes, requeue_after=due.due_at - now)

    return _remove(observed, status, due, now)


def _remove(
    observed: Observed, status: RLTrainingJobStatus, due: CleanupStatus, now: datetime
) -> tuple[CleanupStatus, Plan]:
    found = observed.remover
    if found is not None and found.failed is not None:
        message = (
            f"Job {found.name} could not remove the checkpoints: {found.failed}. The Job, its pods and what is left of "
            f"the checkpoints stay. Delete Job {found.name}, and it is tried again."
        )
        return due.model_copy(update={"message": message}), EMPTY
    # A job whose pods never ran has nothing in any store.
    never_ran = status.started_at is None and status.search is None
    if never_ran or (found is not None and found.complete):
        done = due.model_copy(update={"done_at": now})
        words = "The Job, its pods and checkpoints are removed; results, artifacts and policies stay."
        return done, Plan(delete=_jobs(observed), events=(Note(EventReason.CLEANED_UP, words),))
    if found is not None and found.obstacle is not None:
        message = (
            f"The pod of Job {found.name} cannot remove the checkpoints yet: {found.obstacle}. It goes on by itself "
            "once that is mended."
        )
        return due.model_copy(update={"message": message}), EMPTY
    if found is not None:
        return due, EMPTY
    # Also what its pod mounts: somebody may have deleted it.
    return due, Plan(create=keys(observed), apply=(config_map(observed), remover.job(observed)))


def _delay(observed: Observed, status: RLTrainingJobStatus) -> timedelta | None:
    rules = observed.spec.cleanup
    return rules.after_success if status.phase == TrainingPhase.SUCCEEDED else rules.after_failure


def _announcement(due: CleanupStatus) -> Note:
    words = (
        f"At {format_instant(due.due_at)} the Job with its pods and logs and all checkpoints are removed; results, "
        "artifacts and policies stay. spec.cleanup may still be changed."
    )
    return Note(EventReason.CLEANUP_PLANNED, words)


def _jobs(observed: Observed) -> tuple[Ref, ...]:
    """Return what is to be deleted, as long as it is there."""
    remover_ref = None if observed.remover is None else observed.remover.ref
    refs = (observed.workload.ref, observed.search_job, remover_ref)
    return tuple(ref for ref in refs if ref is not None)
