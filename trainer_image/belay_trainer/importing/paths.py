"""A Python function of numbers as a network: run once for each path through it, on tensors.

Every comparison of a number is a branch. The function is run with one side taken, and again with the other, until every
path has been run; `where` joins the results. So a whole batch takes all paths at once, which costs nothing where a
function is as small as controllers are.

    if angle > 0: return 1        where(angle > 0, 1, 0)
    return 0

Only what passes through numbers is traced: arithmetic, comparisons, NumPy's functions. `float()`, `int()` and the
functions of `math` want a number now, and there is none yet.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

MOST_PATHS = 256
MOST_BRANCHES = 64  # on one path


class CannotTrace(BaseException):
    """The function does something that cannot be traced; the message says what to write instead.

    No `Exception`: a function that catches those must not catch this one.
    """


class Computed:
    """What was computed on any path, so that paths share what they have in common: equal expressions are one tensor."""

    def __init__(self) -> None:
        self.tensors: list[torch.Tensor] = []
        self._places: dict[Any, int] = {}

    def place(self, expression: Any, compute: Callable[[], torch.Tensor]) -> int:
        """Return where the tensor of an expression stands in `tensors`, after computing it if it is a new one."""
        if expression not in self._places:
            self._places[expression] = len(self.tensors)
            self.tensors.append(compute())
        return self._places[expression]


class Branches:
    """The comparisons on one path through a function."""

    def __init__(self, sides: tuple[bool, ...], computed: Computed) -> None:
        """Start a path.

        Args:
            sides: Which side each of the first comparisons takes; from there on it is the true one.
        """
        self.sides, self.computed = list(sides), computed
        self.conditions: list[int] = []  # places

    def take(self, condition: int) -> bool:
        """Return which side of a comparison this path takes; of one made before, the same. Raises: CannotTrace."""
        if condition in self.conditions:
            return self.sides[self.conditions.index(condition)]
        if len(self.conditions) == MOST_BRANCHES:
            raise CannotTrace(f"it compares more than {MOST_BRANCHES} times on one path, most likely in a loop")
        if len(self.conditions) == len(self.sides):
            self.sides.append(True)
        self.conditions.append(condition)
        return self.sides[len(self.conditions) - 1]


def _arithmetic(operation: Callable[[Any, Any], Any], *, swapped: bool = False) -> Callable[["Number", Any], Any]:
    def method(self: "Number", other: Any) -> Any:
        place = self.with_other(operation, other, swapped=swapped)
        return NotImplemented if place is None else Number(place, self.branches)

    return method


def _comparison(operation: Callable[[Any, Any], Any]) -> Callable[["Number", Any], Any]:
    def method(self: "Number", other: Any) -> Any:
        place = self.with_other(operation, other)
        return NotImplemented if place is None else self.branches.take(place)

    return method


def _function(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[["Number"], "Number"]:
    return lambda self: self.result((function, self.place), lambda: function(self.value))


class Number:
    """A number that depends on the observation: (batch,) of them."""

    def __init__(self, place: int, branches: Branches) -> None:
        self.place, self.branches = place, branches

    @property
    def value(self) -> torch.Tensor:
        """The tensor."""
        return self.branches.computed.tensors[self.place]

    def result(self, expression: Any, compute: Callable[[], torch.Tensor]) -> "Number":
        """Return what an expression comes to on this path."""
        return Number(self.branches.computed.place(expression, compute), self.branches)

    def with_other(self, operation: Callable[[Any, Any], Any], other: Any, *, swapped: bool = False) -> int | None:
        """Return the place of what an operation with a second operand comes to; None: that is no number."""
        second = _operand(other)
        if second is None:
            return None
        key, value = second
        return self.branches.computed.place(
            (operation, self.place, key, swapped),
            lambda: operation(value, self.value) if swapped else operation(self.value, value),
        )

    __add__, __radd__ = _arithmetic(operator.add), _arithmetic(operator.add, swapped=True)
    __sub__, __rsub__ = _arithmetic(operator.sub), _arithmetic(operator.sub, swapped=True)
    __mul__, __rmul__ = _arithmetic(operator.mul), _arithmetic(operator.mul, swapped=True)
    __truediv__, __rtruediv__ = _arithmetic(operator.truediv), _arithmetic(operator.truediv, swapped=True)
    __mod__, __rmod__ = _arithmetic(operator.mod), _arithmetic(operator.mod, swapped=True)
    __pow__, __rpow__ = _arithmetic(operator.pow), _arithmetic(operator.pow, swapped=True)
    __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
    __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)
    __eq__, __ne__ = _comparison(operator.eq), _comparison(operator.ne)
    __hash__ = None  # type: ignore[assignment]
    __neg__, __abs__ = _function(torch.neg), _function(torch.abs)

    def __pos__(self) -> "Number":
        return self

    def __bool__(self) -> bool:
        return bool(self != 0)

    # What `round` and the like of Python and NumPy call; theirs may be any number, where `int` must give one of Python.
    __floor__, __ceil__ = _function(torch.floor), _function(torch.ceil)

    def __round__(self, digits: None = None) -> "Number":
        if digits is not None:
            raise CannotTrace("it rounds to digits: scale, round and scale back")
        return self.result((torch.round, self.place), lambda: torch.round(self.value))

    # NumPy calls these for its functions of the same name.
    sqrt, exp, log, tanh = _function(torch.sqrt), _function(torch.exp), _function(torch.log), _function(torch.tanh)
    sin, cos, tan, rint = _function(torch.sin), _function(torch.cos), _function(torch.tan), _function(torch.round)

    arctan2 = _arithmetic(lambda y, x: torch.atan2(y, torch.ones_like(y) * x))

    def clip(self, a_min: Any = None, a_max: Any = None, out: None = None) -> "Number":
        """Return what `numpy.clip` does, without a branch."""
        del out
        for bound in (a_min, a_max):
            if not (bound is None or isinstance(bound, int | float | np.integer | np.floating)):
                raise CannotTrace("it clips to bounds that are no plain numbers: use min and max")
        return self.result(
            (torch.clamp, self.place, repr((a_min, a_max))), lambda: torch.clamp(self.value, a_min, a_max)
        )

    def _now(self, *_: Any) -> Any:
        raise CannotTrace(
            "it turns a number of the observation into one of Python: leave out float(), int(), `dtype=` and the "
            "functions of math; take those of numpy, and comparisons to choose a whole number"
        )

    __float__ = __int__ = __index__ = __complex__ = __trunc__ = _now


def trace(
    function: Callable[[np.ndarray], Any], observations: torch.Tensor, *, shape: tuple[int, ...], width: int
) -> tuple[torch.Tensor, list[Exception]]:
    """Return what a function answers to each of a batch of observations, and what it raised on the paths that end so.

    A path that ends in an error answers NaN: in service, an error for that observation alone.

    Args:
        function: Of one observation, an array; answers one number or an array of them.
        observations: (batch, *shape) of floats.
        shape: Of one observation, in numbers of Python: while a network is traced its tensors know none.
        width: Numbers that it must answer.
    Returns: (batch, width), and the errors, one a path.
    Raises: CannotTrace.
    """
    ends: list[Exception | None] = []
    numbers, size, computed = observations.reshape(-1, math.prod(shape)), math.prod(shape), Computed()
    places = [computed.place(("observation", at), lambda at=at: numbers[:, at]) for at in range(size)]

    def run_from(sides: tuple[bool, ...]) -> torch.Tensor:
        if len(ends) == MOST_PATHS:
            raise CannotTrace(f"there are more than {MOST_PATHS} paths through it")
        branches = Branches(sides, computed)
        given = np.empty(size, dtype=object)
        given[:] = [Number(place, branches) for place in places]
        answer, error = _run(function, given.reshape(shape), like=numbers[:, 0], width=width)
        ends.append(error)
        for depth in range(len(branches.conditions) - 1, len(sides) - 1, -1):  # the last branch first
            other = run_from((*branches.sides[:depth], False))
            answer = torch.where(computed.tensors[branches.conditions[depth]].unsqueeze(1), answer, other)
        return answer

    return run_from(()), [error for error in ends if error is not None]


def _run(
    function: Callable[[np.ndarray], Any], observation: np.ndarray, *, like: torch.Tensor, width: int
) -> tuple[torch.Tensor, Exception | None]:
    """Return what the function answers on one path, (batch, width), or NaN and what it raised."""
    try:
        answered = function(observation)
    except Exception as error:  # whatever a user's function raises
        return torch.stack([torch.full_like(like, torch.nan)] * width, dim=1), error
    values = np.array(answered, dtype=object).reshape(-1)
    if len(values) != width:
        raise CannotTrace(f"it answers {len(values)} numbers, and actions have {width}")
    return torch.stack([_column(value, like) for value in values], dim=1), None


def _column(value: Any, like: torch.Tensor) -> torch.Tensor:
    found = _operand(value)
    if found is None:
        raise CannotTrace(f"it answers a {type(value).__name__} where a number is needed")
    number = found[1]
    return number.to(like.dtype) if isinstance(number, torch.Tensor) else torch.full_like(like, float(number))


def _operand(other: Any) -> tuple[Any, Any] | None:
    """Return what tells a number from all others, and the number, a tensor or one of Python; None for anything else."""
    if isinstance(other, np.ndarray) and other.ndim == 0:
        other = other.item()
    if isinstance(other, Number):
        return ("place", other.place), other.value
    if isinstance(other, bool | int | float | np.bool_ | np.integer | np.floating):
        constant = other.item() if isinstance(other, np.generic) else other
        return ("constant", repr(constant)), constant  # by its repr: 0.0 equals -0.0, and is another divisor
    return None
