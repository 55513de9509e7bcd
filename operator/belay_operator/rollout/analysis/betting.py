"""Whether a 0/1 outcome is more frequent at the candidate, exact at any sample size and at every look.

A gambler with one unit of wealth bets, episode by episode, that the candidate's ones are more frequent than
stable's. If they are not, the wealth is a supermartingale and reaches 1/alpha with probability at most alpha,
ever (Ville). So wealth *is* the evidence, with no normal approximation: this is the test for rare violations,
success, and the missing indicator, where a mean over thirty episodes says nothing yet.

The logbook gives counts per start window, not single episodes, so each bet is made per window: the stake is
fixed by *earlier* windows and by the share of the window's episodes that were the candidate's, and the wealth
then depends on the window's four counts alone. A look only counts episodes that started at least `grace` ago,
so windows fill in order and all but the last are final.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Stakes, as fractions of the largest one that cannot ruin the gambler. A spread of them is averaged, because the
# best one depends on the unknown effect; being off by a factor of two costs little.
STAKES = np.array([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 0.95])
# Guesses at the common rate before the first window is known, spread likewise; worth PRIOR_EPISODES episodes each.
RATES = np.array([0.005, 0.05, 0.2, 0.5, 0.8, 0.95, 0.995])
PRIOR_EPISODES = 20.0
MEMORY = 0.7  # weight of a window relative to its successor: the rate drifts, and an old one misplaces the stake
AT_ONCE = 64  # windows: a rollout of days has thousands, and time and memory would grow with their square
HALVINGS = 11  # of [-1, 1] in the search for an interval's end: to within 0.001


@dataclass(frozen=True, slots=True)
class Counts:
    """One side's 0/1 outcomes per start window, windows in time order on the last axis."""

    ones: Array
    total: Array

    def flipped(self) -> Counts:
        """Return the same outcomes with 0 and 1 exchanged."""
        return Counts(self.total - self.ones, self.total)

    def windows(self, part: slice) -> Counts:
        """Return the outcomes of some of the windows."""
        return Counts(self.ones[..., part], self.total[..., part])


@dataclass(frozen=True, slots=True)
class Wealth:
    """The gambler's wealth after some windows, and what the next stake is placed by; arrays of the leading shape."""

    logs: Array  # per guessed rate and stake, on the last two axes
    past_sum: Array  # discounted sum of what was paid on
    past_count: Array  # discounted number of episodes
    shift: Array
    factor: Array

    @classmethod
    def start(cls, *, shift: ArrayLike = 0.0, factor: ArrayLike = 1.0) -> Wealth:
        """One unit, before the first window."""
        zero: Array = np.zeros(())
        return cls(
            np.zeros((RATES.size, STAKES.size)),
            zero,
            zero,
            np.asarray(shift, dtype=np.float64),
            np.asarray(factor, dtype=np.float64),
        )

    @property
    def log(self) -> Array:
        """Log of the wealth, averaged over the guesses."""
        top = self.logs.max(axis=(-2, -1), keepdims=True)
        result: Array = np.log(np.exp(self.logs - top).mean(axis=(-2, -1))) + top[..., 0, 0]
        return result

    def after(self, candidate: Counts, stable: Counts) -> Wealth:
        """Return the wealth after more windows; all of them but the last are final."""
        shift, factor = self.shift[..., np.newaxis], self.factor[..., np.newaxis]
        count = candidate.total + stable.total
        paid = candidate.ones + factor * stable.ones + shift * stable.total
        past_sum, past_count = _discounted(self.past_sum, paid), _discounted(self.past_count, count)

        # From here on with axes (…, window, guessed rate, stake).
        before_sum, before_count = _with_grid_axes(past_sum[..., :-1]), _with_grid_axes(past_count[..., :-1])
        centre = (PRIOR_EPISODES * RATES[:, np.newaxis] + before_sum) / (PRIOR_EPISODES + before_count)
        share = _with_grid_axes(candidate.total / np.maximum(count, 1.0))
        shift, factor = _with_grid_axes(shift), _with_grid_axes(factor)

        # What a one and a zero are worth, in units of the stake, on either side.
        c_one, c_zero = (1 - share) * (1 - centre), -(1 - share) * centre
        s_one, s_zero = -share * (factor + shift - centre), -share * (shift - centre)
        worst = np.minimum(np.minimum(c_one, c_zero), np.minimum(s_one, s_zero))
        stake = STAKES / np.maximum(-worst, 1e-9)
        logs = (
            _with_grid_axes(candidate.ones) * np.log1p(stake * c_one)
            + _with_grid_axes(candidate.total - candidate.ones) * np.log1p(stake * c_zero)
            + _with_grid_axes(stable.ones) * np.log1p(stake * s_one)
            + _with_grid_axes(stable.total - stable.ones) * np.log1p(stake * s_zero)
        )
        logs = self.logs + logs.sum(axis=-3)
        return replace(self, logs=logs, past_sum=past_sum[..., -1], past_count=past_count[..., -1])


def log_wealth(candidate: Counts, stable: Counts, *, shift: ArrayLike = 0.0, factor: ArrayLike = 1.0) -> Array:
    """Log of the evidence against "in every window p_candidate <= factor * p_stable + shift".

    Reject at level alpha as soon as this reaches log(1/alpha), at any look. `log_wealth_below` asks the other way.

    Args:
        candidate, stable: The same windows on both sides; a window empty on one side adds nothing.
        shift: Allowed difference of the two rates, in [-1, 1]; of the leading shape.
        factor: What stable's rate is multiplied with, at least 0; of the leading shape.
    Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024) 1-27
        (the wealth process); Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests that
        allow for optional stopping", Journal of Statistical Planning and Inference 230 (2024) 106116 (two samples,
        a block with a share r of one of them).
    Departs: With r the candidate's share, a candidate episode y pays 1 + s (1-r)(y - c) and a stable one
        1 - s r (factor y + shift - c), for a centre c and stake s known before the window. Under the null
        r E[candidate pay] + (1-r) E[stable pay] <= 1, and the mean of logs is below the log of the mean, so a
        finished window multiplies the wealth by at most 1 in expectation, whatever its rate. Inside the window
        still filling, r is its present share rather than a share fixed in advance; that the error stays within
        alpha with a look after every single episode is simulated in `tests/unit/rollout/analysis`.
    """
    wealth = Wealth.start(shift=shift, factor=factor)
    for first in range(0, candidate.total.shape[-1], AT_ONCE):
        part = slice(first, first + AT_ONCE)
        wealth = wealth.after(candidate.windows(part), stable.windows(part))
    return wealth.log


def log_wealth_below(candidate: Counts, stable: Counts, *, shift: ArrayLike = 0.0, factor: ArrayLike = 1.0) -> Array:
    """Log of the evidence against "in every window p_candidate >= factor * p_stable + shift".

    With 0 and 1 exchanged that is (1 - p_c) <= factor * (1 - p_s) + (1 - factor - shift).
    """
    mirrored = 1.0 - np.asarray(factor, dtype=np.float64) - np.asarray(shift, dtype=np.float64)
    return log_wealth(candidate.flipped(), stable.flipped(), shift=mirrored, factor=factor)


def interval(candidate: Counts, stable: Counts, *, alpha_low: float, alpha_high: float) -> tuple[float, float]:
    """Return one-sided bounds on p_candidate - p_stable, each valid at every look, for one rollout.

    The bounds enclose every difference that is not rejected, to within 0.001 on the safe (wider) side.
    """
    low = _largest_rejected(candidate, stable, alpha_low)
    high = -_largest_rejected(candidate.flipped(), stable.flipped(), alpha_high)
    return low, high


def _largest_rejected(candidate: Counts, stable: Counts, alpha: float) -> float:
    """Largest d such that "p_candidate - p_stable <= d" is rejected; -1 when there is none.

    Evidence against a claim grows weaker as the claim does: what is rejected is all that lies below.
    """
    start, stop = -1.0, 1.0
    for _ in range(HALVINGS):
        middle = (start + stop) / 2
        rejected = bool(log_wealth(candidate, stable, shift=middle) >= np.log(1 / alpha))
        start, stop = (middle, stop) if rejected else (start, middle)
    return start


def _discounted(before: Array, values: Array) -> Array:
    """Discounted sum up to each window, itself left out; one entry more than windows, the last with all of them."""
    windows = values.shape[-1]
    age = np.arange(windows + 1)[:, np.newaxis] - np.arange(windows) - 1
    weights = np.where(age >= 0, MEMORY ** np.maximum(age, 0.0), 0.0)
    result: Array = MEMORY ** np.arange(windows + 1.0) * before[..., np.newaxis] + values @ weights.T
    return result


def _with_grid_axes(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)[..., np.newaxis, np.newaxis]
