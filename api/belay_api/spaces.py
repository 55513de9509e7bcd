"""What goes into a policy and what comes out of it: the spaces that a manifest can name.

    box · discrete · multi-discrete · multi-binary    one array of numbers
    dict · tuple                                      several of those, and no further nesting; observations alone

In JSON a space's values are as Gymnasium has them: numbers, nested lists, an object by key, a list by place. A network
takes one array all the same: the parts of a dict in the order of their sorted keys, those of a tuple in their own, each
flattened row-major, behind one another in one row of float64, which holds every number of the others exactly.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from belay_api.model import Model

_NESTED = "Flatten it in a wrapper of the environment."


class BoxSpace(Model):
    """Bounded or unbounded numbers."""

    kind: Literal["box"] = "box"
    shape: list[int]
    """Without batch dimension."""
    dtype: str
    """numpy name, e.g. `float32`."""
    low: list[float | None]
    """Flattened, row-major; None: unbounded."""
    high: list[float | None]
    """Flattened, row-major; None: unbounded."""

    def __str__(self) -> str:
        return f"Box({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''}) {self.dtype}"


class DiscreteSpace(Model):
    """One of n choices: start, start + 1, ..."""

    kind: Literal["discrete"] = "discrete"
    n: int
    """How many."""
    start: int = 0
    """The first."""

    def __str__(self) -> str:
        return f"Discrete({self.n})"


class MultiDiscreteSpace(Model):
    """Several choices at once, each one of its own numbers."""

    kind: Literal["multi-discrete"] = "multi-discrete"
    nvec: list[int]
    """How many there are of each."""
    start: list[int]
    """The first of each."""

    def __str__(self) -> str:
        return f"MultiDiscrete({self.nvec})"


class MultiBinarySpace(Model):
    """Switches, each 0 or 1."""

    kind: Literal["multi-binary"] = "multi-binary"
    shape: list[int]
    """Without batch dimension."""

    def __str__(self) -> str:
        return f"MultiBinary({', '.join(map(str, self.shape))})"


ArraySpace = Annotated[BoxSpace | DiscreteSpace | MultiDiscreteSpace | MultiBinarySpace, Field(discriminator="kind")]
"""One array of numbers."""


class DictSpace(Model):
    """Several arrays by name."""

    kind: Literal["dict"] = "dict"
    spaces: dict[str, ArraySpace]
    """By key; a network takes them in the order of the sorted keys."""

    def __str__(self) -> str:
        return f"Dict({', '.join(f'{key}: {self.spaces[key]}' for key in sorted(self.spaces))})"


class TupleSpace(Model):
    """Several arrays by place."""

    kind: Literal["tuple"] = "tuple"
    spaces: list[ArraySpace]
    """In their order."""

    def __str__(self) -> str:
        return f"Tuple({', '.join(map(str, self.spaces))})"


Space = Annotated[
    BoxSpace | DiscreteSpace | MultiDiscreteSpace | MultiBinarySpace | DictSpace | TupleSpace,
    Field(discriminator="kind"),
]


def space_model(space: Any) -> Space:
    """Return the model of a Gymnasium space, by its attributes so that this room needs no Gymnasium.

    Raises: ValueError for a space that cannot be served; flatten it.
    """
    match type(space).__name__:
        case "Dict":
            if unnamed := [key for key in space.spaces if not isinstance(key, str)]:
                raise ValueError(f"key {unnamed[0]!r} of a Dict space is no text, which JSON cannot send: rename it")
            return DictSpace(spaces={key: _part(f"key {key!r}", part) for key, part in space.spaces.items()})
        case "Tuple":
            return TupleSpace(spaces=[_part(f"part {place}", part) for place, part in enumerate(space.spaces)])
    return array_space(space)


def array_space(space: Any) -> ArraySpace:
    """Return the model of a Gymnasium space that has one array. Raises: ValueError for any other."""
    name = type(space).__name__
    match name:
        case "Discrete":
            return DiscreteSpace(n=int(space.n), start=int(space.start))
        case "Box":
            return BoxSpace(
                shape=[int(size) for size in space.shape],
                dtype=str(space.dtype),
                low=[_finite(value) for value in space.low.ravel().tolist()],
                high=[_finite(value) for value in space.high.ravel().tolist()],
            )
        case "MultiDiscrete" if space.nvec.ndim == 1:
            return MultiDiscreteSpace(nvec=space.nvec.tolist(), start=space.start.tolist())
        case "MultiBinary":
            return MultiBinarySpace(shape=[int(size) for size in space.shape])
    shown = f"MultiDiscrete spaces of shape {list(space.shape)}" if name == "MultiDiscrete" else f"{name} spaces"
    raise ValueError(
        f"{shown} cannot be served: Box, Discrete, MultiDiscrete with one row and MultiBinary can be, and for "
        f"observations a Dict or Tuple of those. {_NESTED}"
    )


def _part(name: str, space: Any) -> ArraySpace:
    try:
        return array_space(space)
    except ValueError as error:
        raise ValueError(f"{name} of the observation: {error}") from error


def _finite(value: float) -> float | None:
    return value if abs(value) < 1e30 else None  # CartPole's float32 bounds of 3.4e38 mean "unbounded"
