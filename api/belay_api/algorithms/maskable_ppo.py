"""Proximal policy optimisation where not every action is always allowed."""

from belay_api.algorithms.ppo import PPOSettings


class MaskablePPOSettings(PPOSettings):
    """Proximal policy optimisation among the actions that the task allows, for discrete ones; unset: the preset's."""
