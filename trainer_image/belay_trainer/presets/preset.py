"""Settings that are known to work, by task, and how the user's words go over them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from stable_baselines3.common.utils import LinearSchedule

from belay_api.algorithms.common import Activation, Schedule, Settings

S = TypeVar("S", bound=Settings)
ELSEWHERE = "default"
ACTIVATIONS: dict[Activation, type[torch.nn.Module]] = {
    Activation.RELU: torch.nn.ReLU,
    Activation.TANH: torch.nn.Tanh,
    Activation.ELU: torch.nn.ELU,
    Activation.LEAKY_RELU: torch.nn.LeakyReLU,
    Activation.SILU: torch.nn.SiLU,
    Activation.GELU: torch.nn.GELU,
}


@dataclass(frozen=True, slots=True)
class Scaled:
    """What is brought to a common scale by running statistics."""

    observation: bool = False
    reward: bool = False

    def __bool__(self) -> bool:
        return self.observation or self.reward


@dataclass(frozen=True, slots=True)
class Preset(Generic[S]):
    """What an algorithm runs with on a task when its user says nothing."""

    settings: S
    copies: int  # environments stepped in one process
    scaled: Scaled = Scaled()


@dataclass(frozen=True, slots=True)
class PresetContext:
    """What a preset depends on beside the algorithm's own settings."""

    environment: str  # its id
    steps: int  # timesteps of the whole training; schedules end with it
    actions: int = 1  # numbers in one action
    copies: int | None = None  # `environment.vector.count`; None: the preset's
    observation: bool | None = None  # `normalize.observation`; None: the preset's
    reward: bool | None = None  # `normalize.reward`; None: the preset's


@dataclass(frozen=True, slots=True)
class Model:
    """What a Stable-Baselines3 model is built with."""

    preset: str  # of which environment
    copies: int
    scaled: Scaled
    arguments: dict[str, Any]  # keyword arguments of its class


@dataclass(frozen=True, slots=True)
class Chosen(Generic[S]):
    """A preset with the user's overrides."""

    name: str  # the environment id it was made for, or `ELSEWHERE`
    settings: S
    asked: frozenset[str]  # settings that the user named
    copies: int
    scaled: Scaled

    def model(self, arguments: dict[str, Any]) -> Model:
        """Return what the model is built with.

        Args:
            arguments: Those of the algorithm; what all algorithms have is added.
        """
        activation = self.settings.activation_fn
        if activation is not None:
            arguments["policy_kwargs"]["activation_fn"] = ACTIVATIONS[activation]
        return Model(self.name, self.copies, self.scaled, arguments)


def choose(presets: Mapping[str, Preset[S]], settings: S, context: PresetContext) -> Chosen[S]:
    """Return the preset of an environment, else the one for all others, with what the user said over it."""
    name = context.environment if context.environment in presets else ELSEWHERE
    preset, said = presets[name], settings.model_dump(exclude_none=True)
    scaled = {key: value for key in ("observation", "reward") if (value := getattr(context, key)) is not None}
    return Chosen(
        name,
        preset.settings.model_copy(update=said),
        frozenset(said),
        context.copies or preset.copies,
        replace(preset.scaled, **scaled),
    )


def scheduled(value: float, schedule: Schedule | None) -> float | LinearSchedule:
    """Return a setting that is constant, or falls to 0 with the budget."""
    return LinearSchedule(value, 0.0, 1.0) if schedule is Schedule.LINEAR else value
