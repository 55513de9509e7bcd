"""Proximal policy optimisation where not every action is always allowed."""

from typing import ClassVar

from belay_api.algorithms.ppo import ClippedSettings


class MaskablePPOSettings(ClippedSettings):
    """Proximal policy optimisation among the actions that the task allows, for discrete ones; unset: the preset's."""

    masked: ClassVar[bool] = True
