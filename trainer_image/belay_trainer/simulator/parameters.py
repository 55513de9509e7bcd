"""What is fitted: the values that `environment.randomize` names, each between the ends of its draw.

So a parameter is named, and set, as training will set it. The search runs in a cube whose sides are the draws, from 0
at the low end to 1 at the high one, by the logarithm where the draw is `log`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from belay_api.environment import DrawSpec
from belay_trainer.errors import BadConfiguration

Floats = NDArray[np.float64]
FIELD = "environment.randomize"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of the simulator."""

    name: str  # keyword argument or attribute
    scale: Literal["uniform", "log"]
    low: float
    high: float  # above `low`

    def value(self, place: float) -> float:
        """Return the value at a place from 0 to 1."""
        if self.scale == "uniform":
            return self.low + place * (self.high - self.low)
        low, high = math.log(self.low), math.log(self.high)
        return math.exp(low + place * (high - low))


def parameters(draws: Mapping[str, DrawSpec]) -> tuple[Parameter, ...]:
    """Return what is to be fitted. Raises: BadConfiguration for what has no range."""
    if not draws:
        raise BadConfiguration(
            f"{FIELD} names nothing, and what it names is fitted: write each parameter with the range to search, e.g. "
            "`length: {uniform: [0.2, 1.0]}`."
        )
    return tuple(_parameter(name, draw) for name, draw in draws.items())


def values(searched: Sequence[Parameter], place: Floats) -> dict[str, float]:
    """Return the values at a point of the cube, by name."""
    return {one.name: one.value(float(at)) for one, at in zip(searched, place, strict=True)}


def _parameter(name: str, draw: DrawSpec) -> Parameter:
    field = f"{FIELD}.{name}"
    ends, scale = (draw.log, "log") if draw.uniform is None else (draw.uniform, "uniform")
    if ends is None:
        raise BadConfiguration(
            f"{field} is a choice, and only numbers between two ends can be fitted: write uniform or log, or leave it "
            "out and set it in environment.kwargs."
        )
    if ends[0] == ends[1]:
        raise BadConfiguration(f"{field}.{scale} begins and ends at {ends[0]:g}: widen it, or leave it out.")
    return Parameter(name, "log" if scale == "log" else "uniform", float(ends[0]), float(ends[1]))
