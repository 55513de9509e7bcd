"""Proximal policy optimisation where not every action is always allowed."""

from belay_api.algorithms.ppo import ClippedSettings


class MaskablePPOSettings(ClippedSettings):
    """Proximal policy optimisation among the actions that the task allows, for discrete ones; unset: the preset's."""
