"""Observations as they stand in a request, made into what the network takes.

Each is looked at twice. `read` sees one and knows its shape; `cast` sees a batch, which costs no more than one, and
knows whether the numbers are those of the space. Whoever is refused is told which part of the observation it is.
"""

from typing import Any, Protocol

import numpy as np

from belay_api.spaces import (
    ArraySpace,
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TupleSpace,
)
from belay_heads import observations


class BadInput(ValueError):
    """The caller sent something the policy cannot act on; answered with `status`."""

    status = 400

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field  # e.g. `items[3].observation`


class Numbers(Protocol):
    """Reads the observations of one space."""

    shape: tuple[int, ...]
    """Of one, as the network takes it."""
    dtype: np.dtype[Any]
    """As the network takes it."""

    def read(self, value: Any, field: str) -> np.ndarray:
        """Return one observation as it came: numbers in the right shape, not yet known to be finite.

        Args:
            field: What to call it, e.g. `items[3].observation`.
        Raises: BadInput.
        """

    def cast(self, seen: np.ndarray, field: str) -> np.ndarray:
        """Return numbers, of one observation or of a batch, in the dtype. Raises: BadInput."""


def numbers_of(space: Space) -> Numbers:
    """Return what reads a space's observations."""
    return Several(space) if isinstance(space, DictSpace | TupleSpace) else OneArray(space)


class OneArray:
    """Numbers in nested lists; see `Numbers`."""

    def __init__(self, space: ArraySpace) -> None:
        self._space = space
        self.shape, self.dtype = observations.shape(space), observations.dtype(space)
        # Of a box the bounds are not looked at: tasks leave their own, and training has not minded either.
        self._bounds = None if isinstance(space, BoxSpace) else observations.bounds(space)

    def read(self, value: Any, field: str) -> np.ndarray:
        """See `Numbers.read`."""
        try:
            seen = np.asarray(value)
        except (ValueError, OverflowError) as error:
            raise BadInput(f"{field} is ragged; wanted {self._wanted()}", field=field) from error
        if seen.dtype.kind not in "iuf":  # text, booleans, null, objects, integers beyond 64 bits
            raise BadInput(f"{field} holds something that is no number; wanted {self._wanted()}", field=field)
        if seen.shape != self.shape:
            raise BadInput(f"{field} has shape {list(seen.shape)}; wanted {self._wanted()}", field=field)
        return seen

    def cast(self, seen: np.ndarray, field: str) -> np.ndarray:
        """See `Numbers.cast`."""
        if not np.isfinite(seen).all():
            raise BadInput(f"{field} holds NaN or infinity; wanted {self._wanted()}, all finite", field=field)
        with np.errstate(over="ignore", invalid="ignore"):
            cast = seen.astype(self.dtype, copy=False)
        if self.dtype.kind in "iu":
            if not np.array_equal(cast, seen):
                raise BadInput(f"{field} holds numbers that are no {self.dtype}; wanted {self._wanted()}", field=field)
        elif not np.isfinite(cast).all():
            raise BadInput(f"{field} holds numbers too large for {self.dtype}; wanted {self._wanted()}", field=field)
        if self._bounds is not None:
            low, high = self._bounds
            if not ((cast >= low) & (cast <= high)).all():
                raise BadInput(f"{field} is {cast.tolist()}; wanted {self._wanted()}", field=field)
        return cast

    def _wanted(self) -> str:
        match self._space:
            case DiscreteSpace(n=n, start=start):
                return f"a whole number from {start} to {start + n - 1}"
            case MultiDiscreteSpace(nvec=nvec, start=starts):
                ends = ", ".join(f"{first} to {first + n - 1}" for n, first in zip(nvec, starts, strict=True))
                return f"whole numbers of shape {list(self.shape)}, from {ends}"
            case MultiBinarySpace():
                return f"zeros and ones of shape {list(self.shape)}"
        return f"numbers of shape {list(self.shape)} ({self._space})"


class Several:
    """An object of arrays by key, or a list of them by place; see `Numbers`."""

    def __init__(self, space: DictSpace | TupleSpace) -> None:
        self._by_key = isinstance(space, DictSpace)
        self._parts = observations.parts(space)
        self._readers = {part.key: OneArray(part.space) for part in self._parts}
        self.shape, self.dtype = observations.shape(space), observations.dtype(space)

    def read(self, value: Any, field: str) -> np.ndarray:
        """See `Numbers.read`."""
        self._check_keys(value, field)
        row = {key: reader.read(value[key], _name(field, key)) for key, reader in self._readers.items()}
        return observations.numbers(row, self._parts)

    def cast(self, seen: np.ndarray, field: str) -> np.ndarray:
        """See `Numbers.cast`."""
        cast, rows = np.empty(seen.shape, self.dtype), seen.shape[:-1]
        for part in self._parts:
            reader, columns = self._readers[part.key], slice(part.first, part.first + part.size)
            numbers = reader.cast(seen[..., columns].reshape(rows + reader.shape), _name(field, part.key))
            cast[..., columns] = numbers.reshape((*rows, part.size))
        return cast

    def _check_keys(self, value: Any, field: str) -> None:
        if not self._by_key:
            if not isinstance(value, list) or len(value) != len(self._parts):
                seen = f"a list of {len(value)}" if isinstance(value, list) else f"no list but {_kind(value)}"
                raise BadInput(f"{field} is {seen}; wanted a list of {len(self._parts)} observations", field=field)
            return
        keys = ", ".join(map(str, self._readers))
        if not isinstance(value, dict):
            raise BadInput(f"{field} is no object but {_kind(value)}; wanted one with the keys {keys}", field=field)
        if unknown := [key for key in value if key not in self._readers]:
            name = _name(field, unknown[0])
            raise BadInput(f"{name} is no part of this policy's observation; known are {keys}", field=name)
        if missing := [key for key in self._readers if key not in value]:
            name = _name(field, missing[0])
            raise BadInput(f"{name} is missing; wanted the keys {keys}", field=name)


def _name(field: str, key: str | int) -> str:
    return f"{field}[{key}]" if isinstance(key, int) else f"{field}.{key}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
