"""How much return a candidate has lost so far: the sum, over its episodes, of what stable would have returned in its
place less what it returned, with bounds that hold at every look.

Stable's outcomes of the same window say what it would have returned, so only windows with episodes of both count. The
interval of a verdict is no answer here: it speaks of one difference that holds in all windows alike, and a candidate
may be better by day and worse by night. A sum over windows that differ is bounded by bets whose stake never changes:
with stake s an outcome pays 1 + s y, where y is c - x for a candidate's and (n_c/n_s) (x - c) for a stable one's. As
1 + z <= exp(z), all windows together pay at most exp(s R) on average, R being the true regret of exactly these
episodes, whatever it is in each of them and whatever the centres c, which earlier windows set. So against every regret
that is too small, money is fair or better, and where a mixture of stakes has 1/alpha against one, the true one is
larger: with probability 1 - alpha at all looks together. Mirrored, it bounds R from above.

A stake that an outcome within the range could lose altogether is lost for good in that window: it may not shrink.
Everything takes arrays as `bet` does. More is better here; who judges a cost mirrors it.

Source: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
Statistics 49 (2021) 1055-1080, for sums of means that change; the payment is `bet`'s. Why: docs/decisions/063.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belay_operator.rollout.analysis.bet import CAP, Array, Bounds, Earlier, Outcomes, discounted, least_gain

STAKES = 2.0 * 0.5 ** np.arange(13)  # in 1/standard deviation: they suit from ten to ten million episodes
_USUAL = 4  # place of the stake that suits some hundred episodes: it has most of the money
_MONEY = 1.0 / (1.0 + np.abs(np.arange(STAKES.size) - _USUAL))
_LOG_MONEY = np.log(_MONEY / _MONEY.sum())
LEAST_SPREAD = 0.01  # of the range: outcomes that were all alike so far have one nevertheless
PRIOR_EPISODES = 20.0  # what is known beforehand counts like so many
_LOST = -1e3  # log gain of a stake that is lost
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Regret:
    """What a candidate has lost so far, in the outcome's unit; below 0 it has gained."""

    estimate: float
    low: float  # one-sided, as `high`
    high: float
    episodes: int  # of the candidate, in windows that have some of stable


def regret(
    candidate: Outcomes,
    stable: Outcomes,
    bounds: Bounds,
    earlier: Earlier | None,
    *,
    alpha_low: float,
    alpha_high: float,
) -> Regret | None:
    """Return the regret of one rollout by now; None: no episodes of both sides count yet.

    Args:
        candidate, stable: All windows since the candidate's first weight.
        bounds: Between what the outcomes of each window lie, known before it.
        earlier: What was seen of the outcome before; None: nothing, and the first window with both tells the scale.
        alpha_low, alpha_high: One-sided errors, each over the whole rollout.
    """
    counts = counted(candidate, stable, bounds, earlier)
    if not counts.any():
        return None
    episodes = np.where(counts, candidate.count, 0.0)
    scale = _scale(candidate, stable, bounds, earlier, counts)
    low, high = (
        sign * _bound(wagers(candidate, stable, bounds, earlier, sign).sum(axis=-2), scale, alpha)
        for sign, alpha in ((1, alpha_low), (-1, alpha_high))
    )
    return Regret(float((episodes * (stable.mean - candidate.mean)).sum()), low, high, int(episodes.sum()))


def evidence(
    candidate: Outcomes, stable: Outcomes, bounds: Bounds, earlier: Earlier | None, *, lost: Array, sign: int
) -> Array:
    """Return the log of the evidence after each window that more than `lost` was lost; `sign` -1: that less was.

    Where `lost` is true it ever reaches log(1/alpha) with probability at most alpha. Arguments of `regret`.
    """
    counts = counted(candidate, stable, bounds, earlier)
    total = np.cumsum(wagers(candidate, stable, bounds, earlier, sign), axis=-2)
    return _log_money(total, _scale(candidate, stable, bounds, earlier, counts)[..., np.newaxis], sign * lost)


def counted(candidate: Outcomes, stable: Outcomes, bounds: Bounds, earlier: Earlier | None) -> NDArray[np.bool_]:
    """Return the windows whose episodes count: those with both sides, after it was known how far outcomes reach."""
    both = (candidate.count > 0) & (stable.count > 0)
    known = both if earlier is not None else both & (np.cumsum(both, axis=-1) > 1)
    reach: NDArray[np.bool_] = known & (bounds.high > bounds.low)
    return reach


def wagers(candidate: Outcomes, stable: Outcomes, bounds: Bounds, earlier: Earlier | None, sign: int) -> Array:
    """Return the log of what each window pays at least, (…, window, stake); 0 in one that does not count.

    Args:
        sign: 1 bets that much was lost, -1 that little was.
    """
    counts = counted(candidate, stable, bounds, earlier)
    centre = _centre(stable, earlier)
    stakes = STAKES / _scale(candidate, stable, bounds, earlier, counts)[..., np.newaxis, np.newaxis]
    ratio = np.where(counts, candidate.count / np.maximum(stable.count, 1.0), 0.0)
    gain, worst = np.zeros((*counts.shape, STAKES.size)), np.zeros(counts.shape)
    for side, on in ((candidate, np.full(counts.shape, -float(sign))), (stable, sign * ratio)):
        ends = [on * (end - centre) for end in (side.low, side.high)]
        paid = Outcomes(side.count, on * (side.mean - centre), on**2 * side.m2, np.minimum(*ends), np.maximum(*ends))
        gain += least_gain(_wide(paid), stakes)
        worst = np.maximum(worst, np.maximum(*(-on * (end - centre) for end in (bounds.low, bounds.high))))
    gain = np.where(stakes * worst[..., np.newaxis] > CAP, _LOST, gain)
    return np.where(counts[..., np.newaxis], gain, 0.0)


def _centre(stable: Outcomes, earlier: Earlier | None) -> Array:
    """Stable's mean of late, before each window."""
    weight, total = discounted(stable.count), discounted(stable.count * stable.mean)
    if earlier is not None:
        weight, total = weight + PRIOR_EPISODES, total + PRIOR_EPISODES * earlier.mean
    return np.where(weight > 0, total / np.maximum(weight, 1e-300), 0.0)


def _scale(
    candidate: Outcomes, stable: Outcomes, bounds: Bounds, earlier: Earlier | None, counts: NDArray[np.bool_]
) -> Array:
    """A standard deviation that was known before anything counts: the unit of the stakes, without the window axis."""
    if earlier is not None:
        spread = (earlier.spread * np.ones((*counts.shape[:-1], 1)))[..., 0]  # of each rollout its own, as in `bet`
    else:
        both = (candidate.count > 0) & (stable.count > 0)
        at_first = both.argmax(axis=-1)[..., np.newaxis]
        count, m2 = (
            np.take_along_axis(getattr(candidate, part) + getattr(stable, part), at_first, -1)[..., 0]
            for part in ("count", "m2")
        )
        spread = np.sqrt(m2 / np.maximum(count - 2, 1.0))
    width = np.broadcast_to(bounds.high - bounds.low, counts.shape)
    first = np.take_along_axis(width, counts.argmax(axis=-1)[..., np.newaxis], -1)[..., 0]
    result: Array = np.maximum(spread, np.maximum(LEAST_SPREAD * first, 1e-12))
    return result


def _log_money(log_gain: Array, scale: Array, lost: Array) -> Array:
    """Return the log of the money of all stakes against a regret, (…) for gains (…, stake)."""
    fair = STAKES / scale[..., np.newaxis] * lost[..., np.newaxis]
    result: Array = np.logaddexp.reduce(log_gain + _LOG_MONEY - fair, axis=-1)
    return result


def _bound(log_gain: Array, scale: Array, alpha: float) -> float:
    """Return the largest regret that the money of all stakes together has refuted, for one rollout."""
    money, stakes, needed = log_gain + _LOG_MONEY, STAKES / scale, math.log(1 / alpha)
    refuted = float(((money - needed) / stakes).max())  # by one stake alone
    kept = float(((money + math.log(STAKES.size) - needed) / stakes).max())  # not by all of them
    for _ in range(_HALVINGS):
        middle = (refuted + kept) / 2
        if float(_log_money(log_gain, scale, np.array(middle))) >= needed:
            refuted = middle
        else:
            kept = middle
    return refuted


def _wide(values: Outcomes) -> Outcomes:
    """With an axis for the stakes."""
    return Outcomes(*(getattr(values, part)[..., np.newaxis] for part in ("count", "mean", "m2", "low", "high")))
