"""The two bets of one comparison: that the candidate is worse, and that it is not worse by the margin.

More is better; who judges a cost hands in everything mirrored. Arrays as in `bet`, windows on the last axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import (
    PURSES,
    Array,
    Bet,
    Bounds,
    Direction,
    Earlier,
    Outcomes,
    adjusting,
    log_wealth_while_filling,
    place,
)

ALL = slice(None)
GRID, HALVINGS = 9, 9  # an end of an interval is found to 1/4096 of the span it is looked for in

Filling = tuple[Outcomes, Outcomes]
"""What has come of each window of the candidate and of stable at a look into it."""


@dataclass(frozen=True, slots=True)
class Race:
    """One comparison."""

    margin: Margin
    candidate: Outcomes
    stable: Outcomes
    bounds: Bounds
    earlier: Earlier | None

    def _paid(self, gain: Array, at: NDArray[np.intp] | slice = ALL) -> Array:
        """Return what the windows multiply the money with, of `log_gain`, where nothing here is known before the first.

        What training knows may be of outcomes of another kind. So half the money is kept out of the first window: it
        gains half as much there, and cannot lose all.

        Args:
            at: Which windows `gain` is of.
        """
        if self.earlier is None or not self.earlier.elsewhere:
            return gain
        both = (self.candidate.count > 0) & (self.stable.count > 0)
        first: NDArray[np.bool_] = (np.cumsum(both, axis=-1) - both == 0)[..., at, np.newaxis]
        return np.where(first, np.logaddexp(gain, 0.0) - math.log(2), gain)

    @property
    def begun(self) -> bool:
        """Whether anything has been bet: something was known before the last window."""
        both = (self.candidate.count > 0) & (self.stable.count > 0)
        return self.earlier is not None or bool(both[..., :-1].any())

    def worse(self, filling: Filling | None = None) -> Array:
        """Return the log of the evidence after each window that the candidate is worse; Fail at log(1/alpha).

        Money is laid out over time: a candidate that turns worse after a long good time is found by fresh stakes.

        Args:
            filling: Look into each window at so much of it, instead of at its end.
        """
        return self._evidence(Direction.WORSE, filling)

    def better(self, filling: Filling | None = None) -> Array:
        """Return the log of the evidence after each window that it is not worse by the margin; Pass at log(1/alpha)."""
        return self._evidence(Direction.BETTER, filling)

    @property
    def explained(self) -> float | None:
        """The share of the spread that a covariate takes off the last window; None: it is judged without. One rollout.

        Fail's bet is asked, the one that a covariate is for.
        """
        off, bet = adjusting(self.candidate, self.stable, self.earlier), self._bet(Direction.WORSE, None)
        if off is None or bet.slope is None or bet.slope[-1] == 0:
            return None
        return float(off.less(float(bet.slope[-1] / off.slope[-1])).explains[-1])

    def interval(self, *, alpha_low: float, alpha_high: float) -> tuple[float, float]:
        """Return one-sided bounds on the difference of the means, each valid at every look, for one rollout.

        They enclose every difference whose claim is not rejected by now, to within a step of the search outwards.
        """
        span = float(np.max(self.bounds.high)) - float(np.min(self.bounds.low))
        low = self._first_kept(Direction.BETTER, -span, span, alpha_low)
        high = self._first_kept(Direction.WORSE, span, -span, alpha_high)
        return low, high

    def _first_kept(self, direction: Direction, start: float, stop: float, alpha: float) -> float:
        """Return the last difference on the way from start to stop before which every claim is rejected.

        Within the range a claim that is further off is rejected sooner, and halving would do; an outcome beyond it may
        have lost one bet and not the other, so it is looked for from outside first.
        """
        shifts = np.linspace(start, stop, GRID)
        kept = ~self._rejects(direction, shifts, alpha)
        at = int(kept.argmax()) if kept.any() else GRID - 1
        if at == 0:
            return start
        start, stop = float(shifts[at - 1]), float(shifts[at])
        for _ in range(HALVINGS):
            middle = (start + stop) / 2
            if self._rejects(direction, np.array(middle), alpha):
                start = middle
            else:
                stop = middle
        return start

    def _rejects(self, direction: Direction, shift: Array, alpha: float) -> NDArray[np.bool_]:
        """Whether the claims that the candidate's mean is stable's and so much are rejected after the last window."""
        evidence = self._evidence(direction, None, shift)[..., -1]
        rejected: NDArray[np.bool_] = evidence >= math.log(1 / alpha)
        return rejected

    def _evidence(self, direction: Direction, filling: Filling | None, shift: Array | None = None) -> Array:
        sides = (self.candidate, self.stable)
        full = self._paid(self._bet(direction, shift).log_gain(*sides))
        now = sides if filling is None else filling
        part = full if filling is None else self._paid(self._bet(direction, shift, filling=filling).log_gain(*now))
        if all(side.covariate is not None for side in sides):
            # One more episode of a window that is not over may lack it. Then none of the window counts adjusted, and at
            # no look before may they have counted for more so.
            over = np.logical_and(*(it.covariate.over for it in now if it.covariate is not None))
            open_ = np.flatnonzero(~over.reshape(-1, over.shape[-1]).all(axis=0))
            if open_.size:
                plain = self._bet(direction, shift, filling=filling, adjust=False).at(open_)
                gain = self._paid(plain.log_gain(*(side.at(open_) for side in now)), open_)
                least = np.minimum(part[..., open_, :], gain)
                part = part.copy()
                part[..., open_, :] = np.where(over[..., open_, np.newaxis], part[..., open_, :], least)
        return log_wealth_while_filling(full, part, PURSES[direction])

    def _bet(
        self, direction: Direction, shift: Array | None, *, filling: Filling | None = None, adjust: bool = True
    ) -> Bet:
        return place(
            direction,
            self.margin,
            self.candidate,
            self.stable,
            self.bounds,
            earlier=self.earlier,
            shift=shift,
            filling=filling,
            adjust=adjust,
        )
