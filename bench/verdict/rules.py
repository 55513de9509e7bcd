"""What each rule says at every look, for many rollouts at once.

`belay` calls the operator's own functions over arrays; `run.py` puts a sample of the same looks through `judge`, the
function the operator calls, and fails when they differ. `naive` are the rules people write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from belay_operator.rollout.analysis.bet import Earlier, Outcomes
from belay_operator.rollout.analysis.bounds import bounds
from belay_operator.rollout.analysis.budget import Budget
from belay_operator.rollout.analysis.covariate import LEVELS, Covariate, EarlierCovariate
from belay_operator.rollout.analysis.evidence import Comparison, flags
from belay_operator.rollout.analysis.race import Filling, Race
from belay_operator.rollout.analysis.verdict import CLEAR_OF_ZERO, silence
from verdict.world import Episodes, Floats

Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

LEVEL = range(LEVELS.size)  # of the covariate
LAST = 100  # episodes of the rolling mean in the usual rule
WELCH_FLOOR = 30
WELCH_ONE_PERCENT = 2.326  # one-sided normal quantile


@dataclass(frozen=True, slots=True)
class Schedule:
    """When is looked, and how episodes are cut; seconds."""

    duration: float
    look: float
    window: float
    grace: float
    cuts: tuple[float, ...] = ()  # windows end here as well

    @property
    def looks(self) -> Floats:
        """Times of the looks, the last at the end."""
        return np.arange(self.look, self.duration + self.look / 2, self.look)

    @property
    def windows(self) -> Floats:
        """Where windows begin."""
        return np.union1d(np.arange(0, self.duration, self.window), self.cuts)

    @property
    def bins(self) -> Floats:
        """Where the shortest pieces of time begin that no look and no window divides."""
        return np.union1d(np.arange(0, self.duration, self.look), self.windows)

    @property
    def window_of_bin(self) -> Places:
        """Index of the window that a bin belongs to."""
        return np.searchsorted(self.windows, self.bins, side="right") - 1

    @property
    def last_bins(self) -> Places:
        """Index of the last bin of each window."""
        return np.searchsorted(self.window_of_bin, np.arange(self.windows.size), side="right") - 1

    @property
    def ripe(self) -> Places:
        """How many bins at each look hold starts that are all at least `grace` ago, to a whole look."""
        lag = np.ceil(self.grace / self.look)
        return np.searchsorted(self.bins, self.look * np.maximum(np.arange(1, self.looks.size + 1) - lag, 0))


@dataclass(frozen=True, slots=True)
class SoFar:
    """One side's episodes from the start of a window up to the end of each of its bins: (rollout, bin)."""

    count: Floats
    missing: Floats
    mean: Floats
    m2: Floats
    low: Floats
    high: Floats
    covariate: Covariate | None = None  # `over`: at the window's end

    def at(self, places: Places | slice) -> SoFar:
        """Return the same at the end of these bins."""
        kept = {field.name: getattr(self, field.name)[:, places] for field in fields(self)[:-1]}
        x = self.covariate
        if x is None:
            return SoFar(**kept)
        return SoFar(**kept, covariate=Covariate(*(getattr(x, field.name)[:, places] for field in fields(x))))

    def outcomes(self) -> Outcomes:
        """As the bet takes them."""
        return Outcomes(self.count, self.mean, self.m2, self.low, self.high, self.covariate)

    def silences(self) -> Outcomes:
        """1 for an episode that is missing."""
        return flags(self.missing, self.count + self.missing)


def so_far(episodes: Episodes, *, candidate: bool, schedule: Schedule, rollouts: int) -> SoFar:
    """Sort one side's episodes into the bins of their start and add them up within each window."""
    side = episodes.of_candidate == candidate
    starts, window = schedule.bins, schedule.window_of_bin
    key = episodes.rollout[side] * starts.size + np.searchsorted(starts, episodes.start[side], side="right") - 1
    counts = episodes.end[side] - episodes.start[side] <= schedule.grace
    value = episodes.value[side]
    pivot = value.mean() if value.size else 0.0  # squares of what is left lose no digits
    shape = (rollouts, starts.size)

    def added(weights: Floats) -> Floats:
        return np.bincount(key, weights, minlength=rollouts * starts.size).reshape(shape)

    first = np.concatenate(([True], window[1:] != window[:-1]))

    def running(values: Floats, join: np.ufunc) -> Floats:
        for place in np.flatnonzero(~first):
            values[:, place] = join(values[:, place - 1], values[:, place])
        return values

    def extreme(join: np.ufunc, nothing: float) -> Floats:
        values = np.full(rollouts * starts.size, nothing)
        join.at(values, key[counts], value[counts])
        return running(values.reshape(shape), join)

    count, missing, total, squares = (
        running(added(np.where(counts, part, other)), np.add)
        for part, other in ((1.0, 0.0), (0.0, 1.0), (value - pivot, 0.0), ((value - pivot) ** 2, 0.0))
    )
    mean = total / np.maximum(count, 1)
    m2, low, high = np.maximum(squares - total * mean, 0), extreme(np.minimum, np.inf), extreme(np.maximum, -np.inf)
    low, high = (np.where(count > 0, end, 0.0) for end in (low, high))
    found = SoFar(count, missing, np.where(count > 0, mean + pivot, 0.0), m2, low, high)
    if episodes.level is None:
        return found
    levels = [_levels(episodes, level, candidate=candidate, schedule=schedule, rollouts=rollouts) for level in LEVEL]
    over = np.broadcast_to(np.concatenate((window[1:] != window[:-1], [True])), shape)
    parts = (np.stack([getattr(it, name) for it in levels], axis=-1) for name in ("count", "mean", "m2", "low", "high"))
    return replace(found, covariate=Covariate(np.ones(shape, bool), over, *parts))


def _levels(episodes: Episodes, level: int, *, candidate: bool, schedule: Schedule, rollouts: int) -> SoFar:
    """The same of the episodes of one level of the covariate alone."""
    of = episodes.level == level
    part = Episodes(*(getattr(episodes, name)[of] for name in ("rollout", "of_candidate", "start", "end", "value")))
    return so_far(part, candidate=candidate, schedule=schedule, rollouts=rollouts)


@dataclass(frozen=True, slots=True)
class Course:
    """What Belay said, per rollout and look."""

    failed: Flags
    passed: Flags


def earlier_of(returns: Floats, level: Places | None) -> Earlier | None:
    """What stable's returns before the first window say, (rollout, episode) or (episode); None: there are none."""
    if not returns.shape[-1]:
        return None
    keep = returns.ndim > 1  # arrays with an axis for the windows, where there is one rollout each
    mean, spread = returns.mean(axis=-1, keepdims=keep), returns.std(axis=-1, ddof=1, keepdims=keep)
    found = Earlier(mean, spread, returns.min(axis=-1, keepdims=keep), returns.max(axis=-1, keepdims=keep))
    if level is None:
        return found
    off, off_x = (part - part.mean(axis=-1, keepdims=True) for part in (returns, LEVELS[level]))
    sums = ((a * b).sum(axis=-1, keepdims=keep) for a, b in ((off, off), (off_x, off_x), (off, off_x)))
    return replace(found, covariate=EarlierCovariate(returns.shape[-1] - 1.0, *sums))


def belay(
    candidate: SoFar,
    stable: SoFar,
    *,
    schedule: Schedule,
    comparison: Comparison,
    budget: Budget,
    before: tuple[Floats, Places | None],
) -> Course:
    """Run the operator's tests at every look: an outcome of which more is better, and the missing rate.

    Args:
        before: Stable's returns before the first window and the levels of their covariate, (rollout, episode).
    """
    full = [side.at(schedule.last_bins) for side in (candidate, stable)]

    def at_looks(evidence: Callable[[Filling], Floats], part: Callable[[SoFar], Outcomes]) -> Floats:
        return evidence_at_looks((candidate, stable), schedule, evidence, part)

    ours, theirs = (side.silences() for side in full)
    race, swapped = silence(ours, theirs), silence(theirs, ours)

    def mirrored(side: SoFar) -> Outcomes:
        return side.silences().mirrored()

    silent = at_looks(race.worse, mirrored) >= np.log(1 / budget.missing)
    spoken = at_looks(race.better, mirrored) >= np.log(1 / budget.wrong_promotion)
    spoken &= at_looks(lambda filling: swapped.better(filling[::-1]), mirrored) >= np.log(1 / budget.wrong_promotion)

    certain = comparison.certain
    race = race_of_outcomes(full, comparison, before)
    worse = at_looks(race.worse, SoFar.outcomes) >= np.log(1 / budget.outcome)
    better = at_looks(race.better, SoFar.outcomes) >= np.log(1 / budget.wrong_promotion)
    if certain.low is None or certain.high is None:
        better &= _clear_of_zero(candidate, stable, schedule=schedule)
    failed = silent | worse
    return Course(failed, better & spoken & ~failed)


def evidence_at_looks(
    sides: tuple[SoFar, SoFar],
    schedule: Schedule,
    evidence: Callable[[Filling], Floats],
    part: Callable[[SoFar], Outcomes],
) -> Floats:
    """Return the evidence at every look: of the windows that are full, and what has come of the one that is not."""
    window, ripe, ends = schedule.window_of_bin, schedule.ripe, schedule.last_bins
    said = np.full((sides[0].count.shape[0], ripe.size), -np.inf)
    looks = np.flatnonzero(ripe)
    of = window[ripe[looks] - 1]
    rank = np.arange(looks.size) - np.searchsorted(of, of)  # which look into the same window
    for again in range(rank.max() + 1):
        now = rank == again
        places = ends.copy()
        places[of[now]] = ripe[looks[now]] - 1
        found = evidence((part(sides[0].at(places)), part(sides[1].at(places))))
        said[:, looks[now]] = found[:, of[now]]
    return said


def race_of_outcomes(full: Sequence[SoFar], comparison: Comparison, before: tuple[Floats, Places | None]) -> Race:
    """Return the operator's two bets on windows that are full: an outcome of which more is better."""
    sides, earlier = (full[0].outcomes(), full[1].outcomes()), earlier_of(*before)
    reach = bounds(comparison.certain, comparison.margin, *sides, earlier)
    return Race(comparison.margin, *sides, reach, earlier)


def episodes_at_looks(side: SoFar, schedule: Schedule) -> Floats:
    """How many of one side count at each look, per rollout."""
    return total_at_looks(side.count, schedule)


def _clear_of_zero(candidate: SoFar, stable: SoFar, *, schedule: Schedule) -> Flags:
    """Whether stable's mean, under the candidate's weights, is away from 0, per rollout and look."""
    both = (candidate.count > 0) & (stable.count > 0)
    weight = np.where(both, candidate.count, 0.0)
    parts = (
        weight,
        weight * stable.mean,
        weight**2 / np.maximum(stable.count, 1),
        stable.m2,
        np.maximum(stable.count - 1, 0),
    )
    total, mean, square, m2, free = (total_at_looks(part, schedule) for part in parts)
    error = np.sqrt(square * m2 / np.maximum(free, 1))
    return (total > 0) & (np.abs(mean) > CLEAR_OF_ZERO * error)


def total_at_looks(values: Floats, schedule: Schedule) -> Floats:
    """Return sums over all windows so far, the last as far as it has come, at every look."""
    window = schedule.window_of_bin
    last = np.concatenate((window[1:] != window[:-1], [True]))
    done = np.cumsum(np.where(last, values, 0.0), axis=1)
    at_bins = done + np.where(last, 0.0, values)
    ripe = schedule.ripe
    return np.where(ripe > 0, at_bins[:, np.maximum(ripe - 1, 0)], 0.0)


def naive(episodes: Episodes, *, looks: Floats, rollouts: int) -> dict[str, Flags]:
    """What rules over finished episodes say, per rollout and look: whether it rolls back."""
    seen = [Finished.of(episodes, candidate=side, looks=looks, rollouts=rollouts) for side in (True, False)]
    last = [finished.mean_of_last(LAST) for finished in seen]
    enough = seen[0].count >= LAST
    rolling = enough & (last[0] < 0.9 * last[1])

    mean, error = zip(*(finished.moments() for finished in seen), strict=True)
    difference, both = mean[0] - mean[1], np.sqrt(error[0] + error[1])
    ready = np.minimum(seen[0].count, seen[1].count) >= WELCH_FLOOR
    return {"last_100": rolling, "welch": ready & (difference < -WELCH_ONE_PERCENT * both)}


@dataclass(frozen=True, slots=True)
class Finished:
    """One side's finished episodes in order of their end, as people count them; counts per rollout and look."""

    value: Floats  # of all rollouts, one after the other
    first: Places  # (rollout, 1): index of each rollout's first episode
    count: Places
    sums: Floats  # running, with a 0 before the first
    squares: Floats

    @classmethod
    def of(cls, episodes: Episodes, *, candidate: bool, looks: Floats, rollouts: int) -> Finished:
        """Return those that end while it is looked at, and in time for each look."""
        side = (episodes.of_candidate == candidate) & np.isfinite(episodes.end)
        span = looks[-1] * 2
        key = episodes.rollout[side] * span + np.minimum(episodes.end[side], span * 0.99)
        order = np.argsort(key)
        value = episodes.value[side][order]
        base = np.arange(rollouts)[:, np.newaxis] * span
        first = np.searchsorted(key[order], base)
        count = np.searchsorted(key[order], base + looks[np.newaxis]) - first
        sums, squares = (np.concatenate(([0.0], np.cumsum(v))) for v in (value, value**2))
        return cls(value, first, count, sums, squares)

    def mean_of_last(self, number: int) -> Floats:
        """Mean of the last so many, or of as many as there are."""
        stop = self.first + self.count
        taken = np.minimum(self.count, number)
        return (self.sums[stop] - self.sums[stop - taken]) / np.maximum(taken, 1)

    def totals(self) -> tuple[Floats, Floats]:
        """Sum and sum of squares of all finished so far."""
        stop = self.first + self.count
        return self.sums[stop] - self.sums[self.first], self.squares[stop] - self.squares[self.first]

    def moments(self) -> tuple[Floats, Floats]:
        """Mean and squared standard error of all finished so far."""
        (total, squares), count = self.totals(), np.maximum(self.count, 2)
        mean = total / count
        return mean, np.maximum(squares - count * mean**2, 0) / (count - 1) / count
