"""What an algorithm runs with when its user says nothing, and how the user's words become Stable-Baselines3's.

One file per algorithm, by environment. They are a start, not a promise.
"""

from belay_api.algorithms import AlgorithmSpec
from belay_trainer.presets import dqn, ppo
from belay_trainer.presets.preset import Model

_ALGORITHMS = {"ppo": ppo.model, "dqn": dqn.model}


def model(algorithm: AlgorithmSpec, *, environment: str, copies: int | None, steps: int) -> Model:
    """Return the preset with the user's overrides, in Stable-Baselines3's terms.

    Args:
        environment: Its id.
        copies: `environment.vector.count`; None: the preset's.
        steps: Timesteps of the whole training; schedules end with it.
    """
    return _ALGORITHMS[algorithm.chosen](algorithm, environment=environment, copies=copies, steps=steps)
