"""Who learns: one file per algorithm, and a line here."""

from collections.abc import Callable

from belay_api.artifact import space_model
from belay_trainer.config import Run
from belay_trainer.environments import Environment
from belay_trainer.errors import BadConfiguration
from belay_trainer.learners.a2c import A2C
from belay_trainer.learners.dqn import DQN
from belay_trainer.learners.learner import Learner, LearnerClass
from belay_trainer.learners.ppo import PPO
from belay_trainer.learners.sac import SAC
from belay_trainer.learners.td3 import TD3

LEARNERS: dict[str, LearnerClass] = {"ppo": PPO, "a2c": A2C, "dqn": DQN, "sac": SAC, "td3": TD3}


def build(run: Run, make: Callable[[], Environment], probe: Environment) -> Learner:
    """Return the untrained learner of a run.

    Args:
        make: Makes one copy of the environment.
        probe: One that was made.
    Raises: BadConfiguration.
    """
    name, kind = run.spec.algorithm.chosen, space_model(probe.action_space).kind
    if kind not in LEARNERS[name].actions:
        others = [other for other, learner in LEARNERS.items() if kind in learner.actions]
        raise BadConfiguration(
            f"algorithm.{name} does not learn for the actions of this task, {probe.action_space}: "
            f"use {', '.join(others[:-1])} or {others[-1]}."
        )
    return LEARNERS[name](run, make, probe)
