"""Arrays out of a pickle, of which nothing is run.

A pickle is a program: it names functions, and reading it calls them. Here it may name those few by which NumPy puts an
array together, and gets others of ours in their place, which keep what they are told. Not even NumPy's own are called:
they believe what a stranger's file says of memory.
"""

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from belay_trainer.errors import BadConfiguration

DEEPEST = 8  # lists and mappings within one another; episodes need three
_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")  # NumPy's codes of whole and other numbers, with their bytes
_ORDERS = {"<": "<", ">": ">", "=": "=", "|": "="}  # of bytes, as NumPy's state has it
# What files that are damaged, or made to harm, lead to in the interpreter of pickles and in what stands in for NumPy.
_UNREADABLE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, MemoryError, RecursionError,
    ImportError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unread:
    """What stood in the pickle and is no array of numbers, such as text."""

    what: str


def read(path: Path) -> Any:
    """Return what a pickle holds: mappings, lists, numbers and arrays of them, with `Unread` for other arrays.

    Raises: BadConfiguration for a file that is no pickle, or names anything but NumPy's arrays.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Unpickler(file, encoding="latin1").load(), {}, depth=0)  # latin1: arrays of Python 2
    except OSError as error:
        raise BadConfiguration(f"{path} cannot be read: {error}.") from error
    except _Foreign as error:
        raise BadConfiguration(
            f"{path} is not opened: it names {error}, and reading that would run it. Mappings, lists and NumPy arrays "
            "are read: where you trust the file, load it yourself and pickle its arrays alone (`np.asarray(...)`)."
        ) from error
    except _UNREADABLE as error:
        raise BadConfiguration(f"{path} is no pickle, or a torn one: {type(error).__name__}: {error}.") from error


class _Foreign(Exception):
    """The pickle names something else than arrays."""


class _Dtype:
    """In the place of `numpy.dtype`."""

    def __init__(self, code: str, *_flags: Any) -> None:
        self.code, self.order, self.simple = str(code), "=", True

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, *parts = state[:5]
        self.order, self.simple = _ORDERS[order], all(part is None for part in parts)


class _Array:
    """In the place of an array that is told later what it holds."""

    value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, order="F" if fortran else "C")


def _reconstructed(_class: Any, _shape: Any, _code: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str) -> Any:
    return _array(data, dtype, shape, order=order)


def _scalar(dtype: Any, data: Any = None) -> Any:
    found = _array(data, dtype, (), order="C")
    return found.item() if isinstance(found, np.ndarray) else found


def _encoded(text: str, encoding: str) -> bytes:
    """Return bytes that an old protocol has as text."""
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


_NUMPY: dict[str, Callable[..., Any]] = {
    "multiarray._reconstruct": _reconstructed,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _from_buffer,
}
_STAND_INS: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encoded,
    "__builtin__.bytes": _no_bytes,  # as an old protocol has those of an empty array
    "collections.OrderedDict": dict,
    **{f"numpy.{core}.{name}": found for core in ("core", "_core") for name, found in _NUMPY.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _STAND_INS:
            raise _Foreign(f"{module}.{name}")
        return _STAND_INS[f"{module}.{name}"]


def _array(data: Any, dtype: Any, shape: Any, *, order: str) -> Any:
    if not isinstance(dtype, _Dtype):
        raise TypeError(f"an array of {type(dtype).__name__}")
    if dtype.code.startswith("O") and isinstance(data, list):
        return data  # of arrays of several lengths
    if not dtype.simple or not _NUMBERS.fullmatch(dtype.code):
        return Unread(f"an array of {dtype.code}")
    content = data.encode("latin1") if isinstance(data, str) else data
    found = np.frombuffer(content, np.dtype(dtype.order + dtype.code)).reshape(shape, order=order)
    return found.astype(found.dtype.newbyteorder("="))


def _plain(value: Any, known: dict[int, Any], *, depth: int) -> Any:
    """Return what was read with arrays in the place of those that stood in for them.

    Args:
        known: What came of objects by their id: a pickle may name one a thousand times.
    """
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} lists and mappings within one another")
    if isinstance(value, _Array):
        value = value.value
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in known:
        known[id(value)] = (
            {key: _plain(one, known, depth=depth + 1) for key, one in value.items()}
            if isinstance(value, dict)
            else [_plain(one, known, depth=depth + 1) for one in value]
        )
    return known[id(value)]
