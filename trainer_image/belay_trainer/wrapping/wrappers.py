"""Layers around an environment, by name: Gymnasium's, or a user's own class.

They belong to the task. A policy that learned in stacked grey frames is asked with stacked grey frames, so whoever asks
it has the same layers around the own environment: the artifact's manifest names them. What learns while it is stepped
is refused, and so is what makes returns other than the environment's, or needs what no text can hold.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from belay_api.environment import WrapperSpec
from belay_api.words import did_you_mean
from belay_trainer.errors import BadConfiguration
from belay_trainer.faults import USER_FAULTS
from belay_trainer.wrapping.named import imported

Environment = gymnasium.Env[Any, Any]

_STATISTICS = "it keeps running statistics that would be no part of the policy: leave it out and set normalize: "
_RETURNS = "returns would no longer be the environment's own: leave it out and set environment.reward, which changes "
_FUNCTION = "it needs a function, which no YAML holds: write a class of your own and name it as package.module:Class."
_ARRAYS = "policies take and give arrays of NumPy: leave it out."
_PICTURES = "it draws, and nobody looks at a training pod: leave it out."
REFUSED = {
    "NormalizeObservation": f"{_STATISTICS}{{observation: true}}.",
    "NormalizeReward": f"{_STATISTICS}{{reward: true}}.",
    "ClipReward": f"{_RETURNS}only what is learned from (clip).",
    "TransformReward": f"{_RETURNS}only what is learned from.",
    "TransformObservation": _FUNCTION,
    "TransformAction": _FUNCTION,
    "Autoreset": "episodes are begun by who plays them: leave it out.",
    "ArrayConversion": _ARRAYS,
    "JaxToNumpy": _ARRAYS,
    "JaxToTorch": _ARRAYS,
    "NumpyToTorch": _ARRAYS,
    "HumanRendering": _PICTURES,
    "RecordVideo": _PICTURES,
    "RenderCollection": _PICTURES,
}
"""Why, by name."""
KNOWN = tuple(name for name in gymnasium.wrappers.__all__ if name[0].isupper() and name not in REFUSED)


def wrap(environment: Environment, wrappers: Sequence[WrapperSpec]) -> Environment:
    """Return the environment in its layers, the first one innermost. Raises: BadConfiguration, naming the layer."""
    for place, spec in enumerate(wrappers):
        field = f"environment.wrappers[{place}]"
        layer = _class(spec.name, field)
        _check_keywords(layer, spec, field)
        try:
            environment = layer(environment, **_arguments(layer, spec))
        except USER_FAULTS as error:
            raise BadConfiguration(
                f"{field}: {spec.name} with kwargs {spec.kwargs} cannot be put around an environment that shows "
                f"{environment.observation_space} and takes {environment.action_space}: "
                f"{type(error).__name__}: {error}"
            ) from error
    return environment


def _class(name: str, field: str) -> Any:
    if ":" in name:
        return imported(name, field=f"{field}.name", what="a gymnasium.Wrapper", fits=_is_wrapper)
    if name in REFUSED:
        raise BadConfiguration(f"{field}: {name} cannot be used here: {REFUSED[name]}")
    if name not in KNOWN:
        raise BadConfiguration(
            f"{field}.name: Gymnasium has no wrapper {name}; {did_you_mean(name, KNOWN)} Write one of your own as "
            "package.module:Class."
        )
    return getattr(gymnasium.wrappers, name)


def _is_wrapper(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, gymnasium.Wrapper)


def _check_keywords(layer: Any, spec: WrapperSpec, field: str) -> None:
    _, *parameters = inspect.signature(layer).parameters.values()  # the first is the environment
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
    for name in spec.kwargs:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it takes none."
            raise BadConfiguration(f"{field}.kwargs.{name}: {spec.name} has no such argument; {hint}")


def _arguments(layer: Any, spec: WrapperSpec) -> dict[str, Any]:
    """Return the keyword arguments; for Gymnasium with its types in the place of lists: arrays of bounds, tuples."""
    if ":" in spec.name:
        return dict(spec.kwargs)
    parameters, found = inspect.signature(layer).parameters, dict(spec.kwargs)
    for name, value in spec.kwargs.items():
        if isinstance(value, list):
            array = "ndarray" in str(parameters[name].annotation)
            found[name] = np.asarray(value, np.float32) if array else tuple(value)
    return found
