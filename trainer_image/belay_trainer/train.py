"""One seed, from nothing or from its newest checkpoint, to the best evaluated policy."""

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from torch.optim.optimizer import register_optimizer_step_pre_hook

from belay_api.findings import Finding
from belay_api.outcomes import KnownOutcome
from belay_api.wire import CheckpointRef
from belay_trainer import checkpoint, environments, gpu, learners, threads
from belay_trainer.checkpoint import Checkpoint
from belay_trainer.config import Run
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration, Diverged, EnvironmentFailed, GivenUp, TrainerError, own_error
from belay_trainer.evaluate import Chooser, Evaluator
from belay_trainer.export import rehearse
from belay_trainer.fetched import Source
from belay_trainer.heartbeat import ProgressSink
from belay_trainer.history import History
from belay_trainer.initial import begin_from
from belay_trainer.keeper import Keeper
from belay_trainer.learners.learner import Learner
from belay_trainer.loop import Best, Loop, Verdict
from belay_trainer.offline.held_out import HeldOut
from belay_trainer.randomness import untouched
from belay_trainer.stop import Stop
from belay_trainer.validation.gates import check_gates, costs_of
from belay_trainer.wrapping.info import check_keys, check_told

PATIENCE_S = 60.0  # for the store's list of checkpoints, before a seed starts without it
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training."""

    learner: Learner  # with its final weights
    best: Best  # what is published
    outcomes: dict[str, KnownOutcome]  # what is known of its episodes' outcomes
    step: int  # timesteps done
    steps_per_second: float | None
    resumed_from: int | None
    findings: tuple[Finding, ...] = ()  # of its diagnosis, at the end
    ended_early: str = ""  # why, where it ended before its budget


def build(run: Run) -> Learner:
    """Return the untrained learner. Raises: BadConfiguration."""
    runtime = run.spec.runtime
    threads.take(runtime)
    gpu.take(runtime, index=run.index)
    if run.spec.environment is None or run.spec.algorithm.chosen in learners.FROM_DATASET:
        learner = learners.build_from_dataset(run)
        if run.spec.gates:
            with environments.maker_for(run.spec)() as probe:
                _check_gates(run, probe)
        return learner
    make = environments.maker_for(run.spec)
    probe = make()
    environments.check_spaces(probe)
    environments.check_wrappers(probe)
    with untouched():
        environments.try_out(probe)
        check_keys(probe, run.spec.environment)
    learner = learners.build(run, make, probe)
    _check_gates(run, probe)
    probe.close()
    return learner


def _check_gates(run: Run, probe: Environment) -> None:
    gates = run.spec.gates or ()
    with untouched():
        check_gates(gates, probe, run.spec.played_in)
        # A gate that is run tells this as NoData beside all others; here it would do so after hours of training.
        check_told(probe, costs_of(gates))


def train(
    run: Run,
    *,
    keeper: Keeper,
    heartbeat: ProgressSink,
    stop: Stop,
    history: History | None = None,
    initial: Source | None = None,
    verdict: Verdict = lambda _: None,
    beside_random: bool = True,
    patience_s: float = PATIENCE_S,
) -> Trained:
    """Train one seed to the end of its budget.

    Args:
        history: Keeps the metrics by timestep; None: nobody does.
        initial: What it begins with, where there is no checkpoint; None: it begins anew.
        verdict: Of whoever may end it after an evaluation.
        beside_random: Probe the environment and play random actions first, to compare with.
        patience_s: How long to wait for a store that does not tell its checkpoints.
    Raises: BadConfiguration, Diverged, GivenUp, Interrupted; Stopped in the last evaluation.
    """
    learner, ended_early = build(run), ""
    evaluator = _chooser(run, learner)

    def begin(learner: Learner, resume: "_Resume | None", *, collection: Any | None) -> Loop:
        learner.start()
        loop = Loop(
            run,
            learner,
            evaluator=evaluator,
            keeper=keeper,
            heartbeat=heartbeat,
            stop=stop,
            history=history,
            verdict=verdict,
            beside_random=beside_random,
        )
        # An adversary has seen nothing at timestep 0, and attacks within nothing: no later return would beat that one.
        loop.begins_trained = initial is not None and learner.adversary is None
        if resume is None and initial is not None:
            begin_from(initial, learner, evaluator.environment, stop=stop)
        if resume is not None:
            loop.resume(resume.ref, resume.state, collection)
        log.info(
            "training %s seed %d %s", run.config.job, run.seed, f"from timestep {resume.ref.step}" if resume else ""
        )
        return loop

    # A step of an optimiser is a sign of life: an update, or an estimator, may take longer than a collection.
    hook = register_optimizer_step_pre_hook(lambda *_: stop.look())
    try:
        resume = _newest(keeper, stop, patience_s)
        if resume is not None:
            _check_code(run, resume.state)
        # In every life: torch numbers what it traces, and the number stands in the file that is published.
        rehearse_in(learner, run)
        loop = begin(learner, resume, collection=resume.kept.collection() if resume is not None else None)
        try:
            why = _run_as_kept(loop)
            if why is not None and resume is not None:
                log.warning("the environment of the checkpoint does not go on here (%s): new episodes begin", why)
                del loop, learner  # a buffer of theirs may be as large as the pod allows
                resume = replace(resume, state=resume.kept.read())  # the first one was trained on
                loop = begin(build(run), resume, collection=None)
                _run(loop)
            speed = loop.steps_per_second
            best = loop.state.best if loop.enough else loop.evaluate()
            ended_early = loop.enough or ""
        except GivenUp as error:
            error.findings = loop.diagnosis.findings
            raise
        except Diverged as error:
            loop.diagnose()
            if loop.state.best is None:
                error.findings = loop.diagnosis.findings
                raise
            log.warning("the seed ends with the best policy so far: %s", error)
            best, speed, ended_early = loop.state.best, loop.steps_per_second, str(error)
            loop.tell()
    finally:
        hook.remove()
        evaluator.close()
    return Trained(
        learner=loop.learner,
        best=best,
        outcomes=loop.outcomes(),
        step=loop.learner.timesteps,
        steps_per_second=speed,
        resumed_from=loop.resumed_from,
        findings=loop.diagnosis.findings,
        ended_early=ended_early,
    )


def shown(run: Run, learner: Learner) -> Environment:
    """Return an environment that was not trained in: one to play in, or what shows the log where there is none."""
    played_in, logged = run.spec.played_in, learner.from_dataset
    if played_in is None and logged is not None:
        return logged.data.replay()
    return environments.maker_for(run.spec)()


def _chooser(run: Run, learner: Learner) -> Chooser:
    task, logged = run.spec.played_in, learner.from_dataset
    if task is None and logged is not None:
        return HeldOut(logged, discount=learner.discount)
    return Evaluator.held_out(environments.maker_for(run.spec), task, run.spec.evaluation)


def _run(loop: Loop) -> None:
    began = time.monotonic()
    loop.run()
    log.info("trained to timestep %d in %.1f s", loop.learner.timesteps, time.monotonic() - began)


def _run_as_kept(loop: Loop) -> str | None:
    """Run what goes on from a checkpoint; return why its environments cannot, None where they can."""
    try:
        _run(loop)
    except Exception as error:  # whatever an environment raises whose other half was in another process
        ours = isinstance(error, TrainerError) and not isinstance(error, EnvironmentFailed)
        if not loop.untried or ours:
            raise
        return str(own_error(error) or error)  # words, for the error itself holds all that it passed through
    return None


def rehearse_in(learner: Learner, run: Run) -> None:
    """Export the untrained policy. Raises: BadConfiguration."""
    environment = shown(run, learner)
    rehearse(learner, environment)
    environment.close()


def _check_code(run: Run, state: dict[str, Any]) -> None:
    began = state.get("code", run.code)  # a checkpoint of an earlier trainer does not say
    if began != run.code:
        raise BadConfiguration(
            f"runtime.code: it was {began or 'nothing'} when this seed began and is {run.code or 'nothing'} now, and a "
            "policy of both could not be compared with any. Put it back, or create an RLTrainingJob of another name."
        )


@dataclass(frozen=True, slots=True)
class _Resume:
    ref: CheckpointRef
    kept: Checkpoint
    state: dict[str, Any]  # every part of it but the environments


def _newest(keeper: Keeper, stop: Stop, patience_s: float) -> _Resume | None:
    for ref, blob in keeper.newest(stop, patience_s=patience_s):
        try:
            kept = checkpoint.unpack(blob)
            return _Resume(ref, kept, kept.read())
        except checkpoint.Unusable as error:
            log.warning("checkpoint of timestep %d is skipped: it %s", ref.step, error)
    return None
