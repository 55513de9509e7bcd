"""A worker's life: trial after trial, until all of the search have begun and its own have ended."""

import logging
import uuid
from pathlib import Path

import httpx
from optuna.storages.journal import BaseJournalBackend

from belay_api.search import FIRST_TRIAL_SEED, SearchStatus
from belay_api.training import TrainingReport
from belay_api.wire import RunProgress
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration, GivenUp, Interrupted, StoreError, TrainerError, own_error
from belay_trainer.evaluate import Stopped
from belay_trainer.fetched import Source
from belay_trainer.heartbeat import Heartbeat, ProgressSink
from belay_trainer.initial import begin_from, open_initial
from belay_trainer.search.journal import Journal, open_lines
from belay_trainer.search.spaces import NETWORK, space_of
from belay_trainer.search.study import Study, Trial
from belay_trainer.search.trial import play
from belay_trainer.stop import Stop
from belay_trainer.train import build, rehearse_in, shown

ENOUGH_FAILURES = 10  # trials; where all of so many failed, and none came to anything, no other will
log = logging.getLogger(__name__)


def search_in_pod(
    run: Run,
    *,
    work_dir: Path,
    pvc_dir: Path,
    initial_dir: Path,
    baseline_dir: Path,
    logbook: httpx.Client | None,
    stop: Stop,
) -> TrainingReport:
    """Return the report of a search pod that has nothing left to do. Raises: TrainerError for every other end."""
    journal = Journal(open_lines(run, pvc_dir=pvc_dir, logbook=logbook), key=run.key, stop=stop)
    trials = run.spec.search.trials if run.spec.search is not None else 0
    waiting = _progress(run, SearchStatus(trials=trials), life=None)
    heartbeat = Heartbeat(logbook, run.config.namespace, waits=stop.waits, waiting=waiting)
    initial = open_initial(run, initial_dir, logbook=logbook)
    return search_in(run, journal, work_dir=work_dir, heartbeat=heartbeat, stop=stop, initial=initial)


def search_in(
    run: Run,
    journal: BaseJournalBackend,
    *,
    work_dir: Path,
    heartbeat: ProgressSink,
    stop: Stop,
    initial: Source | None = None,
) -> TrainingReport:
    """Return the report of a worker that has nothing left to do, wherever its journal lies and whoever hears of it.

    Args:
        initial: What trials begin with; None: they begin anew.
    Raises: BadConfiguration for a search that cannot be, GivenUp for one whose trials all fail; Interrupted.
    """
    study = open_study(run, journal)
    _check_first(run, study, initial, stop=stop)
    life = uuid.uuid4().hex
    try:
        _tell(run, study.status(), heartbeat, life)
        while (trial := study.next()) is not None:
            _try(run, study, trial, work_dir=work_dir, stop=stop, initial=initial)
            _give_up(status := study.status())
            _tell(run, status, heartbeat, life)
        status = study.status(importance=True)
        if status.ended >= status.trials and status.best is None:
            raise GivenUp(
                f"none of {status.trials} trials of the search came to its end; the last failure: {status.message}"
            )
        _tell(run, status, heartbeat, life)
    finally:
        heartbeat.close()
    return TrainingReport(outcome="Succeeded", index=run.index, seed=_seed(run), step=status.ended, search=status)


def open_study(run: Run, journal: BaseJournalBackend) -> Study:
    """Return the study of a run's search, as this worker sees it. Raises: BadConfiguration."""
    search, algorithm = run.spec.search, run.spec.algorithm
    if search is None:
        raise BadConfiguration("search: this pod was made to search, and its spec has no search.")
    return Study(
        search,
        space_of(search, algorithm, begins_trained=run.config.initial is not None),
        type(algorithm.settings),
        journal=journal,
        first_seed=run.spec.seeds.first,
        worker=run.index,
    )


def _check_first(run: Run, study: Study, initial: Source | None, *, stop: Stop) -> None:
    """Check what is wrong with every trial, before the first. Raises: BadConfiguration; Unreachable, Interrupted."""
    learner = build(run)
    rehearse_in(learner, run)
    if initial is None or NETWORK & study.space.keys() or run.spec.algorithm.custom is not None:
        return  # no policy to begin with, or one that fits some trials
    environment = shown(run, learner)
    learner.start()
    begin_from(initial, learner, environment, stop=stop)
    environment.close()


def _try(run: Run, study: Study, trial: Trial, *, work_dir: Path, stop: Stop, initial: Source | None) -> None:
    """Play a trial and note what came of it. Raises: Interrupted, StoreError."""
    log.info("trial %d: %s", trial.number, trial.settings)
    try:
        value = play(run, study, trial, work_dir=work_dir, stop=stop, initial=initial)
    except (Interrupted, Stopped) as error:
        study.put_back(trial)
        raise Interrupted(f"asked to stop; the next pod in this place begins trial {trial.number} again.") from error
    except StoreError:  # the journal's, not the trial's
        raise
    except BadConfiguration as error:
        study.fail(trial, f"trial {trial.number} was refused: {error}", worst=False)
    except TrainerError as error:
        if own_error(error) is not None:
            log.error("trial %d failed", trial.number, exc_info=own_error(error))
        study.fail(trial, f"trial {trial.number}: {error}", worst=True)
    except Exception as error:  # whatever settings make an environment or a library raise
        log.exception("trial %d failed", trial.number)
        study.fail(trial, f"trial {trial.number}: {type(error).__name__}: {error}", worst=True)
    else:
        log.info("trial %d %s", trial.number, "was pruned" if value is None else f"is worth {value:g}")
        study.prune(trial) if value is None else study.finish(trial, value)


def _give_up(status: SearchStatus) -> None:
    """End a search of which nothing can come. Raises: GivenUp."""
    if status.failed == status.ended >= ENOUGH_FAILURES:
        raise GivenUp(f"search: the first {status.ended} trials all failed, so it was given up. {status.message}")


def _tell(run: Run, status: SearchStatus, heartbeat: ProgressSink, life: str) -> None:
    heartbeat.tell(_progress(run, status, life=life))


def _progress(run: Run, status: SearchStatus, *, life: str | None) -> RunProgress:
    config = run.config
    return RunProgress(
        job=config.job,
        uid=config.uid,
        index=run.index,
        seed=_seed(run),
        attempt=config.attempt,
        step=status.ended,
        total=status.trials,
        life=life,
        search=status,
    )


def _seed(run: Run) -> int:
    """Return the seed of the first trial, which is none of the job's."""
    return run.spec.seeds.first + FIRST_TRIAL_SEED
