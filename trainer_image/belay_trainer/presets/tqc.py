"""TQC's presets.

Everywhere without a preset of its own the settings are Stable-Baselines3 Contrib's own, with a tenth of its replay
buffer.
Source: RL Baselines3 Zoo, hyperparams/tqc.yml.
Departs: Pendulum-v1 without state-dependent exploration.
"""

from belay_api.algorithms.common import Schedule
from belay_api.algorithms.tqc import TQCSettings
from belay_trainer.errors import BadConfiguration
from belay_trainer.presets import replayed
from belay_trainer.presets.preset import ELSEWHERE, Model, Preset, PresetContext, choose, scheduled

_USUAL = TQCSettings(
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
    n_critics=2,
    n_quantiles=25,
    top_quantiles_to_drop_per_net=2,
)
_PENDULUM = {"learning_rate": 1e-3, "net_arch": [64, 64], "train_freq": 64, "gradient_steps": 64}
_LANDER = {
    "learning_rate": 7.3e-4,
    "learning_rate_schedule": Schedule.LINEAR,
    "net_arch": [400, 300],
    "learning_starts": 10_000,
    "tau": 0.01,
}
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=1),
    "Pendulum-v1": Preset(_USUAL.model_copy(update=_PENDULUM), copies=1),
    "LunarLanderContinuous-v3": Preset(_USUAL.model_copy(update=_LANDER), copies=1),
}


def model(settings: TQCSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides.

    Raises: BadConfiguration when every quantile would be dropped.
    """
    chosen = choose(PRESETS, settings, context)
    found = chosen.settings
    if found.top_quantiles_to_drop_per_net >= found.n_quantiles:
        raise BadConfiguration(
            f"algorithm.tqc.top_quantiles_to_drop_per_net is {found.top_quantiles_to_drop_per_net} of "
            f"{found.n_quantiles} n_quantiles, wanted fewer: nothing would be left to learn from."
        )
    arguments = {
        "learning_rate": scheduled(found.learning_rate, found.learning_rate_schedule),
        "ent_coef": replayed.entropy_weight(found),
        **found.model_dump(include={"tau", "top_quantiles_to_drop_per_net"}),
        **replayed.arguments(found, chosen.copies),
    }
    arguments["policy_kwargs"] |= found.model_dump(include={"n_critics", "n_quantiles"})
    return chosen.model(arguments)
