"""Counts by bound, of pods that may have other bounds: what lies beyond has to be certain."""

from math import inf

import pytest

from belay_operator.rollout.histogram import EMPTY, Histogram

OLD = Histogram.of({0.1: 6.0, 1.0: 8.0, inf: 10.0})
NEW = Histogram.of({0.1: 5.0, 0.5: 7.0, 1.0: 9.0, 5.0: 10.0, inf: 10.0})


@pytest.mark.parametrize(("limit", "bound", "beyond"), [(0.1, 0.1, 4), (0.2, 1.0, 2), (0.01, 0.1, 4), (3.0, inf, 0)])
def test_what_is_counted_as_beyond_is_certain_to_be(limit: float, bound: float, beyond: float) -> None:
    assert OLD.certain(limit) == bound
    assert OLD.beyond(limit) == beyond


def test_pods_with_other_bounds_count_together() -> None:
    """Of the old pod nobody knows what lies within 0.5 s, but all within 1 s may."""
    both = OLD.plus(NEW)
    assert both.bounds == (0.1, 0.5, 1.0, 5.0, inf)
    assert [both.beyond(bound) for bound in (0.1, 0.5, 1.0)] == [9.0, 5.0, 3.0]
    assert both == NEW.plus(OLD)
    assert both.beyond(3.0) == 0.0, "of the old pod's two beyond 1 s nobody knows, and the new one has none"


def test_differences_and_nothing() -> None:
    later = Histogram.of({0.1: 7.0, 1.0: 10.0, inf: 15.0})
    assert later.minus(OLD) == Histogram.of({0.1: 1.0, 1.0: 2.0, inf: 5.0})
    assert OLD.minus(OLD).total == 0.0
    assert OLD.minus(EMPTY) == OLD == EMPTY.plus(OLD) == OLD.plus(EMPTY)
    assert EMPTY.minus(OLD) == EMPTY
    assert (EMPTY.total, EMPTY.beyond(1.0), EMPTY.certain(1.0)) == (0.0, 0.0, inf)
