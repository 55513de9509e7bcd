"""How far a training's search is, from the last words and the heartbeats of its pods; and when it is over.

Each pod tells the whole study as it sees it, so the one that saw most is right, and one word is enough. Heartbeats make
the running numbers; where every last word is lost they also stand for those.
"""

from belay_api.reasons import TrainingReason
from belay_api.search import SearchStatus
from belay_api.training import Progress, RLTrainingJobStatus, SeedPhase, WorkerStatus
from belay_operator.training.evictions import evictions, given_up, hopeless, retries
from belay_operator.training.observed import Observed, SeedView


def search_status(observed: Observed) -> SearchStatus | None:
    """Return how far the search is; None: there is none, or nothing of it has begun. What was found stays."""
    before, search = observed.status.search, observed.spec.search
    if not observed.searching or search is None:
        return before
    begun = any(worker.at_work or worker.end for worker in observed.workload.seeds.values())
    told = [*([before] if before else []), *observed.search_heartbeats(), *last_words(observed)]
    # A pod's last word knows what mattered, and a heartbeat of as many trials does not.
    newest = max(told, key=lambda one: (one.ended, one.importance is not None), default=None)
    return newest or (SearchStatus(trials=search.trials) if begun else None)


def last_words(observed: Observed) -> list[SearchStatus]:
    """Return what pods of the search said at their end."""
    reports = [report for worker in observed.workload.seeds.values() for report in worker.reports]
    return [report.search for report in reports if report.search is not None]


def search_workers(observed: Observed) -> list[WorkerStatus] | None:
    """Return the workers that have ended, or were tried again; None: none has or was. What was so stays."""
    known = {one.index: one for one in observed.status.search_workers or ()}
    if observed.searching:
        for index, view in observed.workload.seeds.items():
            if (found := _worker(observed, index, view, known.get(index))) is not None:
                known[index] = found
    return [known[index] for index in sorted(known)] or None


def search_ended(observed: Observed, status: RLTrainingJobStatus) -> bool:
    """Whether the search is over and has found settings. Call it once last words are no longer waited for."""
    end, found = observed.workload.end, status.search
    if not observed.searching or end is None or found is None or found.best is None:
        return False
    if end.reason == TrainingReason.SUCCEEDED:
        return True
    # Some workers failed for good, and others found that nothing was left to do.
    if hopeless(observed.spec, status):  # of such a Job the time was up, whatever its controller says
        return any(one.phase == SeedPhase.SUCCEEDED for one in status.search_workers or ())
    return end.reason == TrainingReason.TOO_FEW_SEEDS and bool(last_words(observed))


def words_missing(observed: Observed) -> bool:
    """Whether the search is over and a last word is on its way: of what was found, or else of why nothing was."""
    if observed.workload.end is None:
        return False
    workers = observed.workload.seeds.values()
    done = [worker for worker in workers if worker.end == SeedPhase.SUCCEEDED]
    if done:  # the one whose word is on its way may have seen most
        return not all(worker.reports for worker in done)
    return all(worker.failure is None for worker in workers)


def search_progress(status: SearchStatus | None) -> Progress | None:
    """Return how far the search is, as the job's progress; None: nothing of it is over."""
    return Progress(percent=100 * status.ended // status.trials) if status is not None and status.ended else None


def _worker(observed: Observed, index: int, view: SeedView, before: WorkerStatus | None) -> WorkerStatus | None:
    if before is not None and before.phase == SeedPhase.SUCCEEDED:
        return before
    evicted = evictions(view, before.evictions if before is not None else None)
    retried = retries(view, evicted, before=before.retries if before is not None else 0)
    lost = given_up(observed.spec, view, evicted, retried)
    if before is None and view.end is None and not retried:
        return None
    phase = SeedPhase.FAILED if lost else view.end or SeedPhase.RUNNING
    return WorkerStatus(index=index, phase=phase, retries=retried, evictions=evicted)
