"""QR-DQN's presets.

Everywhere without a preset of its own the settings are Stable-Baselines3 Contrib's own, with a tenth of its replay
buffer.
Source: RL Baselines3 Zoo, hyperparams/qrdqn.yml.
Departs: Updates of the target network are counted in gradient steps. Where the zoo updates it many times between two
rounds of gradient steps, which is the same as once, here it is once. Without a preset epsilon falls for a tenth of the
budget: the library's 0.5 % is meant for the ten million timesteps of an Atari game.
"""

from belay_api.algorithms.common import Schedule
from belay_api.algorithms.qrdqn import QRDQNSettings
from belay_trainer.presets import q_learning, replayed
from belay_trainer.presets.preset import ELSEWHERE, Model, Preset, PresetContext, choose, scheduled

_USUAL = QRDQNSettings(
    learning_rate=5e-5,
    learning_rate_schedule=Schedule.CONSTANT,
    batch_size=32,
    gamma=0.99,
    net_arch=[64, 64],
    buffer_size=replayed.BUFFER,
    learning_starts=100,
    train_freq=4,
    gradient_steps=1,
    target_update_gradient_steps=2_500,
    exploration_initial_eps=1.0,
    exploration_final_eps=0.01,
    n_quantiles=200,
)
_CARTPOLE = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "net_arch": [256, 256],
    "learning_starts": 1_000,
    "train_freq": 256,
    "gradient_steps": 128,
    "target_update_gradient_steps": 128,
    "exploration_steps": 8_000,
    "exploration_final_eps": 0.04,
    "n_quantiles": 10,
}
_ACROBOT = {
    "learning_rate": 6.3e-4,
    "batch_size": 128,
    "net_arch": [256, 256],
    "buffer_size": 50_000,
    "learning_starts": 0,
    "gradient_steps": 4,
    "target_update_gradient_steps": 250,
    "exploration_steps": 12_000,
    "exploration_final_eps": 0.1,
    "n_quantiles": 25,
}
_LANDER = {
    "learning_rate": 1.5e-3,
    "learning_rate_schedule": Schedule.LINEAR,
    "batch_size": 128,
    "gamma": 0.995,
    "net_arch": [256, 256],
    "learning_starts": 10_000,
    "train_freq": 256,
    "gradient_steps": 256,
    "target_update_gradient_steps": 256,
    "exploration_steps": 24_000,
    "exploration_final_eps": 0.18,
    "n_quantiles": 170,
}
_MOUNTAIN_CAR = q_learning.MOUNTAIN_CAR | {"n_quantiles": 25}
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=1),
    "CartPole-v1": Preset(_USUAL.model_copy(update=_CARTPOLE), copies=1),
    "Acrobot-v1": Preset(_USUAL.model_copy(update=_ACROBOT), copies=1),
    "LunarLander-v3": Preset(_USUAL.model_copy(update=_LANDER), copies=1),
    "MountainCar-v0": Preset(_USUAL.model_copy(update=_MOUNTAIN_CAR), copies=1),
}


def model(settings: QRDQNSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    chosen = choose(PRESETS, settings, context)
    found = chosen.settings
    arguments = q_learning.arguments(found, steps=context.steps, copies=chosen.copies)
    arguments["learning_rate"] = scheduled(found.learning_rate, found.learning_rate_schedule)
    arguments["policy_kwargs"] |= {"n_quantiles": found.n_quantiles}
    return chosen.model(arguments)
