"""Proximal policy optimisation where not every action is always allowed."""

import sb3_contrib

from belay_trainer import masks
from belay_trainer.learners.on_policy import OnPolicy
from belay_trainer.learners.stable_baselines import CONTRIB
from belay_trainer.presets import maskable_ppo


class MaskablePPO(OnPolicy):
    """Stable-Baselines3 Contrib's MaskablePPO; its tasks are `masks.Masking`."""

    algorithm = "maskablePPO"
    actions = frozenset(masks.OUTPUTS)
    library = sb3_contrib.MaskablePPO
    settings = staticmethod(maskable_ppo.model)
    packages = CONTRIB
    outputs = masks.OUTPUTS
