"""Whether a promoted version has become worse than it was when it was promoted: a detector that may run for ever.

Each window of its episodes is bet on with four stakes: an outcome x pays 1 + s (m0 - x), where m0 is the mean that it
was promoted with, less that mean's own error, less what is allowed. While the mean is m0 or more no stake gains on
average. Fresh money comes with time, so that months of health cost nothing, and is lost where it is not needed:

    evidence of a stake <- (evidence + time since the window before / TIME / 4) * what the window pays at least

An alarm stands when the four sum to 1. While the mean keeps m0 the expected sum is at most the time / TIME, so that
alarms come at most once in TIME on average, however the episodes are spread. The same with the sign turned says that it
is over. A world that changes is not told apart from a policy that does: it is an alarm, and no verdict.

Source: Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New England
Journal of Statistics in Data Science 2 (2023), the Shiryaev-Roberts form; the payment is `bet`'s. The reference's own
error is asymptotic (a normal quantile). Why, and what it finds when: docs/decisions/064.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from belay_operator.rollout.analysis.bet import CAP, Array, Bounds, Outcomes, least_gain

AIMS = np.array([0.15, 0.3, 0.6, 1.5])  # falls that a stake finds soonest, in standard deviations
ERRORS = 2.33  # standard errors that the reference is taken lower: it is too high once in a hundred promotions
LEAST_EPISODES = 100  # of a reference: fewer tell no standard error
RECOVERY = timedelta(days=1)  # on average, before an alarm that is right is taken for over
LEAST_SPREAD = 0.01  # of the range
NOTHING = (0.0,) * AIMS.size


@dataclass(frozen=True, slots=True)
class Reference:
    """How a version did when it was promoted. More is better here; who watches a cost mirrors it."""

    mean: float
    spread: float  # standard deviation
    episodes: int

    def least(self, allowed: float) -> float:
        """Return the mean above which nothing is wrong."""
        return self.mean - ERRORS * self.spread / math.sqrt(self.episodes) - allowed


def reference(outcomes: Outcomes) -> Reference | None:
    """Return the reference that windows make; None: they hold too few episodes."""
    episodes = float(outcomes.count.sum())
    if episodes < LEAST_EPISODES:
        return None
    mean = float((outcomes.count * outcomes.mean).sum()) / episodes
    squares = float((outcomes.m2 + outcomes.count * (outcomes.mean - mean) ** 2).sum())
    return Reference(mean, (squares / (episodes - 1)) ** 0.5, round(episodes))


def worse(
    held: Array, outcomes: Outcomes, elapsed: Array, *, least: float, spread: float, bounds: Bounds, per_s: float
) -> Array:
    """Return the evidence of each stake after each window that the mean is below `least`, (…, window, stake).

    Args:
        held: Evidence before the first, (…, stake).
        outcomes: Of the windows, at least one; one without episodes pays nothing.
        elapsed: Seconds from the end of the window before to the end of each, (window,).
        spread: Standard deviation, for the stakes.
        bounds: Between what outcomes lie, known before each window.
        per_s: Alarms in a second, on average, while nothing is wrong.
    """
    y = Outcomes(
        count=outcomes.count[..., np.newaxis],
        mean=(least - outcomes.mean)[..., np.newaxis],
        m2=outcomes.m2[..., np.newaxis],
        low=(least - outcomes.high)[..., np.newaxis],
        high=(least - outcomes.low)[..., np.newaxis],
    )
    width = np.broadcast_to(bounds.high - bounds.low, outcomes.count.shape)
    unit = np.maximum(spread, np.maximum(LEAST_SPREAD * width, 1e-12))
    beyond = np.maximum(bounds.high - least, 1e-12)
    stakes = np.minimum(AIMS / unit[..., np.newaxis], (CAP / beyond)[..., np.newaxis])
    pays = np.exp(np.clip(least_gain(y, stakes), -700.0, 700.0))
    pays = np.where((outcomes.count > 0)[..., np.newaxis], pays, 1.0)
    after, evidence = [], held
    for window, time in enumerate(elapsed.tolist()):
        evidence = np.minimum((evidence + time * per_s / AIMS.size) * pays[..., window, :], 1e9)
        after.append(evidence)
    result: Array = np.stack(after, axis=-2)
    return result
