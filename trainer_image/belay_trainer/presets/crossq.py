"""CrossQ's presets.

Everywhere without a preset of its own the settings are Stable-Baselines3 Contrib's own, with a tenth of its replay
buffer.
Source: RL Baselines3 Zoo, hyperparams/crossq.yml.
"""

from belay_api.algorithms.common import Schedule
from belay_api.algorithms.crossq import CrossQSettings
from belay_trainer.presets import replayed
from belay_trainer.presets.preset import ELSEWHERE, Chosen, Model, Preset, PresetContext, choose, scheduled

_USUAL = CrossQSettings(
    learning_rate=1e-3,
    learning_rate_schedule=Schedule.CONSTANT,
    batch_size=256,
    gamma=0.99,
    net_arch=[256, 256],
    critic_net_arch=[1024, 1024],
    buffer_size=replayed.BUFFER,
    learning_starts=100,
    train_freq=1,
    gradient_steps=1,
    policy_delay=3,
)
_PENDULUM = {"critic_net_arch": [256, 256], "policy_delay": 2}
_LATER = {"learning_starts": 10_000}
_WALKER = _LATER | {"gamma": 0.98, "buffer_size": 300_000}
PRESETS = {
    ELSEWHERE: Preset(_USUAL, copies=1),
    "Pendulum-v1": Preset(_USUAL.model_copy(update=_PENDULUM), copies=1),
    "LunarLanderContinuous-v3": Preset(_USUAL.model_copy(update=_LATER), copies=1),
    "BipedalWalker-v3": Preset(_USUAL.model_copy(update=_WALKER), copies=1),
}


def model(settings: CrossQSettings, context: PresetContext) -> Model:
    """Return what the model is built with: the preset with the user's overrides."""
    chosen = choose(PRESETS, settings, context)
    found = chosen.settings
    arguments = {
        "learning_rate": scheduled(found.learning_rate, found.learning_rate_schedule),
        "ent_coef": replayed.entropy_weight(found),
        "policy_delay": found.policy_delay,
        **replayed.arguments(found, chosen.copies),
    }
    arguments["policy_kwargs"]["net_arch"] = {"pi": list(found.net_arch), "qf": _critics(chosen)}
    return chosen.model(arguments)


def _critics(chosen: Chosen[CrossQSettings]) -> list[int]:
    found = chosen.settings
    # Somebody who asks for small networks and says no more means all of them, and not the preset's wide critics.
    like_the_policy = "net_arch" in chosen.asked and "critic_net_arch" not in chosen.asked
    return list(found.net_arch if like_the_policy else found.critic_net_arch)
