"""Advantage actor-critic."""

import stable_baselines3

from belay_trainer.learners.on_policy import OnPolicy
from belay_trainer.presets import a2c


class A2C(OnPolicy):
    """Stable-Baselines3's A2C."""

    algorithm = "a2c"
    library = stable_baselines3.A2C
    settings = staticmethod(a2c.model)

    def _gradient_steps(self) -> int:
        return self.model._n_updates  # all that was collected is one batch
