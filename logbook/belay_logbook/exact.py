"""Sum and sum of squares of floats without rounding.

A float is a whole number times a power of two, and whole numbers add exactly. So parts may be summed at different
times, kept and put together in any order: the mean and the squared deviations are rounded once, at the end, and have
the same bits whichever way they came about.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import frexp

_MANTISSA_BITS = 53


@dataclass(frozen=True, slots=True)
class Sums:
    """`total * 2**exponent` and `squares * 2**(2 * exponent)`."""

    exponent: int = 0
    total: int = 0
    squares: int = 0

    def mean(self, count: int) -> float:
        """Return the mean of the `count` values summed, correctly rounded."""
        return _quotient(self.total, count, self.exponent)

    def m2(self, count: int) -> float:
        """Return the sum of squared deviations from the mean, correctly rounded; the largest float if beyond it."""
        try:
            return _quotient(count * self.squares - self.total * self.total, count, 2 * self.exponent)
        except OverflowError:
            return sys.float_info.max


NOTHING = Sums()


def sum_up(values: Iterable[float]) -> Sums:
    """Return the sums of finite values."""
    totals: defaultdict[int, int] = defaultdict(int)
    squares: defaultdict[int, int] = defaultdict(int)
    for value in values:
        mantissa, exponent = frexp(value)
        whole = int(mantissa * (1 << _MANTISSA_BITS))
        totals[exponent] += whole
        squares[exponent] += whole * whole
    return add(Sums(exponent - _MANTISSA_BITS, total, squares[exponent]) for exponent, total in totals.items())


def add(parts: Iterable[Sums]) -> Sums:
    """Return the sums of all parts together."""
    known = [part for part in parts if part.squares]
    low = min((part.exponent for part in known), default=0)
    return Sums(
        low,
        sum(part.total << (part.exponent - low) for part in known),
        sum(part.squares << 2 * (part.exponent - low) for part in known),
    )


def _quotient(numerator: int, denominator: int, exponent: int) -> float:
    # Division of whole numbers is correctly rounded; of their floats it would round three times.
    return (numerator << max(exponent, 0)) / (denominator << max(-exponent, 0))
