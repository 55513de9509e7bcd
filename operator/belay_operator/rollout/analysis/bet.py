"""Whether a candidate's mean outcome is better or worse than a multiple of stable's, by betting on each window.

A gambler bets against a claim such as "the candidate is not worse", on odds that are fair while the claim holds. Then
wealth of 1/alpha is reached with probability at most alpha, at any look, for any number of episodes and any shape of
the outcomes within their range. No normal approximation, no floor, and 0/1 outcomes are not another case.

A candidate episode x pays 1 + s y with y = d (1-r) (x - c), a stable one with y = -d r (f x + shift - c): r is the
candidate's share of the window's episodes, d the direction, f and shift the claim's; centre c and stake s are set by
earlier windows only. Under the claim r E[candidate's pay] + (1-r) E[stable's pay] <= 1, and so is the expected product.

The single episodes are not known, only count, mean, M2, smallest and largest of a window. `least_gain` is the least
that any sample with these can have paid; for 0/1 outcomes and up to three episodes it is exactly what they paid.

Everything takes arrays with windows on the last axis and any leading axes, so that `bench/verdict` runs the same code
over thousands of rollouts at once. More is better here; who judges a cost mirrors it (`Outcomes.mirrored`).

Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024) 1-27; Turner,
Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for optional stopping", J. Stat.
Planning and Inference 230 (2024) 106116 (two samples in blocks); Karlin & Studden, "Tchebycheff Systems" (1966) for
the extremal sample. Windows instead of episodes, and money over time, are ours: docs/decisions/021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.covariate import (
    END,
    FRACTIONS,
    LEVELS,
    Adjustment,
    Covariate,
    EarlierCovariate,
    Side,
    adjustment,
)

Array = NDArray[np.float64]

LEAST_AIM = 0.1  # standard deviations: a share of a mean near 0 is nothing to aim at
MEMORY = 0.7  # weight of a window against the one after it, where the present level is asked for
PRIOR_EPISODES = 20.0  # what is known beforehand counts like so many
CAP = 0.95  # of the stake at which the worst outcome in range would cost everything
_LOST = -1e3  # log gain of a bet that an outcome beyond its range has lost
FORGOTTEN = 128  # windows


class Direction(IntEnum):
    """What the gambler says of the candidate's mean."""

    BETTER = 1  # above what is claimed
    WORSE = -1  # below it


@dataclass(frozen=True, slots=True)
class Purse:
    """What a gambler's money is laid out on."""

    aims: Array  # stakes are best where the truth is this many margins from the claim
    money: Array  # of it on each
    at_first: float = 1.0  # of it before the first window
    half_after: float = 1.0  # windows after which half of the rest is laid out; after k times as many 1/(k+1) is left


PURSES = {
    # A first aim beyond the margin is what spares candidates that are worse by a third of it; fresh money is what finds
    # one that turns late. Both cost episodes where the whole margin is missed from the start: docs/decisions/021.
    Direction.WORSE: Purse(np.array([1.1, 2.0]), np.array([0.8, 0.2]), at_first=0.9, half_after=20.0),
    Direction.BETTER: Purse(np.array([1.0, 2.0]), np.array([0.7, 0.3])),
}


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One side's counted episodes per window; arrays of equal shape."""

    count: Array
    mean: Array  # any finite number where count is 0, and so are the next three
    m2: Array  # sum of squared deviations from the mean
    low: Array
    high: Array
    covariate: Covariate | None = None  # None: there is none

    def mirrored(self) -> Outcomes:
        """Return the outcomes with the sign turned: less becomes more."""
        covariate = None if self.covariate is None else self.covariate.mirrored()
        return replace(self, mean=-self.mean, low=-self.high, high=-self.low, covariate=covariate)

    def at(self, windows: NDArray[np.intp]) -> Outcomes:
        """Return these windows alone."""
        count, mean, m2, low, high = (it[..., windows] for it in (self.count, self.mean, self.m2, self.low, self.high))
        covariate = None if self.covariate is None else self.covariate.at(windows)
        return Outcomes(count, mean, m2, low, high, covariate)

    def of_level(self, level: int) -> Outcomes:
        """Return the episodes of one level of the covariate. Raises: ValueError where there is none."""
        x = self.covariate
        if x is None:
            raise ValueError("the bet takes off a covariate that the windows do not have")
        return Outcomes(
            x.count[..., level], x.mean[..., level], x.m2[..., level], x.low[..., level], x.high[..., level]
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what the outcomes of a window lie, known before it; broadcast over windows and rollouts."""

    low: Array
    high: Array

    def mirrored(self) -> Bounds:
        """Return the bounds of the outcomes with the sign turned."""
        return Bounds(-self.high, -self.low)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was seen of such outcomes before the first window. Where it misleads it costs power, never validity."""

    mean: float  # stable's
    spread: float  # standard deviation
    low: float
    high: float
    covariate: EarlierCovariate | None = None  # None: there is none, or not of all of them
    elsewhere: bool = False  # in training: its outcomes may be of another kind than those that are reported here

    def mirrored(self) -> Earlier:
        """Return the same of the outcomes with the sign turned."""
        covariate = None if self.covariate is None else self.covariate.mirrored()
        return replace(self, mean=-self.mean, low=-self.high, high=-self.low, covariate=covariate)


@dataclass(frozen=True, slots=True)
class Bet:
    """The stakes on every window, each set by the windows before it. Axes (…, window), stakes (…, window, aim)."""

    direction: Direction
    factor: Array
    shift: Array  # (…, window, aim)
    centre: Array
    stake: Array
    slope: Array | None = None  # of the covariate, taken off the outcomes of a window unless it is 0; None: nowhere

    def at(self, windows: NDArray[np.intp]) -> Bet:
        """Return the stakes on these windows alone."""
        slope = None if self.slope is None else self.slope[..., windows]
        of_aims = self.shift[..., windows, :], self.centre[..., windows], self.stake[..., windows, :]
        return Bet(self.direction, self.factor[..., windows], *of_aims, slope)

    def log_gain(self, candidate: Outcomes, stable: Outcomes) -> Array:
        """Return what the windows multiply the money on each aim with, at least; 0 where a side has no episodes.

        Args:
            candidate, stable: The windows the stakes were set for, or what has come of them so far.
        """
        if self.slope is None:
            return self._gain(candidate, stable, adjusted=False)
        used, gain = self.slope != 0, np.zeros(self.stake.shape)
        by_window = used.reshape(-1, used.shape[-1])
        for adjusted, windows in ((False, ~by_window.all(axis=0)), (True, by_window.any(axis=0))):
            here = np.flatnonzero(windows)
            found = self.at(here)._gain(candidate.at(here), stable.at(here), adjusted=adjusted)
            gain[..., here, :] = np.where(_wide(used[..., here]) == adjusted, found, gain[..., here, :])
        return gain

    def _gain(self, candidate: Outcomes, stable: Outcomes, *, adjusted: bool) -> Array:
        d, total = float(self.direction), candidate.count + stable.count
        share = candidate.count / np.maximum(total, 1.0)
        on_c, on_s = _wide(d * (1 - share)), _wide(-d * share)

        def of_candidate(value: Array) -> Array:
            return on_c * _wide(value - self.centre)

        def of_stable(value: Array) -> Array:
            return on_s * (_wide(self.factor * value - self.centre) + self.shift)

        def least(side: Outcomes, pays: Callable[[Array], Array], scale: Array) -> Array:
            low, high = pays(side.low), pays(side.high)
            m2 = scale**2 * _wide(side.m2)
            paid = Outcomes(_wide(side.count), pays(side.mean), m2, np.minimum(low, high), np.maximum(low, high))
            return least_gain(paid, self.stake)

        def least_adjusted(side: Outcomes, pays: Callable[[Array], Array], on: Array, scale: Array) -> Array:
            """Level by level. It is taken off after the factor: the same off both sides, whatever its mean."""
            slope = np.zeros_like(share) if self.slope is None else self.slope
            gain = np.zeros(self.stake.shape)
            for level, value in enumerate(LEVELS):
                off = on * _wide(slope * value)
                gain += least(side.of_level(level), lambda outcome, off=off: pays(outcome) - off, scale)  # type: ignore[misc]
            return gain

        scale_s = on_s * _wide(self.factor)
        if adjusted:
            gain = least_adjusted(candidate, of_candidate, on_c, on_c)
            gain = gain + least_adjusted(stable, of_stable, on_s, scale_s)
        else:
            gain = least(candidate, of_candidate, on_c) + least(stable, of_stable, scale_s)
        both = (candidate.count > 0) & (stable.count > 0)
        return np.where(both[..., np.newaxis], gain, 0.0)


def place(
    direction: Direction,
    margin: Margin,
    candidate: Outcomes,
    stable: Outcomes,
    bounds: Bounds,
    *,
    earlier: Earlier | None,
    shift: ArrayLike | None = None,
    filling: tuple[Outcomes, Outcomes] | None = None,
    adjust: bool = True,
) -> Bet:
    """Return the stakes against a claim, window by window.

    WORSE bets against "in every window the candidate's mean is at least stable's". BETTER bets against "in every window
    it is at most stable's less the margin". With `shift` either bets against the claim that it is stable's and so much
    (of the leading shape, or of one put before it), which is what an interval asks.

    Args:
        earlier: None: nothing is known beforehand, and nothing is bet before one window has had both sides.
        filling: What has come of each window at a look into it: the stake there goes by the shares of that. None: all.
        adjust: Take the covariate off the outcomes where there is one and more is to be gained so, by what is known.
    """
    before = _before(candidate, stable, earlier)
    allowed = margin.value * (np.abs(before.level) if margin.relative else np.ones_like(before.level))
    aim = np.maximum(allowed, LEAST_AIM * np.sqrt(before.variance_s))
    factor, moved = np.ones_like(aim), np.zeros_like(aim)
    if shift is not None:
        moved = moved + np.asarray(shift, dtype=np.float64)[..., np.newaxis]
    elif direction is Direction.BETTER and margin.relative:
        # Worse by a share of |mean| is f = 1 - m where the mean is positive and 1 + m where it is negative. Whichever
        # is taken, the claim that is true of the smaller of the two is bet against: no sign has to be known.
        factor = 1 - margin.value * np.sign(before.level)
    elif direction is Direction.BETTER:
        moved = moved - margin.value

    total = candidate.count + stable.count
    now = (candidate.count, total) if filling is None else (filling[0].count, filling[0].count + filling[1].count)
    share = now[0] / np.maximum(now[1], 1.0)
    paid = candidate.count * candidate.mean + stable.count * (factor * stable.mean + moved)
    known = PRIOR_EPISODES * (before.guessed * (1 + factor[..., :1]) + moved[..., :1]) / 2
    centre = (known * MEMORY ** np.arange(total.shape[-1]) + discounted(paid)) / (before.prior + discounted(total))

    table = _Table(direction, shift is None, before, bounds, _wide(aim), allowed, factor, moved)
    off = adjusting(candidate, stable, earlier, filling) if adjust else None
    if off is not None:
        off = _most_growth(table, off, centre)
        centre = centre - off.slope * off.level
    stake, shifts, _ = table.stakes(share, centre, off)
    stake = np.where(before.known[..., np.newaxis], stake, 0.0)
    return Bet(direction, factor, shifts, centre, stake, None if off is None else off.slope)


def _most_growth(table: _Table, whole: Adjustment, centre: Array) -> Adjustment:
    """Return of each window the fraction of the adjustment that promises most, or none of it.

    By the share so far and not the window's own: what is chosen for a window must not turn while it fills.
    """
    most, chosen = table.stakes(whole.share, centre)[2], whole.less(0.0)
    for part in map(whole.less, FRACTIONS):
        growth = table.stakes(part.share, centre - part.slope * part.level, part)[2]
        better = whole.known & (part.slope != 0) & (growth > most)
        most, chosen = np.where(better, growth, most), chosen.where(better, part)
    return chosen


@dataclass(frozen=True, slots=True)
class _Table:
    """What is known of a claim when the stakes are set."""

    direction: Direction
    halves: bool  # move Fail's claim down where the stake is held down
    before: _Before
    bounds: Bounds
    aim: Array
    allowed: Array
    factor: Array
    moved: Array

    def stakes(self, share: Array, centre: Array, off: Adjustment | None = None) -> tuple[Array, Array, Array]:
        """Return stakes, shifts, and per window the growth they promise, up to a factor that is the same for all.

        Args:
            share: The candidate's of the episodes.
            off: How the outcomes are adjusted; None: not at all.
        """
        d, before, steps = float(self.direction), self.before, PURSES[self.direction].aims * self.aim
        left_c, left_s, reach = np.array(1.0), np.array(1.0), np.array(0.0)
        if off is not None:
            left_c, left_s, reach = 1 - off.explained_c, 1 - off.explained_s, END * np.abs(off.slope)
        variance = (1 - share) * before.variance_c * left_c + share * self.factor**2 * before.variance_s * left_s
        spread = _wide(variance) + _wide(share * (1 - share)) * steps**2
        on_c, on_s, c, f = _wide(d * (1 - share)), _wide(-d * share), _wide(centre), _wide(self.factor)
        low, high = (_wide(np.broadcast_to(bound, share.shape)) for bound in (self.bounds.low, self.bounds.high))

        def capped(stake: Array, shifts: Array) -> Array:
            ends = [on_c * (end - c) for end in (low, high)] + [on_s * (f * end + shifts - c) for end in (low, high)]
            beyond = [np.abs(on) * _wide(reach) for on in (on_c, on_s)]
            worst = -np.minimum(np.minimum(ends[0], ends[1]) - beyond[0], np.minimum(ends[2], ends[3]) - beyond[1])
            result: Array = np.minimum(stake, CAP / np.maximum(worst, 1e-12))
            return result

        shifts = _wide(self.moved)
        stake = capped(steps / np.maximum(spread, 1e-300), shifts)
        if self.direction is Direction.WORSE and self.halves:
            # A stake held down by wide bounds aims at less than the margin and would find candidates that are allowed.
            # Then the claim moves down, so that the bet grows only for one that is worse by more than half the margin.
            shifts = shifts - np.maximum(0.0, _wide(self.allowed) - stake * _wide(variance)) / 2
            stake = capped(stake, shifts)
        growth = stake * (steps + shifts - _wide(self.moved)) - stake**2 * spread / 2
        return stake, np.broadcast_to(shifts, stake.shape), growth @ PURSES[self.direction].money


def adjusting(
    candidate: Outcomes,
    stable: Outcomes,
    earlier: Earlier | None,
    filling: tuple[Outcomes, Outcomes] | None = None,
) -> Adjustment | None:
    """Return how the outcomes of each window can be adjusted; None: a side has no covariate. Arguments of `place`."""
    if candidate.covariate is None or stable.covariate is None:
        return None
    off = adjustment(
        Side(candidate.count, candidate.mean, candidate.m2, candidate.covariate),
        Side(stable.count, stable.mean, stable.m2, stable.covariate),
        None if earlier is None else earlier.covariate,
    )
    now = [side.covariate for side in (filling or ()) if side.covariate is not None]
    return replace(off, known=now[0].known & now[1].known) if now else off


def least_gain(y: Outcomes, stake: Array) -> Array:
    """Return the least sum of log(1 + stake y) over any values with these statistics.

    Both ends were seen, so one value is `low` and one is `high`. That fixes mean and M2 of the others, and up to three
    values altogether.
    """
    others = np.maximum(y.count - 2, 0.0)
    off_low, off_high = y.low - y.mean, y.high - y.mean
    moved = (off_low + off_high) / np.maximum(others, 1.0)
    m2 = np.maximum(y.m2 - off_low**2 - off_high**2 - others * moved**2, 0.0)
    rest = _least_gain_from(others, y.mean - moved, m2, y.low, stake)
    # What lies beyond the range can lose the whole bet: log 0.
    with np.errstate(divide="ignore"):
        alone, *ends = (np.log1p(np.maximum(stake * value, -1.0)) for value in (y.mean, y.low, y.high))
    gain = np.where(y.count >= 2, ends[0] + ends[1] + rest, np.where(y.count > 0, alone, 0.0))
    result: Array = np.maximum(gain, _LOST)
    return result


def _least_gain_from(count: Array, mean: Array, m2: Array, low: Array, stake: Array) -> Array:
    """Return the least over any `count` values of that mean and M2, none below `low`.

    The function has a positive third derivative, so the extremal sample has two values, one of them `low`.
    """
    variance = m2 / np.maximum(count, 1.0)
    gap = np.maximum(mean - low, np.maximum(1e-12 * np.abs(mean), 1e-150))
    weight = variance / (variance + gap**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.log1p(np.maximum(stake * (mean + variance / gap), -1.0))
        worst = np.where(weight > 0, np.log1p(np.maximum(stake * low, -1.0)), 0.0)
        gain = count * (weight * worst + (1 - weight) * rest)
    result: Array = np.maximum(np.nan_to_num(gain, nan=_LOST, neginf=_LOST), _LOST)
    return result


def log_wealth(log_gain: Array, purse: Purse) -> Array:
    """Return the log of all money after each window, from what each multiplied the money on each aim with.

    Args:
        log_gain: (…, window, aim), of `Bet.log_gain`.
    """
    return log_wealth_while_filling(log_gain, log_gain, purse)


def log_wealth_while_filling(full: Array, part: Array, purse: Purse) -> Array:
    """Return the log of all money at a look into each window, when only a part of it has come.

    Args:
        full: `log_gain` of the windows once they are full.
        part: `log_gain` of what has come of each.
    """
    rest = (1 - purse.at_first) * purse.half_after / (purse.half_after + np.arange(full.shape[-2]))
    with np.errstate(divide="ignore"):  # nothing is left, or laid out later: log 0
        left, deposit = np.log(rest), np.log(-np.diff(rest, prepend=1.0))
    before = np.cumsum(full, axis=-2) - full
    # Each deposit is worth what the windows since then made of it: in money of the beginning they can be added.
    at_work = np.logaddexp.accumulate(deposit[:, np.newaxis] - before, axis=-2) + np.log(purse.money)
    total: Array = np.logaddexp(np.logaddexp.reduce(at_work + before + part, axis=-1), left)
    return total


@dataclass(frozen=True, slots=True)
class _Before:
    """What is known before each window, (…, window); the fields without windows are (…, 1)."""

    known: NDArray[np.bool_]  # anything at all
    level: Array  # stable's mean of late
    variance_s: Array
    variance_c: Array  # a candidate with few episodes borrows stable's
    guessed: Array
    prior: Array  # weight of the guess


def _before(candidate: Outcomes, stable: Outcomes, earlier: Earlier | None) -> _Before:
    windows = np.arange(candidate.count.shape[-1])
    if earlier is not None:
        ones = np.ones((*candidate.count.shape[:-1], 1))
        mean, variance, known = (
            earlier.mean * ones,
            earlier.spread**2 * ones,
            np.ones(candidate.count.shape, dtype=bool),
        )
    else:
        both = (candidate.count > 0) & (stable.count > 0)
        first = np.expand_dims(both.argmax(axis=-1), -1)
        known = both.any(axis=-1, keepdims=True) & (windows > first)
        mean = np.take_along_axis(stable.mean, first, -1)
        count, m2 = (np.take_along_axis(getattr(stable, f) + getattr(candidate, f), first, -1) for f in ("count", "m2"))
        variance = m2 / np.maximum(count - 2, 1.0)
    fading = PRIOR_EPISODES * np.power(MEMORY, windows, dtype=np.float64)
    level = (mean * fading + discounted(stable.count * stable.mean)) / (fading + discounted(stable.count))
    spread_s, free_s = (so_far(part) for part in (stable.m2, np.maximum(stable.count - 1, 0.0)))
    spread_c, free_c = (so_far(part) for part in (candidate.m2, np.maximum(candidate.count - 1, 0.0)))
    variance_s = (PRIOR_EPISODES * variance + spread_s) / (PRIOR_EPISODES + free_s)
    variance_c = (PRIOR_EPISODES * variance_s + spread_c) / (PRIOR_EPISODES + free_c)
    return _Before(known, level, variance_s, variance_c, mean, fading)


def _wide(values: Array) -> Array:
    """With an axis for the aims."""
    return values[..., np.newaxis]


def so_far(values: Array) -> Array:
    """Return the sum over the windows before each."""
    return np.cumsum(values, axis=-1) - values


def discounted(values: Array) -> Array:
    """Return the sum over the windows before each, each weighing MEMORY of the one after it."""
    total = np.zeros(values.shape)
    total[..., 1:] = values[..., :-1]
    reach = 1  # windows that are summed so far; what is further off than FORGOTTEN weighs less than a float can tell
    while reach < min(values.shape[-1], FORGOTTEN):
        total[..., reach:] += MEMORY**reach * total[..., :-reach]
        reach *= 2
    return total
