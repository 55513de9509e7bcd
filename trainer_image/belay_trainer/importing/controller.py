"""A controller: a Python function of one observation that returns the action.

Serving pods run no code of users, so the function itself is not served. It becomes a network that answers what the
function does: looked up where observations are whole numbers, traced through all its paths where they are a box
(`paths`). The function must depend on the observation alone; that the network answers the same is tried before anything
is written.
"""

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from belay_api.artifact import Imported, file_sha256
from belay_api.spaces import BoxSpace, DiscreteSpace, Space, space_model
from belay_api.words import did_you_mean
from belay_heads import head_of
from belay_trainer.errors import BadConfiguration
from belay_trainer.export import write_onnx
from belay_trainer.importing import paths, spaces
from belay_trainer.importing.found import Answers, Declared, Found, require_space, require_trust

CALLS = 256  # with different observations: is it a function of them, and are its answers actions
log = logging.getLogger(__name__)
Function = Callable[[Any], Any]


def read(name: str, declared: Declared) -> Found:
    """Return the policy that a function is. Args: name: `package.module:function`. Raises: BadConfiguration."""
    require_trust(declared, name, "is Python code, which runs here")
    observation = space_model(require_space(declared.observation, "--observation-space", name))
    action = space_model(require_space(declared.action, "--action-space", name))
    for flag, space in (("--observation-space", observation), ("--action-space", action)):
        if not isinstance(space, BoxSpace | DiscreteSpace):
            raise BadConfiguration(
                f"{flag}: {name} would have to be traced for {space}, and functions of Box and Discrete spaces can be: "
                "flatten it in a wrapper of the environment, or write a network of it as ONNX."
            )
    function, file = _imported(name)
    output = "choice" if isinstance(action, DiscreteSpace) else "mean"
    if declared.output not in (None, output):
        raise BadConfiguration(
            f"--head {declared.output}: {name} answers the action itself, which is {output}: leave it out."
        )
    head = head_of(output, action)
    exact = _Exact(name, function, action, head.width)
    network: torch.nn.Module
    if isinstance(observation, DiscreteSpace):
        network = _Table(exact, observation)
    else:
        exact(spaces.observations(observation, count=spaces.enough(observation, CALLS)))  # what it is, before all else
        _try_to_trace(name, function, observation, head.width)
        network = _Traced(function, observation, head.width)

    def write(folder: Path) -> None:
        # Not as TorchScript too: torch takes half a minute to optimise a hundred paths.
        write_onnx(network.eval(), spaces.observations(observation, count=2), folder)

    return Found(
        imported=Imported(format="controller", source=name, sha256=file_sha256(file)),
        observation=observation,
        action=action,
        output=output,
        policy=Answers(head, exact),
        write=write,
    )


def _imported(name: str) -> tuple[Function, Path]:
    module, _, attribute = name.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        content = vars(importlib.import_module(module))
    except Exception as error:  # importing runs a user's code, which may raise anything
        raise BadConfiguration(
            f"{name} cannot be imported: {type(error).__name__}: {error}. Run the command where the module lies, or "
            "put it on PYTHONPATH."
        ) from error
    finally:
        sys.path.remove(here)
    if attribute not in content:
        known = [other for other, value in content.items() if inspect.isfunction(value) and not other.startswith("_")]
        advice = did_you_mean(attribute, known) if known else "it has no function at all."
        raise BadConfiguration(f"{name}: {module} has no function {attribute}: {advice}")
    function = content[attribute]
    file = inspect.getsourcefile(inspect.unwrap(function)) if inspect.isfunction(function) else None
    if file is None:
        raise BadConfiguration(
            f"{name} is a {type(function).__name__}: a Python function of one observation is needed."
        )
    return function, Path(file)


class _Exact:
    """The function itself, asked one observation at a time."""

    def __init__(self, name: str, function: Function, action: Space, width: int) -> None:
        self._name, self._function, self._action, self._width = name, function, action, width

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return (batch, width). Raises: BadConfiguration."""
        return np.stack([self._one(observation) for observation in batch])

    def _one(self, observation: np.ndarray) -> np.ndarray:
        try:
            answered = [np.asarray(self._function(observation.copy()), dtype=np.float64).reshape(-1) for _ in range(2)]
        except Exception as error:  # whatever a user's function raises
            raise BadConfiguration(
                f"{self._name} fails for the observation {_shown(observation)}: {type(error).__name__}: {error}"
            ) from error
        first, again = answered
        if not np.array_equal(first, again, equal_nan=True):
            raise BadConfiguration(
                f"{self._name} answers {_shown(first)} and then {_shown(again)} to the same observation: a policy "
                "depends on the observation alone. Leave out chance, time and memory."
            )
        if len(first) != self._width or not np.isfinite(first).all():
            raise BadConfiguration(
                f"{self._name} answers {_shown(first)} to {_shown(observation)}: wanted an action of {self._action}."
            )
        space = self._action
        if isinstance(space, DiscreteSpace) and not (first[0] == np.rint(first[0]) and 0 <= first[0] < space.n):
            raise BadConfiguration(
                f"{self._name} answers {_shown(first)} to {_shown(observation)}: wanted a whole number from 0 to "
                f"{space.n - 1}."
            )
        return first


class _Table(torch.nn.Module):
    """The answers to all observations, looked up."""

    def __init__(self, exact: _Exact, space: DiscreteSpace) -> None:
        super().__init__()
        self.start = space.start
        everything = np.arange(space.start, space.start + space.n)
        self.register_buffer("answers", torch.from_numpy(exact(everything)))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return self.answers[observation - self.start]


class _Traced(torch.nn.Module):
    """The function, traced through all its paths at once."""

    def __init__(self, function: Function, space: BoxSpace, width: int) -> None:
        super().__init__()
        self.function, self.shape, self.width = function, tuple(space.shape), width

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        numbers = observation if observation.is_floating_point() else observation.to(torch.float64)
        return paths.trace(self.function, numbers, shape=self.shape, width=self.width)[0]


def _try_to_trace(name: str, function: Function, space: BoxSpace, width: int) -> None:
    """Raises: BadConfiguration for a function that cannot be traced."""
    examples = torch.from_numpy(spaces.observations(space, count=2)).to(torch.float64)
    try:
        answer, errors = paths.trace(function, examples, shape=tuple(space.shape), width=width)
    except paths.CannotTrace as error:
        raise BadConfiguration(
            f"{name} cannot be served: {error}. Serving pods run no Python of users, so a controller is traced "
            "through its comparisons and arithmetic."
        ) from error
    if not errors:
        return
    first = f"{type(errors[0]).__name__}: {errors[0]}"
    if bool(torch.isnan(answer).all()):
        raise BadConfiguration(
            f"{name} cannot be traced: {first}. It is given an array of objects that take part in arithmetic, "
            "comparisons and most functions of numpy."
        )
    log.warning(
        "%s raises on %d of its paths (%s): such observations are answered with an error", name, len(errors), first
    )


def _shown(numbers: np.ndarray) -> str:
    return np.array2string(np.asarray(numbers), precision=4, threshold=8)
