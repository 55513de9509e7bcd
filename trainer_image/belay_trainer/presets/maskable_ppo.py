"""MaskablePPO's preset: PPO's for tasks without one of their own, whatever the task.

Source: RL Baselines3 Zoo has none, and Stable-Baselines3 Contrib's own settings are those of PPO.
"""

from dataclasses import replace

from belay_api.algorithms.ppo import PPOSettings
from belay_trainer.presets import ppo
from belay_trainer.presets.preset import ELSEWHERE, Model, PresetContext

PRESETS = {ELSEWHERE: ppo.PRESETS[ELSEWHERE]}


def model(settings: PPOSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    return ppo.model(settings, replace(context, environment=ELSEWHERE))
