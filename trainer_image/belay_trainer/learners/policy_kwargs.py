"""`policy_kwargs`: checked against the library's policy class before a policy is made of it.

A setting has one place. What is a field of the algorithm or Belay's to decide is refused here with that place, and a
name that the library does not know with the nearest that it does. The library itself would take the last of two.
"""

import copy
import inspect
from importlib import import_module
from typing import Any

import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from belay_api.algorithms.common import Settings
from belay_api.words import nearest
from belay_trainer.errors import BadConfiguration

_OURS = ("observation_space", "action_space", "lr_schedule", "use_sde", "squash_output")  # heads know no such actions
_CLASSES = {"features_extractor_class": BaseFeaturesExtractor, "optimizer_class": torch.optim.Optimizer}


def read(settings: Settings, policy: type, *, field: str) -> dict[str, Any]:
    """Return what the user asks of the policy class, with classes in the place of their names.

    Args:
        policy: The library's class.
        field: The algorithm's, for messages.
    Raises: BadConfiguration.
    """
    fields = type(settings).model_fields
    known = [name for name in inspect.signature(policy).parameters if name not in (*_OURS, *fields)]
    found = {}
    for name, value in (settings.policy_kwargs or {}).items():
        if name in fields:
            raise BadConfiguration(f"{field}.policy_kwargs.{name} has a field of its own: write {field}.{name}.")
        if name in _OURS:
            raise BadConfiguration(f"{field}.policy_kwargs.{name} is set by Belay: leave it out.")
        if name not in known:
            near = nearest(name, known)
            raise BadConfiguration(
                f"{field}.policy_kwargs.{name} is unknown: "
                + (f"did you mean {near}? " if near else "")
                + f"{policy.__name__} takes {', '.join(known)}."
            )
        if name in _CLASSES:
            found[name] = _imported(value, _CLASSES[name], field=f"{field}.policy_kwargs.{name}")
        else:  # a copy: the library changes some of them in place, and the spec is published as it was said
            found[name] = copy.deepcopy(value)
    return found


def check_kept(asked: dict[str, Any], kept: dict[str, Any], *, field: str) -> None:
    """Check that the library has built the policy with what was asked for. Raises: BadConfiguration.

    Args:
        kept: The model's own keyword arguments of its policy.
    """
    for name, value in asked.items():
        if kept.get(name) != value:
            raise BadConfiguration(
                f"{field}.policy_kwargs.{name} is {value}, but the library puts {kept.get(name)} in its place: name "
                "optimizer_class as well, whose arguments these are."
            )


def _imported(value: Any, base: type, *, field: str) -> type:
    module, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not module or not name:
        raise BadConfiguration(f"{field} is {value!r}, wanted a class: write package.module:Class.")
    try:
        content = vars(import_module(module))
    except Exception as error:  # whatever a user's module raises
        raise BadConfiguration(f"{field}: {module} cannot be imported: {type(error).__name__}: {error}.") from error
    found = content.get(name)
    if not _derives(found, base):
        near = nearest(name, (other for other in content if _derives(content[other], base)))
        raise BadConfiguration(
            f"{field}: {module} has no {base.__name__} of the name {name}"
            + (f": did you mean {near}?" if near else ".")
        )
    return found


def _derives(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)
