"""Domain randomisation: values of the environment that are drawn anew for each episode.

A name that the environment is made with (a keyword of its constructor) is drawn by making it again, so that all that
follows from it is right. Any other is an attribute, set before the reset: what the environment worked out from it when
it was made stays as it was.

Draws come from a generator of their own that a reset seed starts: the environment's own randomness is the same with and
without, an episode of a seed is the same wherever it is played, and evaluations, which have seeds of their own, are
played in draws that no training has seen.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator

from belay_api.environment import DrawSpec
from belay_api.model import alternatives
from belay_api.words import did_you_mean
from belay_trainer.errors import BadConfiguration

Environment = gymnasium.Env[Any, Any]
INFO = "randomized"
"""Key in the `info` of a reset under which the draws of the episode stand, by name."""
_STREAM = 1  # beside the reset seed: not the numbers that the environment itself draws
_SEEDS = (2**31, 2**32)  # as training's: no evaluation begins there


class Randomized(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A task whose values are drawn at each reset."""

    def __init__(self, make: Callable[[Mapping[str, Any]], Environment], draws: Mapping[str, DrawSpec]) -> None:
        """Make the task as it is without draws.

        Args:
            make: Makes one, with these keyword arguments over its own.
        Raises: BadConfiguration for a name that the environment does not have.
        """
        super().__init__(make({}))
        self._make, self._draws = make, dict(draws)
        self._generator = np.random.default_rng()
        keywords = _keywords(self.env)
        self._keywords = frozenset(name for name in draws if name in keywords)
        self.made_with: dict[str, Any] = {}
        """Value of each name without draws; None: a keyword that nobody gave, and that has no default."""
        for name, draw in draws.items():
            _check(f"environment.randomize.{name}", draw)
            if name not in keywords and not _is_value(self.unwrapped, name):
                known = sorted(
                    {*keywords, *(other for other in vars(self.unwrapped) if _is_value(self.unwrapped, other))}
                )
                raise BadConfiguration(
                    f"environment.randomize.{name}: {type(self.unwrapped).__name__} has no such keyword argument or "
                    f"attribute; {did_you_mean(name, known)}"
                )
            self.made_with[name] = keywords[name] if name in keywords else getattr(self.unwrapped, name)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in new draws; `info` tells them."""
        if seed is not None:
            self._generator = np.random.default_rng([seed, _STREAM])
        drawn = {name: _drawn(draw, self._generator) for name, draw in self._draws.items()}
        self.set_values(drawn)
        if self._keywords and seed is None:  # a new one has no chance of its own to go on with
            seed = int(self._generator.integers(*_SEEDS))
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, INFO: drawn}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Give the task these values, by name, until the next reset or call; reset what it wraps before a step."""
        if self._keywords:
            self._remake({name: value for name, value in values.items() if name in self._keywords})
        for name in values.keys() - self._keywords:
            setattr(self.unwrapped, name, values[name])

    def _remake(self, kwargs: Mapping[str, Any]) -> None:
        made = self._make(kwargs)
        for name in ("observation_space", "action_space"):
            before, after = getattr(self.env, name), getattr(made, name)
            if before != after:
                made.close()
                raise BadConfiguration(
                    f"environment.randomize: with {dict(kwargs)} the {name} is {after}, and {before} before: one "
                    "policy has one space. Draw what leaves it alone."
                )
        self.env.close()
        self.env = made


def _keywords(environment: Environment) -> dict[str, Any]:
    """Return what the environment can be made with, and with what it was made; None: nobody says."""
    spec = environment.spec
    entry = spec.entry_point if spec is not None else None
    creator = load_env_creator(entry) if isinstance(entry, str) else entry or type(environment.unwrapped)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    said = spec.kwargs if spec is not None else {}
    return {
        name: said.get(name, None if one.default is one.empty else one.default)
        for name, one in inspect.signature(creator).parameters.items()
        if one.kind in kinds
    }


def _is_value(environment: Environment, name: str) -> bool:
    """Return whether an attribute is a number, a truth or a text of the environment."""
    return not name.startswith("_") and isinstance(
        getattr(environment, name, None), int | float | bool | str | np.number | np.bool_
    )


def _check(field: str, draw: DrawSpec) -> None:
    """The API server has seen to it, and a laptop has none. Raises: BadConfiguration."""
    said = [name for name in alternatives(DrawSpec) if getattr(draw, name) is not None]
    if len(said) != 1:
        raise BadConfiguration(
            f"{field} has {', '.join(said) or 'nothing'}, wanted exactly one of {', '.join(alternatives(DrawSpec))}."
        )
    ends = draw.uniform or draw.log
    if ends is not None and ends[0] > ends[1]:
        raise BadConfiguration(f"{field}.{said[0]}: {ends[0]:g} is above {ends[1]:g}: exchange them.")


def _drawn(draw: DrawSpec, generator: np.random.Generator) -> Any:
    if draw.uniform is not None:
        return float(generator.uniform(*draw.uniform))
    if draw.log is not None:
        low, high = map(math.log, draw.log)
        return float(np.exp(generator.uniform(low, high)))
    return draw.choice[int(generator.integers(len(draw.choice)))]  # type: ignore[index,arg-type]  # `_check` saw it
