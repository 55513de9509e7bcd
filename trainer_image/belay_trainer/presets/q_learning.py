"""How the settings of DQN and QR-DQN become Stable-Baselines3's.

Both count updates of the target network in timesteps there; here they are counted in gradient steps.
"""

from typing import Any

from belay_api.algorithms.common import QLearningSettings
from belay_trainer.presets import replayed

EXPLORED = 0.1  # of the budget, where no number of timesteps is set
MOUNTAIN_CAR: dict[str, Any] = {  # the zoo has the same for both
    "learning_rate": 4e-3,
    "batch_size": 128,
    "gamma": 0.98,
    "net_arch": [256, 256],
    "buffer_size": 10_000,
    "learning_starts": 1_000,
    "train_freq": 16,
    "gradient_steps": 8,
    "target_update_gradient_steps": 300,
    "exploration_steps": 24_000,
    "exploration_final_eps": 0.07,
}


def arguments(settings: QLearningSettings, *, steps: int, copies: int) -> dict[str, Any]:
    """Return the arguments that both share. Args: steps: Timesteps of the whole training."""
    updates = settings.target_update_gradient_steps / settings.gradient_steps
    explored = settings.exploration_steps
    return {
        "target_update_interval": max(1, round(updates * replayed.vector_steps(settings, copies))) * copies,
        "exploration_fraction": EXPLORED if explored is None else explored / steps,
        **settings.model_dump(include={"exploration_initial_eps", "exploration_final_eps"}),
        **replayed.arguments(settings, copies),
    }
