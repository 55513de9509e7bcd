"""MaskablePPO's presets: those of PPO for tasks of nobody's. No task of Gymnasium's own is known better.

Source: RL Baselines3 Zoo names none either; Stable-Baselines3 Contrib's settings are those of PPO.
"""

from belay_api.algorithms.ppo import PPOSettings
from belay_trainer.presets import ppo
from belay_trainer.presets.preset import ELSEWHERE, Asked, Model

PRESETS = {ELSEWHERE: ppo.PRESETS[ELSEWHERE]}


def model(settings: PPOSettings, asked: Asked) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    return ppo.model(settings, asked, presets=PRESETS)
