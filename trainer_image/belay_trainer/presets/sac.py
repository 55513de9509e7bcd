"""SAC's presets.

Everywhere without a preset of its own the settings are Stable-Baselines3's own, with a tenth of its replay buffer.
Source: RL Baselines3 Zoo, hyperparams/sac.yml.
"""

from belay_api.algorithms.common import Schedule
from belay_api.algorithms.sac import SACSettings
from belay_trainer.presets import replayed
from belay_trainer.presets.preset import ELSEWHERE, Model, Preset, PresetContext, choose, scheduled

_USUAL = SACSettings(
    learning_rate=3e-4,
    learning_rate_schedule=Schedule.CONSTANT,
    batch_size=256,
    gamma=0.99,
    net_arch=[256, 256],
    buffer_size=replayed.BUFFER,
    learning_starts=100,
    train_freq=1,
    gradient_steps=1,
    tau=0.005,
)
_LANDER = {
    "learning_rate": 7.3e-4,
    "learning_rate_schedule": Schedule.LINEAR,
    "net_arch": [400, 300],
    "learning_starts": 10_000,
    "tau": 0.01,
}
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=1),
    "Pendulum-v1": Preset(_USUAL.model_copy(update={"learning_rate": 1e-3}), copies=1),
    "LunarLanderContinuous-v3": Preset(_USUAL.model_copy(update=_LANDER), copies=1),
}


def model(settings: SACSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    chosen = choose(PRESETS, settings, context)
    found = chosen.settings
    arguments = {
        "learning_rate": scheduled(found.learning_rate, found.learning_rate_schedule),
        "ent_coef": replayed.entropy_weight(found),
        "tau": found.tau,
        **replayed.arguments(found, chosen.copies),
    }
    return chosen.model(arguments)
