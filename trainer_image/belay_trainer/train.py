"""One seed, from nothing or from its newest checkpoint, to the best evaluated policy."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger

from belay_api.outcomes import KnownOutcome
from belay_api.training import RuntimeSpec
from belay_api.wire import CheckpointRef
from belay_trainer import checkpoint, environments, presets
from belay_trainer.boundary import Best, Boundary
from belay_trainer.config import Run
from belay_trainer.errors import BadConfiguration, Diverged, Interrupted
from belay_trainer.evaluate import Evaluator, Stopped
from belay_trainer.export import rehearse
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.keeper import Keeper
from belay_trainer.randomness import untouched
from belay_trainer.stop import Stop

CLASSES: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "dqn": DQN}
PATIENCE_S = 60.0  # for the store's list of checkpoints, before a seed starts without it
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training."""

    model: BaseAlgorithm  # with its final weights
    best: Best  # what is published
    outcomes: dict[str, KnownOutcome]  # what is known of its episodes' outcomes
    step: int  # timesteps done
    steps_per_second: float | None
    resumed_from: int | None
    ended_early: str = ""  # why, where it diverged after a policy had been evaluated


def preset_of(run: Run) -> presets.Model:
    """Return what the model of a run is built with."""
    spec = run.spec
    copies, steps = spec.environment.vector.count, spec.budget.steps
    return presets.model(spec.algorithm, environment=spec.environment.id, copies=copies, steps=steps)


def build(run: Run) -> BaseAlgorithm:
    """Return the untrained model. Raises: BadConfiguration."""
    # More threads gain nothing on networks of this size, and one is what "bit-exact" holds for.
    torch.set_num_threads(1)
    spec = run.spec
    _look_for_gpu(spec.runtime)
    make = environments.maker(spec.environment)
    probe = make()
    environments.check_spaces(probe, spec.algorithm.chosen)
    environments.check_wrappers(probe)
    with untouched():
        environments.try_out(probe)
    probe.close()
    chosen = preset_of(run)
    try:
        model = CLASSES[spec.algorithm.chosen](
            "MlpPolicy", environments.vectorised(make, chosen.copies), seed=run.seed, **chosen.arguments
        )
    except (AssertionError, ValueError, TypeError) as error:
        raise BadConfiguration(
            f"algorithm: {spec.algorithm.chosen} refuses its settings or the task: {error}"
        ) from error
    model.set_logger(Logger(folder=None, output_formats=[]))  # numbers are read from it, nothing is printed
    return model


def train(run: Run, *, keeper: Keeper, heartbeat: Heartbeat, stop: Stop, patience_s: float = PATIENCE_S) -> Trained:
    """Train one seed to the end of its budget.

    Args:
        patience_s: How long to wait for a store that does not tell its checkpoints.
    Raises: BadConfiguration, Diverged, Interrupted.
    """
    model = build(run)
    ended_early, task = "", run.spec.environment
    evaluator = Evaluator.held_out(environments.maker(task), task, run.spec.evaluation)
    try:
        resume = _newest(keeper, stop, patience_s)
        if resume is None:
            _rehearse(model, run)
        boundary = Boundary(run, evaluator=evaluator, keeper=keeper, heartbeat=heartbeat, stop=stop, resume=resume)
        log.info(
            "training %s seed %d %s", run.config.job, run.seed, f"from timestep {resume[0].step}" if resume else ""
        )
        try:
            _learn(model, boundary, run.spec.budget.steps)
            speed = boundary.steps_per_second
            best = boundary.evaluate()
        except Diverged as error:
            if boundary.own.best is None:
                raise
            log.warning("the seed ends with the best policy so far: %s", error)
            best, speed, ended_early = boundary.own.best, boundary.steps_per_second, str(error)
        except Stopped as error:
            raise Interrupted(
                "asked to stop during the last evaluation; the next pod goes on from a checkpoint."
            ) from error
        boundary.tell()
    finally:
        evaluator.close()
    return Trained(
        model=model,
        best=best,
        outcomes=boundary.outcomes(),
        step=model.num_timesteps,
        steps_per_second=speed,
        resumed_from=boundary.resumed_from,
        ended_early=ended_early,
    )


def _rehearse(model: BaseAlgorithm, run: Run) -> None:
    environment = environments.maker(run.spec.environment)()
    rehearse(model, environment)
    environment.close()


def _look_for_gpu(runtime: RuntimeSpec) -> None:
    asked = [name for name in runtime.resources.limits if name.endswith("/gpu")]
    if asked and not torch.cuda.is_available():
        log.warning(
            "runtime.resources asks for %s, but torch %s sees no GPU: the training runs on the CPU. "
            "Set runtime.image to one with a torch for that GPU, or leave the GPU to others.",
            *(", ".join(asked), torch.__version__),
        )


def _newest(keeper: Keeper, stop: Stop, patience_s: float) -> tuple[CheckpointRef, dict[str, Any]] | None:
    for ref, blob in keeper.newest(stop, patience_s=patience_s):
        try:
            return ref, checkpoint.unpack(blob)
        except checkpoint.Unusable as error:
            log.warning("checkpoint of timestep %d is skipped: it %s", ref.step, error)
    return None


def _learn(model: BaseAlgorithm, boundary: Boundary, steps: int) -> None:
    began = time.monotonic()
    try:
        model.learn(steps, callback=boundary, log_interval=None)
    except ValueError as error:  # torch refuses a distribution over what is not a number
        if not checkpoint.finite(model):
            raise Diverged(f"weights are not finite at timestep {model.num_timesteps}: lower learning_rate.") from error
        if model._last_obs is not None and not np.isfinite(np.asarray(model._last_obs)).all():
            raise Diverged(f"an observation at timestep {model.num_timesteps} is not finite: {error}") from error
        raise
    log.info("trained to timestep %d in %.1f s", model.num_timesteps, time.monotonic() - began)
