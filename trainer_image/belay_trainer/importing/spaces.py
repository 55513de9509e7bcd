"""Spaces as people write them in a terminal, as the manifest has them, and as Gymnasium has them.

box:4                     four float32 numbers without bounds
box:1:-2:2                one number from -2 to 2
box:84x84x4:0:255:uint8   images
discrete:2                0 or 1
{"kind": "box", ...}      as in a manifest, for bounds that differ from number to number
"""

import math
from typing import Any

import gymnasium
import numpy as np
from pydantic import TypeAdapter, ValidationError

from belay_api.artifact import NormaliserConstants
from belay_api.spaces import BoxSpace, DictSpace, DiscreteSpace, MultiBinarySpace, MultiDiscreteSpace, Space, TupleSpace
from belay_heads.observations import numbers, parts, shape
from belay_trainer.errors import BadConfiguration

MOST_NUMBERS = 1 << 18  # in all observations that are made up at once, or it would take a minute for images
_SPACE: TypeAdapter[Space] = TypeAdapter(Space)


def parse(text: str, flag: str) -> gymnasium.Space[Any]:
    """Return the space that a flag names. Raises: BadConfiguration."""
    try:
        space = _SPACE.validate_json(text) if text.lstrip().startswith("{") else _short(text)
        _check(space)
        return gym_space(space)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, TypeError, OverflowError) as error:
        reason = str(error)
    raise BadConfiguration(
        f"{flag} {text}: {reason}. Write box:SHAPE, box:SHAPE:LOW:HIGH, box:SHAPE:LOW:HIGH:DTYPE or discrete:N, such "
        "as box:84x84x4:0:255:uint8, or the space as a manifest has it."
    )


def gym_space(space: Space) -> gymnasium.Space[Any]:
    """Return a space of a manifest as Gymnasium has it."""
    match space:
        case DiscreteSpace():
            return gymnasium.spaces.Discrete(space.n, start=space.start)
        case MultiDiscreteSpace():
            return gymnasium.spaces.MultiDiscrete(space.nvec, start=space.start)
        case MultiBinarySpace():
            return gymnasium.spaces.MultiBinary(space.shape)
        case DictSpace():
            return gymnasium.spaces.Dict({key: gym_space(part) for key, part in space.spaces.items()})
        case TupleSpace():
            return gymnasium.spaces.Tuple([gym_space(part) for part in space.spaces])
    dtype = np.dtype(space.dtype)
    least, most = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low, high = (
        np.array([free if bound is None else bound for bound in bounds], dtype=dtype).reshape(space.shape)
        for bounds, free in ((space.low, least), (space.high, most))
    )
    return gymnasium.spaces.Box(low, high, shape=tuple(space.shape), dtype=dtype.type)


def observations(space: Space, *, count: int, normaliser: NormaliserConstants | None = None) -> np.ndarray:
    """Return made-up observations (count, *observation), the same at every call.

    Where statistics are known they lie where the training's did; else anywhere in the space, near 0 where it has no
    bounds.
    """
    if isinstance(space, BoxSpace) and normaliser is not None:
        drawn = np.random.default_rng(0).standard_normal((count, *space.shape))
        mean, variance = (np.reshape(values, space.shape) for values in (normaliser.mean, normaliser.variance))
        return (mean + np.sqrt(variance) * drawn).astype(space.dtype)
    source, found = gym_space(space), parts(space)
    source.seed(0)
    return np.stack([numbers(source.sample(), found) for _ in range(count)])


def enough(space: Space, count: int) -> int:
    """Return `count`, or fewer where observations are large."""
    size = math.prod(shape(space))
    return max(32, min(count, MOST_NUMBERS // max(size, 1)))


def _short(text: str) -> Space:
    kind, *words = text.split(":")
    if kind == "discrete" and len(words) == 1:
        return DiscreteSpace(n=int(words[0]))
    if kind != "box" or len(words) not in (1, 3, 4):
        raise ValueError("it is neither a box nor a discrete space")
    sizes = [int(size) for size in words[0].split("x")]
    ends = [float(end) for end in words[1:3]] or [-math.inf, math.inf]
    low, high = ([None if math.isinf(end) else end] * math.prod(sizes) for end in ends)
    return BoxSpace(shape=sizes, dtype=words[3] if len(words) == 4 else "float32", low=low, high=high)


def _check(space: Space) -> None:
    """Raises: ValueError, TypeError."""
    if isinstance(space, DiscreteSpace):
        if space.n < 1 or space.start != 0:
            raise ValueError("a discrete space has at least one value, and its first is 0")
        return
    if isinstance(space, DictSpace | TupleSpace):
        for part in parts(space):
            _check(part.space)
        return
    if isinstance(space, MultiDiscreteSpace):
        if not space.nvec or min(space.nvec) < 1 or len(space.start) != len(space.nvec) or any(space.start):
            raise ValueError("each choice has at least one value, and its first is 0")
        return
    if not all(size >= 1 for size in space.shape):
        raise ValueError("every size of a shape is at least 1")
    if isinstance(space, MultiBinarySpace):
        return
    if np.dtype(space.dtype).kind not in "iuf":
        raise ValueError(f"{space.dtype} is no dtype of numbers")
    size = math.prod(space.shape)
    if not len(space.low) == len(space.high) == size:
        raise ValueError(f"{len(space.low)} lower and {len(space.high)} upper bounds, wanted {size} of each")
    if any(a is not None and b is not None and not a <= b for a, b in zip(space.low, space.high, strict=True)):
        raise ValueError("a lower bound is above its upper bound")
