"""One episode, played by one policy of a mixture."""

import math
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from belay_trainer.collecting.collection import CollectionSpec
from belay_trainer.collecting.policies import BehaviourPolicy
from belay_trainer.environments import cap
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import ENDLESS
from belay_trainer.wrapping.costs import read_costs

_SEEDS = (2**31, 2**32)  # of resets; evaluations begin below, so that nothing is measured where it was learned


@dataclass(frozen=True, slots=True)
class Log:
    """What a file says of itself."""

    observation: gymnasium.Space[Any]
    action: gymnasium.Space[Any]
    constraints: tuple[str, ...]  # their names
    said: str  # what was collected, as JSON: everything that decides its bits


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """What happened in one episode of T timesteps."""

    number: int
    policy: str  # the label of who played
    seed: int  # of its reset
    observations: np.ndarray  # (T + 1, *observation); the last one followed the last action
    actions: np.ndarray  # (T,) whole numbers, or (T, *action)
    rewards: np.ndarray  # (T,); the environment's own
    propensities: np.ndarray  # (T,)
    costs: np.ndarray  # (T, constraints)
    terminated: bool  # False: truncated

    @property
    def length(self) -> int:
        """Timesteps."""
        return len(self.rewards)


def play(
    number: int, spec: CollectionSpec, behaviours: list[BehaviourPolicy], environment: gymnasium.Env[Any, Any]
) -> Episode:
    """Return one episode.

    Args:
        number: Which; its policy, start and chance follow from it and the collection's seed.
        behaviours: One for each of the collection's policies, in their order.
    Raises: BadConfiguration for a reward or a cost that is no finite number; EnvironmentFailed; what behaviours raise.
    """
    generator = np.random.default_rng([spec.seed, number])
    weights = np.array([one.weight for one in spec.policies])
    chosen = int(generator.choice(len(behaviours), p=weights / weights.sum()))
    behaviour, seed = behaviours[chosen], int(generator.integers(*_SEEDS))
    observation, _ = environment.reset(seed=seed)
    observations, actions, rewards = [np.array(observation)], [], []
    propensities, costs = [], []
    ended = terminated = False
    behaviour.begin()
    while not ended:
        behaviour.observe(observation)
        action = behaviour.act(observation, generator)
        propensities.append(behaviour.propensity(observation, action))
        observation, reward, terminated, truncated, info = environment.step(action)
        if not math.isfinite(reward):
            raise BadConfiguration(
                f"environment.id: the reward is {reward} at step {len(rewards)} of the episode of reset seed {seed}: "
                "mend the environment."
            )
        observations.append(np.array(observation))  # a copy: an environment may hand out the same array again
        actions.append(np.array(action))
        rewards.append(float(reward))
        costs.append(read_costs(spec.environment.constraints, info))
        ended = terminated or truncated or (len(rewards) >= ENDLESS and not cap(environment))
    return Episode(
        number=number,
        policy=spec.policies[chosen].label,
        seed=seed,
        observations=np.stack(observations),
        actions=np.stack(actions),
        rewards=np.array(rewards),
        propensities=np.array(propensities),
        costs=np.array(costs).reshape(len(rewards), -1),
        terminated=bool(terminated),
    )
