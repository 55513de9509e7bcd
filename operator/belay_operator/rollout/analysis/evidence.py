"""What a verdict is reached from, and what it is reported with.

Start windows come from the logbook, which has already settled which episodes count: those that ended within
`grace` of their own start; all others that started at least `grace` ago are missing. Without a grace "missing" has
no meaning, so there is no way to build these values from episodes that merely finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import numpy as np

from belay_api.reasons import Verdict
from belay_operator.rollout.analysis.betting import Counts
from belay_operator.rollout.analysis.blocks import Held
from belay_operator.rollout.analysis.sequential import Array, Strata


class Better(Enum):
    """Which way an outcome should go."""

    MORE = 1
    LESS = -1


@dataclass(frozen=True, slots=True)
class StartWindow:
    """One version's episodes that started in one window, at least `grace` ago."""

    start: datetime  # aware UTC; pairs the two sides
    count: int  # episodes that ended within grace of their own start
    missing: int  # episodes that did not
    mean: float | None = None  # mean outcome of the counted ones, in the outcome's unit; None: count is 0
    m2: float = 0.0  # their sum of squared deviations from the mean
    low: float | None = None  # smallest of them; None: count is 0
    high: float | None = None  # largest of them; None: count is 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one outcome of the candidate is compared with stable's."""

    metric: str  # name in spec.analysis.metrics
    better: Better  # MORE for a return or success, LESS for violations
    margin: float  # what the candidate may be worse by and still pass, above 0
    relative: bool  # the margin is a fraction of |stable's mean|; else in the outcome's own unit
    binary: bool | None = None  # every outcome is 0 or 1 (True), is not (False), or nobody knows beforehand (None)

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise ValueError(
                f"metric {self.metric}: the allowed regression is {self.margin}, wanted above 0. That a candidate is "
                "not worse by as much as nothing can never be shown; state the smallest difference that matters."
            )


@dataclass(frozen=True, slots=True)
class Sample:
    """One side of a comparison, over all windows."""

    episodes: int  # that count
    mean: float | None  # plain mean over them; None: there are none
    missing: int
    late: int = 0  # of the missing: reported, but after grace


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verdict on one metric with what it rests on. Fields are None where nothing can be said yet."""

    metric: str
    verdict: Verdict
    message: str  # the verdict as a sentence; without running numbers while it may still change
    candidate: Sample | None = None
    stable: Sample | None = None
    difference: float | None = None  # candidate minus stable per window, weighted with the candidate's counts
    interval: tuple[float | None, float | None] | None = None  # two one-sided bounds on it, valid at every look
    fail_below: float | None = None  # fails with its upper bound below this (less is better: lower bound above)
    pass_above: float | None = None  # passes with its lower bound above this (less is better: upper bound below)
    grace_too_short: bool = False  # too many episodes were reported late for anything to be decided
    held: Held | None = None  # of a limit: what it rests on


@dataclass(frozen=True, slots=True)
class Paired:
    """Both sides' windows as arrays over the same starts, oldest first."""

    candidate: Strata
    stable: Strata
    candidate_missing: Array
    stable_missing: Array
    all_binary: bool  # every outcome so far is 0 or 1

    def outcomes(self) -> tuple[Counts, Counts]:
        """The outcomes as 0/1 counts; only meaningful when they are 0 or 1."""
        return (
            Counts(np.rint(self.candidate.mean * self.candidate.count), self.candidate.count),
            Counts(np.rint(self.stable.mean * self.stable.count), self.stable.count),
        )

    def silences(self) -> tuple[Counts, Counts]:
        """Missing among all episodes that started."""
        return (
            Counts(self.candidate_missing, self.candidate.count + self.candidate_missing),
            Counts(self.stable_missing, self.stable.count + self.stable_missing),
        )


def pair(candidate: Sequence[StartWindow], stable: Sequence[StartWindow]) -> Paired:
    """Bring both sides onto the same windows; a window one side lacks has no episodes there."""
    by_start = [{window.start: window for window in side} for side in (candidate, stable)]
    starts = sorted(by_start[0].keys() | by_start[1].keys())
    sides = [[side.get(start) or StartWindow(start, 0, 0) for start in starts] for side in by_start]
    return Paired(
        candidate=_strata(sides[0]),
        stable=_strata(sides[1]),
        candidate_missing=np.array([w.missing for w in sides[0]], dtype=np.float64),
        stable_missing=np.array([w.missing for w in sides[1]], dtype=np.float64),
        all_binary=all(_is_binary(w) for side in sides for w in side),
    )


def summary(windows: Sequence[StartWindow]) -> Sample:
    """One side over all its windows; for people, not for the verdict, which never pools over time."""
    episodes = sum(w.count for w in windows)
    total = math.fsum(w.count * w.mean for w in windows if w.mean is not None)
    return Sample(episodes, total / episodes if episodes else None, sum(w.missing for w in windows))


def _strata(windows: Sequence[StartWindow]) -> Strata:
    return Strata(
        count=np.array([w.count for w in windows], dtype=np.float64),
        mean=np.array([0.0 if w.mean is None else w.mean for w in windows], dtype=np.float64),
        m2=np.array([w.m2 for w in windows], dtype=np.float64),
    )


def _is_binary(window: StartWindow) -> bool:
    if window.count == 0 or window.mean is None:
        return True
    if window.low is None or window.high is None or window.low < 0 or window.high > 1:
        return False
    # Between 0 and 1 the sum of squares equals the sum only if every value is 0 or 1.
    return bool(abs(window.m2 - window.count * window.mean * (1 - window.mean)) <= 1e-9 * max(1, window.count))
