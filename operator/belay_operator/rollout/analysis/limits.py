"""Guard rails: whether more of the candidate's requests lie beyond a limit than the limit allows, at a stated error.

A limit says a share: of `latencyP99: 100ms` that at most 1 % of the requests take longer, of `errorRate: 5%` that at
most 5 % fail. Requests are judged in blocks of some seconds, and what counts is the share of each block that lies
beyond: requests of one stall or one crash go wrong together, so that ten thousand of them may be one event. A gambler
bets on each block that its share is above the allowed one, at odds that are fair if it is exactly that. Money for the
bets flows in slowly and steadily, so hours of health cost nothing: whenever a breach begins, there is fresh money.

    evidence <- (evidence + elapsed / T0) * (1 + stake * (share / allowed - 1))          Fail when it reaches 1

Promise: if in every block the share is expected to be at most the allowed one, whatever came before, then the limit
fails within time t with probability t / T0 at most, plus HEAD_START_DAYS / T0 for each weight increase. Nothing is
assumed of how requests depend on each other within a block, nor of how many there are. T0 is a day divided by
`falseRollbacksPerDay`: a candidate that is exactly on its limit is taken back once in 100 days of watching at most, and
one that keeps it clearly, practically never.

A number that somebody is asked for (`Counted.LOOKS`) lies beyond its limit or not at each look, and a look is a block;
of a share (`Counted.SHARES`) the value is the block's share. Looks share no time, so nothing happens in two of them.

Pass rests on evidence of its own, against the claim that the share is `Rail.refuted` or more; it can be lost again.

All functions take arrays with any trailing axes, so that `bench/verdict` runs the same code over many rollouts at once.

Source: Shiryaev and Roberts' procedure, in the form of Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework
    for sequential change detection" (2023), with the bets on a bounded mean of Waudby-Smith, Ramdas, "Estimating means
    of bounded random variables by betting" (2024).
Departs: the money that flows in is per second of watching and not per observation, so the promise is one per day; a
    block without requests is not watched.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Shares of the money that a block without a request beyond loses. A breach of 2 times the limit is found soonest with
# the smallest, a total outage with the largest; each has a fifth of the money, and together they are never far behind.
STAKES = np.array([0.01, 0.03, 0.1, 0.3, 0.9])
DAY_S = 86_400.0
HEAD_START_DAYS = 0.1  # of watching: what a weight increase adds at once, for that is when a breach is likeliest
SUSPECT_HEAD_STARTS, SUSPECT_MOST = 10.0, 0.5  # evidence above so many is more than weight increases alone bring
REFUTED_TIMES, REFUTED_LEAST = (
    5.0,
    0.05,
)  # the share that Pass refutes: so many times the allowed one, and at least this
PASS_STAKE = 0.9
PASS_AT = 40.0  # wealth, so that a share that is refuted was true with probability 2.5 % at most
LEAST_WEALTH = 1e-100  # it is never 0: of its logarithm it is read how far Pass is
FAIL_AT = 1.0  # evidence
CUT_AT = 2.0  # evidence: above what Fails, so that rounding undoes none, and near it, so that recovery can be seen
SLACK = 1e-9  # a share worked out by a server may be that much beyond 0 or 1
MOST = 1e6  # of one stake, before it is cut: of an allowed share of 0 it is infinite


class Counted(Enum):
    """What a block is made of."""

    REQUESTS = "requests"  # each lies beyond or not
    LOOKS = "looks"  # at a number, which lies beyond or not
    SHARES = "shares"  # looks at a share, which is the block's own


@dataclass(frozen=True, slots=True)
class Rail:
    """One limit on the share of requests, or of looks at a number, that lie beyond something."""

    metric: str  # name in spec.analysis.metrics
    allowed: float  # share of the requests that may lie beyond, in [0, 1); 0: the first one fails
    longest_s: float | None = None  # beyond is what takes longer, in seconds; None: beyond is what fails
    block_s: float = 5.0  # what goes wrong within this counts once
    false_per_day: float = 0.01  # Fails in a day of watching a candidate that is exactly on its limit, at most

    counted: Counted = Counted.REQUESTS
    bound: float = 0.0  # of looks: at which a number begins to lie beyond, in the number's own unit
    below: bool = False  # of looks: beyond is below the bound and not above

    def __post_init__(self) -> None:
        if not 0 <= self.allowed < 1:
            raise ValueError(f"metric {self.metric}: a share of {self.allowed} may lie beyond, wanted 0 to below 1")
        if not (self.block_s > 0 and 0 < self.false_per_day <= 1):
            raise ValueError(
                f"metric {self.metric}: blocks of {self.block_s} s and {self.false_per_day} false rollbacks a day, "
                "wanted above 0 and at most 1 a day"
            )

    @property
    def refuted(self) -> float:
        """The share that Pass shows not to be true: five times the allowed one, at least 5 %, and below 1."""
        return max(min(REFUTED_TIMES * self.allowed, (1 + self.allowed) / 2), REFUTED_LEAST)

    def beyond(self, value: float) -> float | None:
        """Return how much of a look lies beyond: all or nothing of one at a number, the value itself of a share.

        None: a share is wanted, and the value is none.
        """
        if self.counted is Counted.LOOKS:
            return float(value < self.bound if self.below else value > self.bound)
        if not -SLACK <= value <= 1 + SLACK:
            return None
        share = min(max(value, 0.0), 1.0)
        return 1 - share if self.below else share

    @property
    def head_start(self) -> float:
        """What a weight increase adds to the evidence; so much of the promise it costs."""
        return HEAD_START_DAYS * self.false_per_day


def started(rail: Rail, evidence: ArrayLike) -> Array:
    """Return the evidence with the head start of a weight increase; stakes on the first axis, as everywhere."""
    return np.asarray(evidence, dtype=np.float64) + rail.head_start / STAKES.size


def against(rail: Rail, evidence: ArrayLike, share: ArrayLike, elapsed_s: ArrayLike) -> Array:
    """Return the evidence that the limit is broken, after one more block with requests.

    Args:
        evidence: One number per stake, (stakes, ...). The limit fails when they sum to 1.
        share: Of the block's requests, that which lies beyond the limit, (...).
        elapsed_s: Length of the block; one that a gap in the measurements made long is still one block.
    """
    beyond = np.asarray(share, dtype=np.float64)
    # Of an allowed share of 0, one request beyond proves the breach.
    times = beyond / rail.allowed if rail.allowed > 0 else np.where(beyond > 0, np.inf, 0.0)
    fresh = np.asarray(elapsed_s, dtype=np.float64) * (rail.false_per_day / DAY_S / STAKES.size)
    stakes = STAKES.reshape(-1, *([1] * beyond.ndim))
    gained: Array = (np.asarray(evidence, dtype=np.float64) + fresh) * (1 + stakes * (times - 1))
    return gained


def cut(evidence: ArrayLike) -> Array:
    """Return the evidence cut to little more than Fail needs: who keeps its traffic after one can show its recovery."""
    finite = np.minimum(np.asarray(evidence, dtype=np.float64), MOST)
    within: Array = finite / np.maximum(finite.sum(axis=0) / CUT_AT, 1.0)
    return within


def in_favour(rail: Rail, wealth: ArrayLike, share: ArrayLike) -> Array:
    """Return the wealth against the refuted share after one more block with requests, cut to what Pass needs.

    It is 1 at the start of each weight. Cut, for a late block beyond the limit has to cost the Pass, however long the
    candidate was good before.
    """
    refuted = rail.refuted
    gain = 1 + PASS_STAKE * (refuted - np.asarray(share, dtype=np.float64)) / (1 - refuted)
    return np.clip(np.asarray(wealth, dtype=np.float64) * gain, LEAST_WEALTH, PASS_AT)


def suspicious(rail: Rail, evidence: ArrayLike, share: ArrayLike) -> NDArray[np.bool_]:
    """Return whether a breach may be under way: not proven, but nobody should be promoted right now.

    Args:
        share: Of the last block that had requests: those that stop coming mend nothing.
    """
    total = np.asarray(evidence, dtype=np.float64).sum(axis=0)
    enough = min(SUSPECT_HEAD_STARTS * rail.head_start, SUSPECT_MOST)
    suspected: NDArray[np.bool_] = np.logical_or(np.asarray(share) > rail.allowed, total > enough)
    return suspected
