"""The life of a training pod in reading order: open the store, train, measure, publish, validate, say so."""

from pathlib import Path

import httpx

from belay_api import names
from belay_api.environment import CostStatus
from belay_api.outcomes import RandomReturn
from belay_api.training import TrainingReport
from belay_api.wire import RunProgress
from belay_trainer import gpu
from belay_trainer.baseline import open_baseline
from belay_trainer.config import Run
from belay_trainer.errors import Interrupted
from belay_trainer.evaluate import Stopped
from belay_trainer.fetched import Source
from belay_trainer.heartbeat import Heartbeat, ProgressSink
from belay_trainer.history import CLOSE_S, History
from belay_trainer.initial import open_initial
from belay_trainer.keeper import Keeper
from belay_trainer.loop import FLUSHING
from belay_trainer.measure import Measured, measure
from belay_trainer.publish import publish
from belay_trainer.seal import Seal
from belay_trainer.served import Artifact
from belay_trainer.stop import Stop
from belay_trainer.store import Store, open_store
from belay_trainer.trackers.chosen import chosen, identity_of
from belay_trainer.train import Trained, train

TRACKING = 1 / 10  # of a pod's grace, for what trackers have not been told; what follows is the report


def train_and_publish(
    run: Run,
    *,
    work_dir: Path,
    pvc_dir: Path,
    initial_dir: Path,
    baseline_dir: Path = Path(names.BASELINE_DIR),
    logbook: httpx.Client | None,
    stop: Stop,
) -> TrainingReport:
    """Return the report of a seed that succeeded, in a pod. Raises: TrainerError for every other end."""
    store = open_store(run, pvc_dir=pvc_dir, logbook=logbook)
    heartbeat = Heartbeat(logbook, run.config.namespace, waits=stop.waits, waiting=waiting_pod(run))
    initial = open_initial(run, initial_dir, logbook=logbook)
    baseline = open_baseline(run, baseline_dir, work_dir=work_dir, logbook=logbook, stop=stop)
    trackers = chosen(run, work_dir / "tracking", identity=identity_of(run))
    history = History(trackers, budget=run.spec.budget.steps)
    also = {"history": history, "initial": initial, "baseline": baseline}
    try:
        return train_in(run, work_dir=work_dir, store=store, heartbeat=heartbeat, stop=stop, **also)
    finally:
        history.close(tracking_patience_s(run, stop))


def waiting_pod(run: Run) -> RunProgress:
    """Return what is told of a seed whose pod waits before it begins."""
    config, total = run.config, run.spec.budget.steps
    place = {"index": run.index, "seed": run.seed, "attempt": config.attempt}
    return RunProgress(job=config.job, uid=config.uid, **place, step=0, total=total)


def tracking_patience_s(run: Run, stop: Stop) -> float:
    """Return how long the end of a training waits for trackers: a pod that must go still has to say its last word."""
    return min(CLOSE_S, TRACKING * run.spec.checkpoint.grace.total_seconds()) if stop.asked else CLOSE_S


def train_in(
    run: Run,
    *,
    work_dir: Path,
    store: Store,
    heartbeat: ProgressSink,
    stop: Stop,
    history: History | None = None,
    initial: Source | None = None,
    baseline: Artifact | None = None,
) -> TrainingReport:
    """Return the report of a seed that succeeded, wherever it keeps things and whoever hears of it.

    Raises: TrainerError for every other end.
    """
    seal = Seal(run.key, index=run.index)
    keep = run.spec.checkpoint.keep
    keeper = Keeper(work_dir / "checkpoints", store, keep=keep, seal=seal, waits=stop.waits)
    try:
        trained = train(run, keeper=keeper, heartbeat=heartbeat, stop=stop, history=history, initial=initial)
        weights = trained.learner.weights_sha256()
        measured = measure(trained, run, stop=stop)
        published = publish(trained, measured, run, store, work_dir=work_dir, stop=stop, baseline=baseline)
    except Stopped as error:
        stored = keeper.flush(FLUSHING * run.spec.checkpoint.grace.total_seconds())
        raise Interrupted(
            "asked to stop during the last evaluation or the gates; the next pod "
            + ("plays them again." if stored else "goes on from an older checkpoint: the store has not taken the last.")
        ) from error
    finally:
        keeper.close()
        heartbeat.close()
    return TrainingReport(
        outcome="Succeeded",
        index=run.index,
        seed=run.seed,
        step=trained.step,
        return_=measured.report.mean if measured.report else None,
        selection_return=trained.best.report.mean if trained.best.report else None,
        estimate=measured.estimate,
        floor=measured.floor,
        best_step=trained.best.step,
        random=_random(trained),
        costs=_costs(measured),
        artifact=published.artifact,
        steps_per_second=trained.steps_per_second,
        resumed_from=trained.resumed_from,
        preset=trained.learner.preset,
        code=run.code,
        gpu=gpu.name(),
        weights_sha256=weights,
        message=trained.ended_early,
        findings=list(trained.findings),
        validation=published.validation,
    )


def _costs(measured: Measured) -> list[CostStatus] | None:
    told = [
        CostStatus(name=one.name, per_episode=one.per_episode, per_step=one.per_step, over_limit=one.over_limit)
        for one in (measured.report.costs if measured.report else ())
    ]
    return told or None


def _random(trained: Trained) -> RandomReturn | None:
    known = trained.outcomes.get("return")
    random = known.random if known is not None else None
    return None if random is None else RandomReturn(mean=random.mean, episodes=random.episodes, std=random.std)
