"""What a verdict is reached from, and what it is reported with.

Start windows come from the logbook, which has already settled which episodes count: those that ended within
`grace` of their own start; all others that started at least `grace` ago are missing. Without a grace "missing" has
no meaning, so there is no way to build these values from episodes that merely finished.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

import numpy as np

from belay_api.reasons import Verdict
from belay_api.rollout.compare import RangeOrigin
from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import Array, Bounds, Earlier, Outcomes
from belay_operator.rollout.analysis.blocks import Held
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.covariate import LEVELS, Covariate, EarlierCovariate, Side, sums
from belay_operator.rollout.analysis.regret import Regret

ROUNDING = 1e-6  # relative: a sum of many rewards, each a float32, may be that much beyond what they can be
MISSING_MARGIN = Margin(0.10, relative=False)  # of episodes: as much as the usual allowed regression could hide behind


class Better(Enum):
    """Which way an outcome should go."""

    MORE = 1
    LESS = -1


@dataclass(frozen=True, slots=True)
class Level:
    """A window's counted episodes of which stable's critic expected alike."""

    count: int  # at least 1
    mean: float
    m2: float
    low: float
    high: float


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
    levels: tuple[Level | None, ...] | None = None  # None: not known of every counted episode
    over: bool = False  # no more episodes will be counted here


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one outcome of the candidate is compared with stable's."""

    metric: str  # name in spec.analysis.metrics
    better: Better  # MORE for a return or success, LESS for violations
    margin: Margin  # what the candidate may be worse by and still pass
    certain: Range = field(default_factory=Range)  # between what every outcome lies, as far as that is known
    origin: tuple[RangeOrigin, RangeOrigin] = (RangeOrigin.SEEN, RangeOrigin.SEEN)  # of its low and its high
    max_regret: float | None = None  # what may be lost over the whole rollout, in the outcome's unit; None: any
    missing_margin: Margin = MISSING_MARGIN  # what either side may miss more of its episodes, and still pass
    looks: bool = False  # what is compared are looks at a number, of which none can go missing; else episodes
    users: bool = False  # each episode is the first of another user, and all that count of her

    @property
    def counted(self) -> str:
        """What is counted, for people."""
        return "looks" if self.looks else "users" if self.users else "episodes"

    def __post_init__(self) -> None:
        if not self.margin.value > 0:
            raise ValueError(
                f"metric {self.metric}: the allowed regression is {self.margin.value}, wanted above 0. That a "
                "candidate is not worse by as much as nothing can never be shown; state the smallest difference that "
                "matters."
            )
        low, high = self.certain.low, self.certain.high
        if low is not None and high is not None and not low < high:
            raise ValueError(f"metric {self.metric}: the range is from {low:g} to {high:g}, wanted low below high")


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
    range: tuple[float, float] | None = None  # outcomes beyond are not protected against
    range_from: tuple[RangeOrigin, RangeOrigin] | None = None  # where either end of it comes from
    explained: float | None = None  # share of the spread that a covariate takes away; None: judged without one
    grace_too_short: bool = False  # too many episodes were reported late for anything to be decided
    held: Held | None = None  # of a limit: what it rests on
    regret: Regret | None = None  # what was lost so far; None: not asked for, or no episodes of both sides count yet


@dataclass(frozen=True, slots=True)
class Paired:
    """Both sides' windows as arrays over the same starts, oldest first."""

    candidate: Outcomes
    stable: Outcomes
    candidate_missing: Array
    stable_missing: Array

    def silences(self) -> tuple[Outcomes, Outcomes]:
        """Whether an episode is missing (1) or not (0), over all that started."""
        return (
            flags(self.candidate_missing, self.candidate.count + self.candidate_missing),
            flags(self.stable_missing, self.stable.count + self.stable_missing),
        )

    def reference(self) -> tuple[float, float]:
        """Return stable's mean under the candidate's weights, and its standard error; NaN where nothing is shared."""
        weight = self._weight()
        if weight is None:
            return math.nan, math.nan
        variance = self.stable.m2.sum() / max(float(np.maximum(self.stable.count - 1, 0).sum()), 1.0)
        error = math.sqrt(float((weight**2 * variance / np.maximum(self.stable.count, 1)).sum()))
        return float((weight * self.stable.mean).sum()), error

    def difference(self) -> float | None:
        """Return candidate minus stable within the same windows, weighted with the candidate's counts."""
        weight = self._weight()
        return None if weight is None else float((weight * (self.candidate.mean - self.stable.mean)).sum())

    def _weight(self) -> Array | None:
        """The candidate's share of its episodes in each window that both sides have; None: there is no such window."""
        both = (self.candidate.count > 0) & (self.stable.count > 0)
        weight = np.where(both, self.candidate.count, 0.0)
        return weight / weight.sum() if both.any() else None


def flags(ones: Array, total: Array) -> Outcomes:
    """Return 0/1 outcomes as what a window says of them."""
    mean = ones / np.maximum(total, 1.0)
    return Outcomes(
        total, mean, total * mean * (1 - mean), np.where(ones < total, 0.0, 1.0), np.where(ones > 0, 1.0, 0.0)
    )


def pair(candidate: Sequence[StartWindow], stable: Sequence[StartWindow]) -> Paired:
    """Bring both sides onto the same windows; a window one side lacks has no episodes there."""
    by_start = [{window.start: window for window in side} for side in (candidate, stable)]
    starts = sorted(by_start[0].keys() | by_start[1].keys())
    sides = [[side.get(start) or StartWindow(start, 0, 0) for start in starts] for side in by_start]
    outcomes = [_outcomes(side) for side in sides]
    if any(window.levels is not None for side in sides for window in side):
        outcomes = [replace(it, covariate=_covariate(side)) for it, side in zip(outcomes, sides, strict=True)]
    return Paired(
        candidate=outcomes[0],
        stable=outcomes[1],
        candidate_missing=_array(w.missing for w in sides[0]),
        stable_missing=_array(w.missing for w in sides[1]),
    )


def earlier(windows: Sequence[StartWindow], level_of: Sequence[StartWindow]) -> Earlier | None:
    """Return what windows before the first one say; None: too little.

    Args:
        windows: Of either side: how far outcomes reach.
        level_of: Stable's: where they lie.
    """
    counted = [w for w in windows if w.count and w.low is not None and w.high is not None]
    own = [w for w in level_of if w.count and w.mean is not None]
    free = sum(w.count - 1 for w in own)
    if free < 1:
        return None
    episodes = sum(w.count for w in own)
    return Earlier(
        mean=math.fsum(w.count * (w.mean or 0.0) for w in own) / episodes,
        spread=math.sqrt(math.fsum(w.m2 for w in own) / free),
        low=min(w.low for w in counted if w.low is not None),
        high=max(w.high for w in counted if w.high is not None),
        covariate=_earlier_covariate(own),
    )


def _earlier_covariate(windows: Sequence[StartWindow]) -> EarlierCovariate | None:
    """What windows of stable say of the covariate; None: one of them does not know it."""
    if any(w.levels is None for w in windows):
        return None
    free, outcome_m2, m2, cross = (float(part.sum()) for part in sums(_side(windows)))
    return EarlierCovariate(free, outcome_m2, m2, cross)


def summary(windows: Sequence[StartWindow]) -> Sample:
    """One side over all its windows; for people, not for the verdict, which never pools over time."""
    episodes = sum(w.count for w in windows)
    total = math.fsum(w.count * w.mean for w in windows if w.mean is not None)
    return Sample(episodes, total / episodes if episodes else None, sum(w.missing for w in windows))


def broken(certain: Range, candidate: Outcomes, stable: Outcomes) -> tuple[bool, bool]:
    """Whether an outcome lies where the bet for Fail, and the one for Pass, was promised that none does.

    Fail rests on the upper end of the candidate and the lower of stable, Pass on the other two.
    """
    slack = ROUNDING * max(abs(certain.low or 0.0), abs(certain.high or 0.0))
    too_low = [
        bool((side.low[side.count > 0] < certain.low - slack).any()) if certain.low is not None else False
        for side in (candidate, stable)
    ]
    too_high = [
        bool((side.high[side.count > 0] > certain.high + slack).any()) if certain.high is not None else False
        for side in (candidate, stable)
    ]
    return too_high[0] or too_low[1], too_low[0] or too_high[1]


def ends(bounds: Bounds) -> tuple[float, float]:
    """Return the ends that hold for the last window."""
    return float(bounds.low[..., -1]), float(bounds.high[..., -1])


def _outcomes(windows: Sequence[StartWindow]) -> Outcomes:
    means = _array(0.0 if w.mean is None else w.mean for w in windows)
    return Outcomes(
        count=_array(w.count for w in windows),
        mean=means,
        m2=_array(w.m2 for w in windows),
        low=_array(mean if w.low is None else w.low for w, mean in zip(windows, means, strict=True)),
        high=_array(mean if w.high is None else w.high for w, mean in zip(windows, means, strict=True)),
    )


def _covariate(windows: Sequence[StartWindow]) -> Covariate:
    none = Level(0, 0.0, 0.0, 0.0, 0.0)
    told = [[level or none for level in w.levels or (none,) * LEVELS.size] for w in windows]
    count, mean, m2, low, high = (
        np.array([[getattr(level, part) for level in levels] for levels in told], dtype=np.float64).reshape(
            -1, LEVELS.size
        )
        for part in ("count", "mean", "m2", "low", "high")
    )
    return Covariate(
        known=np.array([w.levels is not None or not w.count for w in windows], dtype=bool),
        over=np.array([w.over for w in windows], dtype=bool),
        count=count,
        mean=mean,
        m2=m2,
        low=low,
        high=high,
    )


def _side(windows: Sequence[StartWindow]) -> Side:
    outcomes = _outcomes(windows)
    return Side(outcomes.count, outcomes.mean, outcomes.m2, _covariate(windows))


def _array(values: Iterable[float]) -> Array:
    return np.fromiter(values, dtype=np.float64)
