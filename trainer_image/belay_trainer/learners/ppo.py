"""Proximal policy optimisation."""

import stable_baselines3

from belay_trainer.learners.on_policy import OnPolicy
from belay_trainer.presets import ppo


class PPO(OnPolicy):
    """Stable-Baselines3's PPO."""

    algorithm = "ppo"
    library = stable_baselines3.PPO
    settings = staticmethod(ppo.model)
