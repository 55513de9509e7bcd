"""Numbers that an environment tells of a timestep in its `info`: costs, and parts of a reward.

What an environment tells only of some timesteps is 0 in the others. A name that it tells of none is a mistake, and is
looked for before the training: in an episode of random actions.
"""

import math
import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from belay_api.environment import OWN_REWARD, EnvironmentSpec
from belay_api.words import did_you_mean
from belay_trainer import masks
from belay_trainer.errors import BadConfiguration

Environment = gymnasium.Env[Any, Any]
TRIED = 1_000  # timesteps of random actions, or one episode, or
TRIED_S = 2.0


def number(info: Mapping[str, Any], key: str, *, field: str) -> float:
    """Return what `info` tells under `key`; 0 where it tells nothing.

    Args:
        field: Of the spec, for the message.
    Raises: BadConfiguration when it is no finite number.
    """
    value = info.get(key, 0.0)
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise BadConfiguration(f"{field}: info[{key!r}] is {value!r:.60}, wanted a finite number at every timestep.")
    return found


def success(info: Mapping[str, Any]) -> float:
    """Return 1 or 0, whether an episode that ends with `info` was a success; not a number: nobody says."""
    said = info.get("is_success", info.get("success"))
    return math.nan if said is None else float(bool(said))


def check_keys(environment: Environment, task: EnvironmentSpec) -> None:
    """Play random actions, and check that every name in the spec is told of some timestep. Raises: BadConfiguration."""
    names = [constraint.name for constraint in task.constraints]
    for name in names:
        if names.count(name) > 1:
            raise BadConfiguration(f"environment.constraints: two are called {name!r}: name each otherwise.")
    wanted = {
        f"environment.constraints[{place}].info": constraint.key for place, constraint in enumerate(task.constraints)
    }
    wanted |= {f"environment.reward.components.{name}": name for name in task.reward.components if name != OWN_REWARD}
    check_told(environment, wanted)


def check_told(environment: Environment, wanted: Mapping[str, str]) -> None:
    """Play random actions, and check that every key is told of some timestep.

    Args:
        wanted: Keys of `info`, by the field that names each.
    Raises: BadConfiguration.
    """
    if not wanted:
        return
    told = _told(environment, set(wanted.values()))
    for field, key in wanted.items():
        if key not in told:
            hint = did_you_mean(key, sorted(told)) if told else "it tells no number at all."
            raise BadConfiguration(
                f"{field}: the environment told no {key!r} in an episode of random actions; {hint} Let it tell "
                f"info[{key!r}] at every timestep, 0 where there is nothing to tell."
            )


def _told(environment: Environment, wanted: set[str]) -> set[str]:
    """Return the keys of numbers that steps tell, until all wanted ones are there or an episode is over, or is long."""
    told: set[str] = set()
    deadline = time.monotonic() + TRIED_S
    generator = np.random.default_rng(0)
    observation, info = environment.reset(seed=0)
    for _ in range(TRIED):
        action = masks.any_action(environment, observation, info, generator=generator)
        observation, _, terminated, truncated, info = environment.step(action)
        told |= {key for key, value in info.items() if isinstance(value, int | float | np.number | np.bool_)}
        if wanted <= told or terminated or truncated or time.monotonic() > deadline:
            break
    return told
