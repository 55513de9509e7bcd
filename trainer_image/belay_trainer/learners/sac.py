"""Soft actor-critic."""

import stable_baselines3

from belay_trainer.learners.maximum_entropy import MaximumEntropy
from belay_trainer.presets import sac


class SAC(MaximumEntropy):
    """Stable-Baselines3's SAC."""

    algorithm = "sac"
    library = stable_baselines3.SAC
    settings = staticmethod(sac.model)
