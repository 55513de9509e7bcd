"""How many of the observations lay at or below each of some bounds, as pods count latencies. Pure.

Pods of two versions may have other bounds. What lies beyond a bound must be certain, so where a histogram does not know
a bound, its count at the next larger one stands for it: that is the most that can lie within.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts by upper bound. A few dozen of these are kept for each policy on trial: hence the array."""

    bounds: tuple[float, ...]  # rising; the last is infinite. Empty: nothing is known, not even how many there were
    within: array[float]  # of the same length: observations at or below each bound

    @classmethod
    def of(cls, buckets: Mapping[float, float]) -> Histogram:
        """Return the histogram of cumulative counts by upper bound, as Prometheus text has them."""
        bounds = tuple(sorted(buckets))
        return cls(bounds, array("d", [buckets[bound] for bound in bounds]))

    @property
    def total(self) -> float:
        """All observations."""
        return self.within[-1] if self.bounds else 0.0

    def certain(self, limit: float) -> float:
        """Return the smallest bound that is not below `limit`: what lies beyond it is certain to lie beyond `limit`.

        Infinite: there is none, and nothing is certain.
        """
        place = bisect_left(self.bounds, limit)
        return self.bounds[place] if place < len(self.bounds) else inf

    def beyond(self, limit: float) -> float:
        """Return how many observations are certain to lie beyond `limit`."""
        return self.total - self._within(limit)

    def plus(self, other: Histogram) -> Histogram:
        """Return the observations of both."""
        return self._with(other, 1.0)

    def minus(self, before: Histogram) -> Histogram:
        """Return what was observed since `before`."""
        return self._with(before, -1.0)

    def _with(self, other: Histogram, sign: float) -> Histogram:
        if not other.bounds or (not self.bounds and sign < 0):
            return self
        if not self.bounds:
            return other
        if self.bounds == other.bounds:
            return Histogram(self.bounds, _array(a + sign * b for a, b in zip(self.within, other.within, strict=True)))
        bounds = tuple(sorted({*self.bounds, *other.bounds}))
        return Histogram(bounds, _array(self._within(bound) + sign * other._within(bound) for bound in bounds))

    def _within(self, bound: float) -> float:
        place = bisect_left(self.bounds, bound)
        return self.within[place] if place < len(self.bounds) else self.total


def _array(values: Iterable[float]) -> array[float]:
    return array("d", [max(value, 0.0) for value in values])


EMPTY = Histogram((), array("d"))
