"""Between what the outcomes of a window lie, known before it: declared, certain, or taken with a stated depth.

(`queries` puts together what a spec declares, an outcome is and the task makes certain; `known` reads the artifacts.)

Without any bounds no test can both be valid and ever conclude (Bahadur & Savage, 1956). Where a spec says none, an end
lies a quarter of its width beyond everything seen before, and at least DEPTH times stable's mean away from it, or
MARGINS where the margin is a number of its own. What is deeper than that and rarer than seen is not protected against;
status says where the ends are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import Array, Bounds, Earlier, Outcomes, so_far

DEPTH = 2.0  # of |stable's mean|, below and above it
MARGINS = 20.0  # as DEPTH is for a margin of 10 %
WIDTHS = 0.25  # of what was seen, beyond either end: more protects in no world of bench/verdict, and costs power


@dataclass(frozen=True, slots=True)
class Range:
    """What is certain of an outcome; None: that end is not."""

    low: float | None = None
    high: float | None = None

    def mirrored(self) -> Range:
        """Return the range of the outcome with the sign turned."""
        return Range(*(None if end is None else -end for end in (self.high, self.low)))


def bounds(
    certain: Range,
    margin: Margin,
    candidate: Outcomes,
    stable: Outcomes,
    earlier: Earlier | None,
    *,
    seen: Range | None = None,
) -> Bounds:
    """Return both ends for each window, from what came before it.

    Args:
        seen: Where outcomes of the same kind have been elsewhere, in training for one.
    """
    lows, highs = _seen(candidate, stable, earlier)
    if seen is not None:
        lows = np.minimum(lows, np.inf if seen.low is None else seen.low)
        highs = np.maximum(highs, -np.inf if seen.high is None else seen.high)
    with np.errstate(invalid="ignore"):  # nothing seen yet: no ends either, and nothing is bet there
        width = np.where(highs >= lows, highs - lows, 0.0)
        level = _level(stable, earlier)
        reach = np.maximum(DEPTH * np.abs(level), 0.0 if margin.relative else MARGINS * margin.value)
        low = np.minimum(lows - WIDTHS * width, level - reach)
        high = np.maximum(highs + WIDTHS * width, level + reach)
    if certain.low is not None:
        low = np.full(low.shape, certain.low)
    if certain.high is not None:
        high = np.full(high.shape, certain.high)
    return Bounds(np.where(np.isfinite(low), low, level - reach), np.where(np.isfinite(high), high, level + reach))


def _seen(candidate: Outcomes, stable: Outcomes, earlier: Earlier | None) -> tuple[Array, Array]:
    """Smallest and largest outcome of either side before each window; inf and -inf where there was none."""
    low, high = np.inf, -np.inf
    if earlier is not None:
        low, high = earlier.low, earlier.high
    lows = np.minimum(*(np.where(side.count > 0, side.low, np.inf) for side in (candidate, stable)))
    highs = np.maximum(*(np.where(side.count > 0, side.high, -np.inf) for side in (candidate, stable)))
    first_low, first_high = (np.full((*lows.shape[:-1], 1), end) for end in (low, high))
    return (
        np.minimum.accumulate(np.concatenate([first_low, lows[..., :-1]], axis=-1), axis=-1),
        np.maximum.accumulate(np.concatenate([first_high, highs[..., :-1]], axis=-1), axis=-1),
    )


def _level(stable: Outcomes, earlier: Earlier | None) -> Array:
    """Stable's mean before each window."""
    weight, total = (0.0, 0.0) if earlier is None else (1.0, earlier.mean)
    count, value = so_far(stable.count), so_far(stable.count * stable.mean)
    result: Array = (value + total) / np.maximum(count + weight, 1e-300)
    return result
