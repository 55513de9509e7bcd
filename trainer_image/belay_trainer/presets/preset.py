"""Settings that are known to work, by task, and how the user's words go over them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from belay_api.algorithms.common import Settings

S = TypeVar("S", bound=Settings)
ELSEWHERE = "default"


@dataclass(frozen=True, slots=True)
class Preset(Generic[S]):
    """What an algorithm runs with on a task when its user says nothing."""

    settings: S
    copies: int  # environments stepped in one process


@dataclass(frozen=True, slots=True)
class Chosen(Generic[S]):
    """A preset with the user's overrides."""

    name: str  # the environment id it was made for, or `ELSEWHERE`
    settings: S
    asked: frozenset[str]  # settings that the user named
    copies: int


def choose(presets: Mapping[str, Preset[S]], asked: S, *, environment: str, copies: int | None) -> Chosen[S]:
    """Return the preset of an environment, else the one for all others, with what was asked over it.

    Args:
        copies: `environment.vector.count`; None: the preset's.
    """
    name = environment if environment in presets else ELSEWHERE
    preset, said = presets[name], asked.model_dump(exclude_none=True)
    return Chosen(name, preset.settings.model_copy(update=said), frozenset(said), copies or preset.copies)


@dataclass(frozen=True, slots=True)
class Model:
    """What a Stable-Baselines3 model is built with."""

    preset: str  # of which environment
    copies: int
    arguments: dict[str, Any]  # keyword arguments of its class
