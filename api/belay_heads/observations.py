"""Observations as networks take them: one array each, however many parts the task shows.

The order is the manifest's (`belay_api.spaces`). Training and serving go through here, so a network that was trained on
a part finds it at the same place in service.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_api.spaces import ArraySpace, BoxSpace, DictSpace, DiscreteSpace, MultiDiscreteSpace, Space, TupleSpace


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an observation, and where it lies in the row."""

    key: str | int  # in the observation: a key of its dict, a place in its tuple
    space: ArraySpace
    first: int  # column
    size: int  # columns


def parts(space: Space) -> list[Part]:
    """Return the parts of a dict or tuple in the order of the row; none of a space that is one array."""
    of_each: Sequence[tuple[str | int, ArraySpace]] = ()
    if isinstance(space, DictSpace):
        of_each = sorted(space.spaces.items())
    elif isinstance(space, TupleSpace):
        of_each = list(enumerate(space.spaces))
    found, first = [], 0
    for key, one in of_each:
        size = math.prod(shape(one))
        found.append(Part(key, one, first, size))
        first += size
    return found


def shape(space: Space) -> tuple[int, ...]:
    """Return the shape of what a network takes, without batch dimension."""
    match space:
        case BoxSpace():
            return tuple(space.shape)
        case DiscreteSpace():
            return ()
        case MultiDiscreteSpace():
            return (len(space.nvec),)
        case DictSpace() | TupleSpace():
            return (sum(part.size for part in parts(space)),)
    return tuple(space.shape)


def dtype(space: Space) -> np.dtype[Any]:
    """Return the dtype of what a network takes."""
    match space:
        case BoxSpace():
            return np.dtype(space.dtype)
        case DiscreteSpace() | MultiDiscreteSpace():
            return np.dtype(np.int64)
        case DictSpace() | TupleSpace():
            return np.dtype(np.float64)
    return np.dtype(np.int8)


def numbers(observation: Any, found: Sequence[Part]) -> NDArray[Any]:
    """Return one observation of the task as what a network takes.

    Args:
        found: The `parts` of its space; without any the observation is an array already.
    """
    if not found:
        return np.asarray(observation)
    row = np.empty(found[-1].first + found[-1].size)
    for part in found:
        row[part.first : part.first + part.size] = np.ravel(observation[part.key])
    return row


def bounds(space: Space) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the least and the most of every number that a network takes, in its shape; infinite: without a bound."""
    match space:
        case BoxSpace():
            low = np.array([-np.inf if end is None else end for end in space.low]).reshape(space.shape)
            high = np.array([np.inf if end is None else end for end in space.high]).reshape(space.shape)
            return low, high
        case DiscreteSpace():
            return np.array(space.start), np.array(space.start + space.n - 1)
        case MultiDiscreteSpace():
            return np.array(space.start), np.array(space.start) + np.array(space.nvec) - 1
        case DictSpace() | TupleSpace():
            each = [bounds(part.space) for part in parts(space)]
            low, high = (np.concatenate([np.ravel(ends[side]) for ends in each]) for side in (0, 1))
            return low, high
    return np.zeros(space.shape), np.ones(space.shape)


def blank(space: Space) -> NDArray[Any]:
    """Return an observation that a network can be asked for: zeros, or the first of what is counted from elsewhere."""
    match space:
        case DiscreteSpace() | MultiDiscreteSpace():
            return np.array(space.start, dtype(space))
        case DictSpace() | TupleSpace():
            found = parts(space)
            return numbers({part.key: blank(part.space) for part in found}, found)
    return np.zeros(shape(space), dtype(space))
