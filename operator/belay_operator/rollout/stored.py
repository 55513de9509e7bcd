"""Numbers as status stores them."""

import math

from belay_api.rollout.verdicts import SampleStatus
from belay_operator.rollout.analysis.evidence import Sample

DIGITS = 6  # significant digits kept: more would only make numbers look different
FOR_PEOPLE = 3  # of a number that is read and never counted on


def short(value: float | None) -> float | None:
    """Return a number as it is stored; None: there is none, or it is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def for_people(value: float) -> float:
    """Return a number that nobody counts on, as it is told."""
    return float(f"{value:.{FOR_PEOPLE}g}")


def interval(bounds: tuple[float | None, float | None] | None) -> list[float] | None:
    """Return both ends; None: one of them is not known."""
    known = [end for end in map(short, bounds or ()) if end is not None]
    return known if len(known) == 2 else None


def sample(side: Sample | None) -> SampleStatus | None:
    """Return one side of a comparison."""
    if side is None:
        return None
    return SampleStatus(episodes=side.episodes, mean=short(side.mean), missing=side.missing, late=side.late or None)
