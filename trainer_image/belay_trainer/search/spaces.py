"""What settings may be: a ready space for each algorithm, the user's words over it, and how a setting is drawn.

The order is that in which settings usually matter: learning rate, network, batch, discount, exploration, the rest. What
goes together in a preset, such as how often and how long there is an update, is left to it.
Source: RL Baselines3 Zoo, rl_zoo3/hyperparams_opt.py.
Departs: The learning rate ends at 1e-3, networks have two equal layers, and batches are neither smaller nor larger than
common presets have them.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from optuna.trial import BaseTrial

from belay_api.algorithms import AlgorithmSpec
from belay_api.algorithms.common import Settings
from belay_api.search import SearchSpec, Values, kind_of, searchable
from belay_trainer.errors import BadConfiguration

Space = Mapping[str, Values]

DIGITS = 4  # significant, of a number that is tried: more would mean nothing, and what is tried is what is told

_FIRST: Space = {
    "learning_rate": Values(log=[1e-5, 1e-3]),
    "net_arch": Values(choices=[[64, 64], [128, 128], [256, 256]]),
    "batch_size": Values(choices=[32, 64, 128, 256]),
    "gamma": Values(choices=[0.9, 0.95, 0.98, 0.99, 0.995, 0.999]),
}
NETWORK = frozenset({"net_arch", "critic_net_arch", "n_quantiles", "policy_kwargs"})
"""Settings that a network is put together by, of all algorithms."""
_ENTROPY = {"ent_coef": Values(log=[1e-8, 0.1])}
_ADVANTAGE = {"gae_lambda": Values(choices=[0.8, 0.9, 0.95, 0.98, 0.99, 1.0])}
_EPSILON = {"exploration_final_eps": Values(range=[0.01, 0.2])}
_TARGET = {"target_update_gradient_steps": Values(choices=[64, 128, 250, 1000, 2500])}
_MIXING = {"tau": Values(log=[1e-3, 5e-2])}
_DELAY = {"policy_delay": Values(choices=[1, 2, 3, 4])}
_FURTHER: Mapping[str, Space] = {
    "ppo": {
        **_ENTROPY,
        "n_steps": Values(choices=[64, 128, 256, 512, 1024]),
        **_ADVANTAGE,
        "n_epochs": Values(choices=[3, 5, 10, 20]),
        "clip_range": Values(choices=[0.1, 0.2, 0.3, 0.4]),
    },
    "a2c": {
        **_ENTROPY,
        "n_steps": Values(choices=[5, 8, 16, 32, 64, 128]),
        **_ADVANTAGE,
        "vf_coef": Values(range=[0.2, 0.8]),
    },
    "dqn": {**_EPSILON, **_TARGET},
    "qrdqn": {**_EPSILON, **_TARGET, "n_quantiles": Values(choices=[25, 50, 100, 200])},
    # These learn how much to explore.
    "sac": _MIXING,
    "tqc": {**_MIXING, "top_quantiles_to_drop_per_net": Values(choices=[0, 2, 5])},
    "crossq": _DELAY,
    "td3": {"action_noise": Values(range=[0.05, 0.5]), **_MIXING, **_DELAY},
}


def ready_space(algorithm: str, settings: type[Settings]) -> Space:
    """Return what is tried of an algorithm where nobody says otherwise, the most important setting first.

    Args:
        settings: Of the algorithm; what it does not have is left out.
    """
    known = set(searchable(settings))
    return {name: values for name, values in (_FIRST | _FURTHER.get(algorithm, {})).items() if name in known}


def space_of(search: SearchSpec, algorithm: AlgorithmSpec, *, begins_trained: bool = False) -> Space:
    """Return what a search tries of an algorithm.

    Args:
        begins_trained: With the weights of a policy, so that the network is what it is.
    Raises: BadConfiguration when that is nothing.
    """
    settings, chosen = algorithm.settings, algorithm.chosen
    ready = ready_space(chosen, type(settings))
    if begins_trained:
        ready = {name: values for name, values in ready.items() if name not in NETWORK}
    left_open = [name for name in ready if getattr(settings, name) is None]
    tried = {name: ready[name] for name in left_open[: search.dimensions]} | search.space
    found = {name: tried[name] for name in sorted(tried, key=list(ready | search.space).index)}
    if not any(_varies(values) for values in found.values()):
        raise BadConfiguration(
            f"search.space: nothing of algorithm.{chosen} is left to be searched: name settings in search.space, raise "
            "search.dimensions, or set less in algorithm."
        )
    return found


def draw(trial: BaseTrial, space: Space, settings: type[Settings]) -> dict[str, Any]:
    """Return the settings of a trial, drawn by its study's sampler, or as they were drawn before."""
    return {name: _draw(trial, name, values, kind_of(settings, name)) for name, values in space.items()}


def _draw(trial: BaseTrial, name: str, values: Values, kind: Any) -> Any:
    if values.choices is not None:
        if len(values.choices) == 1:
            return values.choices[0]
        if _ordered(values.choices):
            return values.choices[trial.suggest_int(name, 0, len(values.choices) - 1)]
        # Optuna's categories are plain values: a list goes as text.
        return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in values.choices]))
    low, high = values.ends or [0.0, 1.0]
    if kind is int:
        return trial.suggest_int(name, math.ceil(low), math.floor(high), log=values.log is not None)
    return _rounded(trial.suggest_float(name, low, high, log=values.log is not None), low, high)


def _ordered(choices: list[Any]) -> bool:
    """Whether neighbours can be taken to do alike: numbers, or sizes of layers, that ascend."""
    kinds = {type(choice) for choice in choices}
    if kinds <= {int, float} or kinds == {list}:
        return sorted(choices) == choices
    return False


def _varies(values: Values) -> bool:
    return values.choices is None or len(values.choices) > 1


def _rounded(value: float, low: float, high: float) -> float:
    found = float(f"{value:.{DIGITS}g}")
    return found if low <= found <= high else value
