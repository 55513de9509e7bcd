"""What an algorithm runs with when its user says nothing, and how the user's words become Stable-Baselines3's.

    ppo   RL Baselines3 Zoo, CartPole-v1: on 10 seeds 475 was reached within 24,576 timesteps
    dqn   the settings with which 5 of 5 seeds passed 195 within 20,000 timesteps

Both were measured on CartPole-v1; they are a start for other tasks, not a promise.
Source: RL Baselines3 Zoo, hyperparams/ppo.yml.
Departs: dqn counts updates of the target network in gradient steps. Stable-Baselines3 counts timesteps, and the same
number in timesteps made every seed diverge.
"""

from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.utils import LinearSchedule

from belay_api.training import AlgorithmName, AlgorithmSpec, Hyperparameters

PPO = Hyperparameters(
    learning_rate=1e-3,  # falls linearly to 0
    batch_size=256,
    gamma=0.98,
    net_arch=[64, 64],
    n_steps=32,
    n_epochs=20,
    gae_lambda=0.8,
    clip_range=0.2,  # falls linearly to 0
    ent_coef=0.0,
)
DQN = Hyperparameters(
    learning_rate=3e-4,
    batch_size=64,
    gamma=0.99,
    net_arch=[128, 128],  # one layer of 128 never learned
    buffer_size=10_000,
    learning_starts=100,
    train_freq=4,
    gradient_steps=1,
    target_update_gradient_steps=100,
    exploration_steps=10_000,
    exploration_initial_eps=1.0,
    exploration_final_eps=0.01,
)
PRESETS = {AlgorithmName.PPO: PPO, AlgorithmName.DQN: DQN}
COPIES = {AlgorithmName.PPO: 8, AlgorithmName.DQN: 1}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a model is built with."""

    copies: int  # environments stepped in one process
    arguments: dict[str, Any]  # keyword arguments of the Stable-Baselines3 class


def settings(algorithm: AlgorithmSpec, *, copies: int | None, steps: int) -> Settings:
    """Return the preset with the user's overrides, in Stable-Baselines3's terms.

    Args:
        copies: `environment.vector.count`; None: the preset's.
        steps: Timesteps of the whole training; schedules end with it.
    """
    asked = algorithm.hyperparameters.model_dump(exclude_none=True)
    chosen = PRESETS[algorithm.name].model_copy(update=asked)
    copies = copies or COPIES[algorithm.name]
    build = _ppo if algorithm.name is AlgorithmName.PPO else _dqn
    return Settings(copies=copies, arguments=build(chosen, asked, copies, steps))


def _ppo(chosen: Hyperparameters, asked: dict[str, Any], copies: int, steps: int) -> dict[str, Any]:
    experience = chosen.n_steps * copies
    return {
        "learning_rate": LinearSchedule(chosen.learning_rate, 0.0, 1.0),
        # Fewer copies or steps than the preset's gather less than its batch, which cannot be larger than all there is.
        "batch_size": chosen.batch_size if "batch_size" in asked else min(chosen.batch_size, experience),
        "clip_range": LinearSchedule(chosen.clip_range, 0.0, 1.0),
        "policy_kwargs": {"net_arch": {"pi": list(chosen.net_arch), "vf": list(chosen.net_arch)}},
        **chosen.model_dump(include={"gamma", "n_steps", "n_epochs", "gae_lambda", "ent_coef"}),
    }


def _dqn(chosen: Hyperparameters, asked: dict[str, Any], copies: int, steps: int) -> dict[str, Any]:
    # Stable-Baselines3 counts train_freq in steps of the whole vector, target_update_interval in timesteps.
    vector_steps = max(1, round(chosen.train_freq / copies))
    updates = chosen.target_update_gradient_steps / chosen.gradient_steps
    return {
        "train_freq": (vector_steps, "step"),
        "target_update_interval": max(1, round(updates * vector_steps)) * copies,
        "exploration_fraction": chosen.exploration_steps / steps,
        "policy_kwargs": {"net_arch": list(chosen.net_arch)},
        **chosen.model_dump(
            include={
                "learning_rate",
                "batch_size",
                "gamma",
                "buffer_size",
                "learning_starts",
                "gradient_steps",
                "exploration_initial_eps",
                "exploration_final_eps",
            }
        ),
    }
