"""A2C's presets.

Everywhere without a preset of its own the settings are Stable-Baselines3's own, gathered by eight copies.
Source: RL Baselines3 Zoo, hyperparams/a2c.yml.
"""

from belay_api.algorithms.a2c import A2CSettings
from belay_api.algorithms.common import Schedule
from belay_trainer.presets.noise import noise
from belay_trainer.presets.preset import ELSEWHERE, Model, Preset, PresetContext, Scaled, choose, scheduled

_USUAL = A2CSettings(
    learning_rate=7e-4,
    learning_rate_schedule=Schedule.CONSTANT,
    gamma=0.99,
    net_arch=[64, 64],
    n_steps=5,
    gae_lambda=1.0,
    ent_coef=0.0,
    vf_coef=0.5,
    max_grad_norm=0.5,
    normalize_advantage=False,
    use_sde=False,
)
_PENDULUM = {
    "learning_rate_schedule": Schedule.LINEAR,
    "n_steps": 8,
    "gae_lambda": 0.9,
    "vf_coef": 0.4,
    "use_sde": True,
    "policy_kwargs": {"log_std_init": -2.0, "ortho_init": False},
}
_LANDER = {
    "learning_rate": 8.3e-4,
    "learning_rate_schedule": Schedule.LINEAR,
    "gamma": 0.995,
    "ent_coef": 1e-5,
}
_BOTH = Scaled(observation=True, reward=True)
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=8),
    "CartPole-v1": Preset(_USUAL, copies=8),
    "Acrobot-v1": Preset(_USUAL, copies=16, scaled=_BOTH),
    "Pendulum-v1": Preset(_USUAL.model_copy(update=_PENDULUM), copies=8, scaled=_BOTH),
    "LunarLander-v3": Preset(_USUAL.model_copy(update=_LANDER), copies=8),
    "MountainCar-v0": Preset(_USUAL, copies=16, scaled=_BOTH),
}


def model(settings: A2CSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    chosen = choose(PRESETS, settings, context)
    found = chosen.settings
    layers = list(found.net_arch)
    exploring, first = noise(chosen)
    arguments = {
        "learning_rate": scheduled(found.learning_rate, found.learning_rate_schedule),
        "policy_kwargs": {"net_arch": {"pi": layers, "vf": layers}, **first},
        **exploring,
        **found.model_dump(
            include={"gamma", "n_steps", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "normalize_advantage"}
        ),
    }
    return chosen.model(arguments)
