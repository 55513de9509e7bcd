"""What each rule says at every look, for many rollouts at once.

`belay` calls the operator's own functions over arrays; `run.py` puts a sample of the same looks through `judge`, the
function the operator calls, and fails when they differ. The others are the rules people write.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belay_operator.rollout.analysis.betting import Counts, Wealth
from belay_operator.rollout.analysis.budget import Budget
from belay_operator.rollout.analysis.sequential import Difference, Strata, bound_width, boundary, stratified_difference
from belay_operator.rollout.analysis.verdict import MISSING_MARGIN
from verdict.world import Episodes, Floats

Flags = NDArray[np.bool_]

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

    @property
    def looks(self) -> Floats:
        """Times of the looks, the last at the end."""
        return np.arange(self.look, self.duration + self.look / 2, self.look)


@dataclass(frozen=True, slots=True)
class Bins:
    """One side's episodes that count and that are missing, per rollout and look period of their start."""

    count: Floats
    missing: Floats
    total: Floats
    squares: Floats

    def window(self, first: int, stop: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Count, mean, m2 and missing of the periods first..stop, per rollout."""
        count, missing, total, squares = (
            part[:, first:stop].sum(axis=1) for part in (self.count, self.missing, self.total, self.squares)
        )
        mean = total / np.maximum(count, 1)
        return count, mean, np.maximum(squares - count * mean**2, 0), missing


def bins(episodes: Episodes, *, candidate: bool, schedule: Schedule, rollouts: int) -> Bins:
    """Sort one side's episodes into look periods by their start."""
    side = episodes.of_candidate == candidate
    periods = schedule.looks.size
    key = episodes.rollout[side] * periods + (episodes.start[side] / schedule.look).astype(np.int64)
    counts = episodes.end[side] - episodes.start[side] <= schedule.grace
    value = np.where(counts, episodes.value[side], 0.0)

    def added(weights: Floats) -> Floats:
        return np.bincount(key, weights, minlength=rollouts * periods).reshape(rollouts, periods)

    return Bins(added(counts.astype(float)), added((~counts).astype(float)), added(value), added(value**2))


@dataclass(frozen=True, slots=True)
class Course:
    """What Belay said, per rollout and look."""

    failed: Flags
    passed: Flags
    episodes: Floats  # the candidate's that counted


def belay(candidate: Bins, stable: Bins, *, schedule: Schedule, budget: Budget, margin: float, binary: bool) -> Course:
    """Run the operator's tests at every look: return or success against stable, and the missing rate."""
    rollouts, periods = candidate.count.shape
    per_window, lag = round(schedule.window / schedule.look), round(schedule.grace / schedule.look)
    windows = -(-periods // per_window)
    sides = [[np.zeros((rollouts, windows)) for _ in range(4)] for _ in range(2)]
    failed, passed = np.zeros((2, rollouts, periods), dtype=bool)
    episodes = np.zeros((rollouts, periods))

    fail, wrong = np.log(1 / budget.outcome), np.log(1 / budget.wrong_promotion)
    silent, spoken = Wealth.start(), Wealth.start(shift=-MISSING_MARGIN)
    worse, better = Wealth.start(), Wealth.start(factor=1 - margin)
    for period in range(periods):
        ripe = period + 1 - lag  # look periods whose starts are at least grace ago
        if ripe <= 0:
            continue
        window = (ripe - 1) // per_window
        only = slice(window, window + 1)
        for side, source in zip(sides, (candidate, stable), strict=True):
            for target, now in zip(side, source.window(window * per_window, ripe), strict=True):
                target[:, window] = now
        (n_c, mean_c, _, gone_c), (n_s, mean_s, _, gone_s) = sides

        missing = (
            Counts(gone_c[:, only], (gone_c + n_c)[:, only]),
            Counts(gone_s[:, only], (gone_s + n_s)[:, only]),
        )
        silent_now, spoken_now = silent.after(*missing), spoken.after(missing[0].flipped(), missing[1].flipped())
        not_silent = spoken_now.log >= wrong
        failed[:, period] = silent_now.log >= np.log(1 / budget.missing)
        if binary:
            ones = [Counts((n * m)[:, only], n[:, only]) for n, m in ((n_c, mean_c), (n_s, mean_s))]
            worse_now, better_now = worse.after(ones[0].flipped(), ones[1].flipped()), better.after(*ones)
            failed[:, period] |= worse_now.log >= fail
            passed[:, period] = (better_now.log >= wrong) & not_silent
        else:
            upto = slice(0, window + 1)
            strata = [Strata(s[0][:, upto], s[1][:, upto], s[2][:, upto]) for s in sides]
            difference = stratified_difference(*strata)
            factor = 1 - margin * np.sign(difference.reference)
            scaled = stratified_difference(*strata, factor=factor)
            clear = np.abs(difference.reference) > difference.reference_error * _multiple(difference, budget)
            failed[:, period] |= difference.value + bound_width(difference, alpha=budget.outcome) < 0
            passed[:, period] = scaled.value - bound_width(scaled, alpha=budget.wrong_promotion) > 0
            passed[:, period] &= clear & not_silent
        episodes[:, period] = n_c.sum(axis=1)
        if ripe % per_window == 0:  # this window is full, its wealth is carried on
            silent, spoken = silent_now, spoken_now
            if binary:
                worse, better = worse_now, better_now
    passed &= ~failed
    return Course(failed, passed, episodes)


def naive(episodes: Episodes, *, schedule: Schedule, rollouts: int, alpha: float) -> dict[str, Flags]:
    """What rules over finished episodes say, per rollout: whether each ever rolls back."""
    looks = schedule.looks
    seen = [_Finished.of(episodes, candidate=side, looks=looks, rollouts=rollouts) for side in (True, False)]
    last = [finished.mean_of_last(LAST) for finished in seen]
    enough = seen[0].count >= LAST
    rolling = enough & (last[0] < 0.9 * last[1])

    mean, error = zip(*(finished.moments() for finished in seen), strict=True)
    difference, both = mean[0] - mean[1], np.sqrt(error[0] + error[1])
    ready = np.minimum(seen[0].count, seen[1].count) >= WELCH_FLOOR
    welch = ready & (difference < -WELCH_ONE_PERCENT * both)
    smaller = np.where(ready, np.minimum(seen[0].count, seen[1].count), 1)
    pooled = ready & (difference + both * boundary(smaller, alpha=alpha, tightest_at=100) < 0)
    return {"last_100": rolling.any(axis=1), "welch": welch.any(axis=1), "finished": pooled.any(axis=1)}


@dataclass(frozen=True, slots=True)
class _Finished:
    """One side's finished episodes in order of their end, as running sums; counts per rollout and look."""

    count: Floats
    first: Floats  # index of each rollout's first episode
    sums: Floats
    squares: Floats

    @classmethod
    def of(cls, episodes: Episodes, *, candidate: bool, looks: Floats, rollouts: int) -> _Finished:
        side = (episodes.of_candidate == candidate) & np.isfinite(episodes.end)
        span = looks[-1] * 2
        key = episodes.rollout[side] * span + np.minimum(episodes.end[side], span * 0.99)
        order = np.argsort(key)
        value = episodes.value[side][order]
        base = np.arange(rollouts)[:, np.newaxis] * span
        first = np.searchsorted(key[order], base)
        count = np.searchsorted(key[order], base + looks[np.newaxis]) - first
        sums, squares = (np.concatenate(([0.0], np.cumsum(v))) for v in (value, value**2))
        return cls(count, first, sums, squares)

    def mean_of_last(self, number: int) -> Floats:
        stop = self.first + self.count
        taken = np.minimum(self.count, number)
        return (self.sums[stop] - self.sums[stop - taken]) / np.maximum(taken, 1)

    def moments(self) -> tuple[Floats, Floats]:
        """Mean and squared standard error of all finished so far."""
        stop, count = self.first + self.count, np.maximum(self.count, 2)
        mean = (self.sums[stop] - self.sums[self.first]) / count
        m2 = np.maximum(self.squares[stop] - self.squares[self.first] - count * mean**2, 0)
        return mean, m2 / (count - 1) / count


def _multiple(difference: Difference, budget: Budget) -> Floats:
    return boundary(np.maximum(difference.count, 1), alpha=budget.wrong_promotion, tightest_at=100)
