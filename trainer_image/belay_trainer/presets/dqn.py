"""DQN's presets.

CartPole-v1: 4 of 4 seeds returned 500 in 100 fresh episodes after 50,000 timesteps, and passed 195 after 20,000.
Everywhere else the settings are Stable-Baselines3's own, with a tenth of its replay buffer, which would take gigabytes
of a pod for all but the smallest observations.
Source: RL Baselines3 Zoo, hyperparams/dqn.yml.
Departs: updates of the target network are counted in gradient steps. Stable-Baselines3 counts timesteps, and the same
number in timesteps made every seed diverge.
"""

from belay_api.algorithms.dqn import DQNSettings
from belay_trainer.presets import q_learning, replayed
from belay_trainer.presets.preset import ELSEWHERE, Model, Preset, PresetContext, choose

_USUAL = DQNSettings(
    learning_rate=1e-4,
    batch_size=32,
    gamma=0.99,
    net_arch=[64, 64],
    buffer_size=replayed.BUFFER,
    learning_starts=100,
    train_freq=4,
    gradient_steps=1,
    target_update_gradient_steps=2_500,
    exploration_initial_eps=1.0,
    exploration_final_eps=0.05,
)
_CARTPOLE = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "net_arch": [256, 256],
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "train_freq": 256,
    "gradient_steps": 128,
    "target_update_gradient_steps": 128,  # once a round: the zoo asks for it every 10 timesteps, between two rounds
    "exploration_steps": 8_000,
    "exploration_final_eps": 0.04,
}
_ZOO = {
    "learning_rate": 6.3e-4,
    "batch_size": 128,
    "net_arch": [256, 256],
    "buffer_size": 50_000,
    "learning_starts": 0,
    "gradient_steps": 4,
    "target_update_gradient_steps": 250,
    "exploration_steps": 12_000,
    "exploration_final_eps": 0.1,
}
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=1),
    "CartPole-v1": Preset(_USUAL.model_copy(update=_CARTPOLE), copies=1),
    "Acrobot-v1": Preset(_USUAL.model_copy(update=_ZOO), copies=1),
    "LunarLander-v3": Preset(_USUAL.model_copy(update=_ZOO), copies=1),
    "MountainCar-v0": Preset(_USUAL.model_copy(update=q_learning.MOUNTAIN_CAR), copies=1),
}


def model(settings: DQNSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    chosen = choose(PRESETS, settings, context)
    found = chosen.settings
    arguments = {
        "learning_rate": found.learning_rate,
        **q_learning.arguments(found, steps=context.steps, copies=chosen.copies),
    }
    return chosen.model(arguments)
