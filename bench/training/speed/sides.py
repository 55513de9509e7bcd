"""The two ways to run one training that the benchmark compares."""

import gc
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from belay_api.outcomes import Played
from belay_api.training import TrainingConfig
from belay_trainer import environments, evaluate
from belay_trainer.config import Run
from belay_trainer.evaluate import Evaluation, Evaluator
from belay_trainer.heartbeat import Heartbeat
from belay_trainer.keeper import Keeper
from belay_trainer.learners import LEARNERS
from belay_trainer.logbook import connect
from belay_trainer.loop import Loop
from belay_trainer.presets.preset import Model, PresetContext
from belay_trainer.stop import Stop
from belay_trainer.store import open_store
from belay_trainer.train import build


@dataclass(frozen=True)
class Times:
    """CPU seconds of the whole process and of this thread alone, and seconds on the clock."""

    cpu: float
    thread: float
    wall: float

    @classmethod
    def now(cls) -> "Times":
        return cls(time.process_time(), time.thread_time(), time.perf_counter())

    def __sub__(self, other: "Times") -> "Times":
        return Times(self.cpu - other.cpu, self.thread - other.thread, self.wall - other.wall)

    def __add__(self, other: "Times") -> "Times":
        return Times(self.cpu + other.cpu, self.thread + other.thread, self.wall + other.wall)


class TimedEvaluator(Evaluator):
    """Counts the time spent in evaluations, that of random actions among them."""

    spent = Times(0.0, 0.0, 0.0)

    def __call__(self, *args: Any, **kwargs: Any) -> Evaluation:
        began = Times.now()
        found = super().__call__(*args, **kwargs)
        self.spent += Times.now() - began
        return found

    def random(self, **kwargs: Any) -> dict[str, Played] | None:
        began = Times.now()
        found = super().random(**kwargs)
        self.spent += Times.now() - began
        return found


class TimedLoop(Loop):
    """Counts the CPU seconds of what Belay does in the training's own thread where a training may be cut."""

    spent_s = 0.0

    def _between_collections(self) -> None:
        began = time.thread_time()
        super()._between_collections()
        self.spent_s += time.thread_time() - began


def make_run(algorithm: str, environment: str, steps: int, load: dict[str, Any], *, uid: str) -> Run:
    """Return the training both sides run."""
    spec = {
        "environment": {"id": environment},
        "algorithm": {algorithm: {}},
        "budget": {"steps": steps},
        "evaluation": load["evaluation"],
        "checkpoint": load["checkpoint"],
    }
    config = {"namespace": "bench", "job": algorithm, "uid": uid, "attempt": 1, "configHash": "0", "spec": spec}
    return Run(TrainingConfig.model_validate(config), index=0, seed=0)


def direct(run: Run, *, evaluated: bool = False) -> Times:
    """Return what `learn` costs as a user of Stable-Baselines3 would call it, with its own evaluations or without."""
    torch.set_num_threads(1)
    spec = run.spec
    kind = LEARNERS[spec.algorithm.chosen]
    chosen = kind.settings(
        spec.algorithm.settings, PresetContext(environment=spec.environment.id, steps=spec.budget.steps)
    )
    tasks = make_vec_env(spec.environment.id, n_envs=chosen.copies, seed=run.seed)
    if chosen.scaled:
        scaled = chosen.scaled
        tasks = VecNormalize(
            tasks, norm_obs=scaled.observation, norm_reward=scaled.reward, gamma=chosen.arguments["gamma"]
        )
    model = kind.library("MlpPolicy", tasks, seed=run.seed, **chosen.arguments)
    callback = _evaluations(run, chosen) if evaluated else None
    gc.collect()
    began = Times.now()
    model.learn(spec.budget.steps, callback=callback)
    return Times.now() - began


def _evaluations(run: Run, chosen: Model) -> EvalCallback:
    """Return the library's evaluations: as many episodes, as often and in as many copies as Belay's."""
    asked = run.spec.evaluation
    tasks = make_vec_env(run.spec.environment.id, n_envs=asked.vector.count or evaluate.COPIES, seed=asked.first_seed)
    if chosen.scaled:
        tasks = VecNormalize(tasks, norm_obs=chosen.scaled.observation, norm_reward=False, training=False)
    return EvalCallback(
        tasks, n_eval_episodes=asked.episodes, eval_freq=max(1, asked.every // chosen.copies), verbose=0, warn=False
    )


def belay(run: Run, folder: Path, logbook: str) -> tuple[Times, Times, float]:
    """Return what a training costs in a training pod, the part of it spent in evaluations, and the overhead.

    The overhead is the CPU seconds of all else that Belay does: between updates, and in its own threads.
    """
    client = connect(logbook, folder / "no-token")
    keeper = Keeper(folder, open_store(run, pvc_dir=folder, logbook=client), keep=run.spec.checkpoint.keep)
    heartbeat = Heartbeat(client, run.config.namespace)
    task = run.spec.environment
    evaluator = TimedEvaluator.held_out(environments.maker(task), task, run.spec.evaluation)
    learner = build(run)
    loop = TimedLoop(run, learner, evaluator=evaluator, keeper=keeper, heartbeat=heartbeat, stop=Stop())
    gc.collect()
    began = Times.now()
    learner.start()
    loop.run()
    spent = Times.now() - began
    in_threads_s = spent.cpu - spent.thread
    if not keeper.flush(30):
        raise SystemExit("the logbook did not take the checkpoints: Belay's side did not do all of its work")
    keeper.close()
    heartbeat.close()
    evaluator.close()
    return spent, evaluator.spent, loop.spent_s - evaluator.spent.thread + in_threads_s
