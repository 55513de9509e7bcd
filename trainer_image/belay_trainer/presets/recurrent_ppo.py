"""RecurrentPPO's presets; the zoo's hide velocities in most of these tasks. Elsewhere the settings are
Stable-Baselines3 Contrib's own, gathered by eight copies instead of one.

Source: RL Baselines3 Zoo, hyperparams/ppo_lstm.yml. Not for Pendulum, where with the zoo's settings neither this
trainer nor the library alone learned within their timesteps: single updates strayed by a KL divergence above one.
Scaled rewards, noise that does not depend on the state, a small memory and four times as many updates do:
bench/training/returns.
"""

from belay_api.algorithms.common import Schedule
from belay_api.algorithms.recurrent_ppo import RecurrentPPOSettings
from belay_trainer.presets import ppo
from belay_trainer.presets.preset import ELSEWHERE, Model, Preset, PresetContext, Scaled, choose

_USUAL = RecurrentPPOSettings(
    learning_rate=3e-4,
    learning_rate_schedule=Schedule.CONSTANT,
    batch_size=128,
    gamma=0.99,
    net_arch=[64, 64],
    n_steps=128,
    n_epochs=10,
    gae_lambda=0.95,
    clip_range=0.2,
    clip_range_schedule=Schedule.CONSTANT,
    ent_coef=0.0,
    vf_coef=0.5,
    max_grad_norm=0.5,
    use_sde=False,
    lstm_hidden_size=256,
    n_lstm_layers=1,
    shared_lstm=False,
    enable_critic_lstm=True,
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
_PENDULUM = {
    "learning_rate": 1e-3,
    "learning_rate_schedule": Schedule.LINEAR,
    "gamma": 0.9,
    "n_steps": 256,
    "lstm_hidden_size": 64,
}
_LANDER = {"batch_size": 64, "gamma": 0.999, "n_steps": 1024, "n_epochs": 4, "gae_lambda": 0.98, "ent_coef": 0.01}
_ACROBOT = {"n_steps": 256, "n_epochs": 4, "gae_lambda": 0.94}
_MOUNTAIN_CAR = {"n_steps": 16, "n_epochs": 4, "gae_lambda": 0.98}
_SCALED = Scaled(observation=True, reward=True)
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=8),
    "Acrobot-v1": Preset(_USUAL.model_copy(update=_ACROBOT), copies=16, scaled=_SCALED),
    "CartPole-v1": Preset(_USUAL.model_copy(update=_CARTPOLE), copies=8),
    "MountainCar-v0": Preset(_USUAL.model_copy(update=_MOUNTAIN_CAR), copies=16, scaled=_SCALED),
    "Pendulum-v1": Preset(_USUAL.model_copy(update=_PENDULUM), copies=4, scaled=Scaled(reward=True)),
    "LunarLander-v3": Preset(_USUAL.model_copy(update=_LANDER), copies=16),
}
_MEMORY = {"lstm_hidden_size", "n_lstm_layers", "shared_lstm", "enable_critic_lstm"}


def model(settings: RecurrentPPOSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    chosen = choose(PRESETS, settings, context)
    found, memory = ppo.built(chosen), chosen.settings.model_dump(include=_MEMORY)
    if "enable_critic_lstm" not in chosen.asked:
        memory["enable_critic_lstm"] = not memory["shared_lstm"]
    found.arguments["policy_kwargs"] |= memory
    return found
