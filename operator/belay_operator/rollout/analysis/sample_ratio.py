"""Whether episodes begin at the candidate in the share that its weights ask for.

Where they do not, one side loses starts (clients that crash, pods that die before they tell, reports that get lost) or
gets others than by chance (a proxy that pins, a client that tries again elsewhere). What is left to compare is then no
fair sample, however many episodes there are. A/B platforms know it as sample ratio mismatch.

A gambler bets that the candidate's odds are some of ODDS times those of its weight. While starts are assigned by chance
with that weight, money of 1/alpha is reached with probability at most alpha, at any look, over weights that change.
Half is laid out at once and the rest over time, so that a loss that begins late, be it after days, meets fresh money.

The unit is whatever is assigned at once. Here that is the episode: its first request is sent by the weight, and its pin
lasts until it ends. Where a client begins episodes in bunches on one side, counts are spread wider than by chance. So
the spread of the cells seen before divides what the next one says. With independent starts that costs episodes, never
the promise (a power below 1 of a fair bet is no better than fair). Assignment per client would make the client the
unit: hand in clients instead of episodes, nothing else changes.

Source: Lindon & Malek, "Anytime-valid inference for multinomial count data", NeurIPS (2022). Departs: a mixture of few
odds instead of a Dirichlet prior, the purse of `bet`, and the division by the spread: docs/decisions/025.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from belay_operator.rollout.analysis.bet import Array, Purse, log_wealth, so_far

ODDS = np.array([0.5, 0.7, 0.85, 1 / 0.85, 1 / 0.7, 2.0])  # the candidate's, as a multiple of those asked for
PURSE = Purse(ODDS, np.full(ODDS.size, 1 / ODDS.size), at_first=0.5, half_after=20.0)
ALARM = 1000.0  # once in so many rollouts without any loss
USUAL_BUNCH, BUNCH_CELLS = 4.0, 3.0  # episodes that begin together, before it is seen; counts like so many cells


@dataclass(frozen=True, slots=True)
class Cell:
    """One window at one weight."""

    candidate: int  # episodes that began there, counted and missing
    stable: int
    weight: float  # the candidate's share that was asked for, between 0 and 1, both excluded


@dataclass(frozen=True, slots=True)
class Ratio:
    """What all cells say together."""

    log_money: float  # against the weights; alarm at log(ALARM)
    seen: float  # the candidate's share of all starts
    asked: float  # the share that the weights ask for of as many
    starts: int  # of both sides


def ratio(cells: Sequence[Cell]) -> Ratio | None:
    """Return what the cells say, oldest first; None: there are no starts."""
    starts = sum(cell.candidate + cell.stable for cell in cells)
    if not starts:
        return None
    candidate, stable, weight = np.array([(cell.candidate, cell.stable, cell.weight) for cell in cells], float).T
    return Ratio(
        log_money=float(log_money(candidate, stable, weight)[-1]),
        seen=float(candidate.sum()) / starts,
        asked=float((weight * (candidate + stable)).sum()) / starts,
        starts=starts,
    )


def log_money(candidate: Array, stable: Array, weight: Array) -> Array:
    """Return the log of the money after each cell.

    Args:
        candidate, stable: Starts, cells on the last axis, and any leading axes.
        weight: Of each cell.
    """
    asked = weight[:, np.newaxis]
    share = ODDS * asked / (ODDS * asked + 1 - asked)
    gain = candidate[..., np.newaxis] * np.log(share / asked)
    gain = gain + stable[..., np.newaxis] * np.log((1 - share) / (1 - asked))
    return log_wealth(gain / bunches(candidate, stable, weight)[..., np.newaxis], PURSE)


def bunches(candidate: Array, stable: Array, weight: Array) -> Array:
    """Return how many episodes begin together by the cells before each, at least 1: the spread against that of chance.

    It is taken around the share that was seen and not the one that was asked for: a loss that lasts is no spread.
    """
    squares, free = np.zeros(candidate.shape), np.zeros(candidate.shape)
    for level in np.unique(weight):
        ours = np.where(weight == level, candidate, 0.0)
        total = np.where(weight == level, candidate + stable, 0.0)
        seen, starts, cells = so_far(ours), so_far(total), so_far(np.where(total > 0, 1.0, 0.0))
        share = (seen + level) / (starts + 1)
        within = so_far(ours * ours / np.maximum(total, 1.0))
        deviations = within - seen * seen / np.maximum(starts, 1.0)
        squares += deviations / (share * (1 - share))
        free += np.maximum(cells - 1, 0.0)
    spread: Array = (USUAL_BUNCH * BUNCH_CELLS + squares) / (BUNCH_CELLS + free)
    return np.maximum(spread, 1.0)
