"""TD3's presets.

Everywhere without a preset of its own the settings are Stable-Baselines3's own, with a tenth of its replay buffer and
with exploration noise, without which a deterministic policy tries nothing.
Source: RL Baselines3 Zoo, hyperparams/td3.yml.
Departs: LunarLanderContinuous-v3 learns after each timestep instead of as often after each episode; Pendulum-v1 has the
zoo's earlier settings.
"""

import numpy as np
from stable_baselines3.common.noise import NormalActionNoise

from belay_api.algorithms.td3 import TD3Settings
from belay_trainer.presets import replayed
from belay_trainer.presets.preset import ELSEWHERE, Model, Preset, PresetContext, choose

_USUAL = TD3Settings(
    learning_rate=1e-3,
    batch_size=256,
    gamma=0.99,
    net_arch=[400, 300],
    buffer_size=replayed.BUFFER,
    learning_starts=100,
    train_freq=1,
    gradient_steps=1,
    tau=0.005,
    policy_delay=2,
    action_noise=0.1,
    target_policy_noise=0.2,
    target_noise_clip=0.5,
)
_PENDULUM = {"learning_starts": 1_000}
_LANDER = {"gamma": 0.98, "buffer_size": 200_000, "learning_starts": 10_000}
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=1),
    "Pendulum-v1": Preset(_USUAL.model_copy(update=_PENDULUM), copies=1),
    "LunarLanderContinuous-v3": Preset(_USUAL.model_copy(update=_LANDER), copies=1),
}
_SAME = {"learning_rate", "tau", "policy_delay", "target_policy_noise", "target_noise_clip"}


def model(settings: TD3Settings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    chosen = choose(PRESETS, settings, context)
    found = chosen.settings
    noise = NormalActionNoise(np.zeros(context.actions), np.full(context.actions, found.action_noise))
    arguments = {
        "action_noise": noise if found.action_noise else None,
        **found.model_dump(include=_SAME),
        **replayed.arguments(found, chosen.copies),
    }
    return chosen.model(arguments)
