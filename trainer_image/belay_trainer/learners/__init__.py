"""Who learns: one file per algorithm, and a line here."""

from collections.abc import Callable, Iterable
from typing import Any

from belay_api.spaces import array_space
from belay_trainer.config import Run
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.learners.a2c import A2C
from belay_trainer.learners.bc import BC
from belay_trainer.learners.cql import CQL
from belay_trainer.learners.crossq import CrossQ
from belay_trainer.learners.custom import Custom
from belay_trainer.learners.dqn import DQN
from belay_trainer.learners.iql import IQL
from belay_trainer.learners.learner import Learner, LearnerClass
from belay_trainer.learners.maskable_ppo import MaskablePPO
from belay_trainer.learners.offline.learner import OfflineLearner
from belay_trainer.learners.ppo import PPO
from belay_trainer.learners.qrdqn import QRDQN
from belay_trainer.learners.recurrent_ppo import RecurrentPPO
from belay_trainer.learners.sac import SAC
from belay_trainer.learners.stable_baselines import convolved, several
from belay_trainer.learners.td3 import TD3
from belay_trainer.learners.td3bc import TD3BC
from belay_trainer.learners.tqc import TQC
from belay_trainer.offline import data

FROM_DATASET: dict[str, type[OfflineLearner[Any]]] = {"bc": BC, "td3bc": TD3BC, "iql": IQL, "cql": CQL}
LEARNERS: dict[str, LearnerClass] = {
    "ppo": PPO,
    "a2c": A2C,
    "dqn": DQN,
    "sac": SAC,
    "td3": TD3,
    "qrdqn": QRDQN,
    "tqc": TQC,
    "crossq": CrossQ,
    "maskablePPO": MaskablePPO,
    "recurrentPPO": RecurrentPPO,
}


def build(run: Run, make: Callable[[], Environment], probe: Environment) -> Learner:
    """Return the untrained learner of a run.

    Args:
        make: Makes one copy of the environment.
        probe: One that was made.
    Raises: BadConfiguration.
    """
    if run.spec.algorithm.custom is not None:
        return Custom(run, make, probe)
    name, kind = run.spec.algorithm.chosen, array_space(probe.action_space).kind
    fitting = {other: learner for other, learner in LEARNERS.items() if kind in learner.actions}
    if name not in fitting:
        raise BadConfiguration(
            f"algorithm.{name} does not learn for the actions of this task, {probe.action_space}: use {_any(fitting)}."
        )
    if several(probe) and not LEARNERS[name].combines:
        combining = [other for other, learner in fitting.items() if learner.combines]
        raise BadConfiguration(
            f"algorithm.{name} has no network for observations of several parts, {probe.observation_space}: use "
            f"{_any(combining)}, or flatten them in a wrapper of the environment, Gymnasium's FlattenObservation."
        )
    if convolved(probe) and not LEARNERS[name].convolves:
        convolving = [other for other, learner in fitting.items() if learner.convolves]
        raise BadConfiguration(
            f"algorithm.{name} has no convolutional network, and observations of this task are images, "
            f"{probe.observation_space}: use {_any(convolving)}, or flatten them in a wrapper of the environment."
        )
    return LEARNERS[name](run, make, probe)


def build_from_dataset(run: Run) -> Learner:
    """Return the untrained learner of a run that learns from a dataset. Raises: BadConfiguration."""
    spec, name = run.spec, run.spec.algorithm.chosen
    if spec.dataset is None or name not in FROM_DATASET:
        raise BadConfiguration(
            f"algorithm.{name} and what it learns from do not go together: {_any(FROM_DATASET)} learn from a dataset, "
            "all others in an environment."
        )
    found = data.load(spec.dataset, spec.played_in)
    fitting = [other for other, learner in FROM_DATASET.items() if found.action.kind in learner.actions]
    if name not in fitting:
        raise BadConfiguration(
            f"algorithm.{name} does not learn for the actions of this dataset, {found.action_space}: "
            f"use {_any(fitting)}."
        )
    return FROM_DATASET[name](run, found)


def _any(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
