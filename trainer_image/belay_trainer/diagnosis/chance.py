"""How often a check may be wrong: what is called a finding must not be chance.

A check that rests on chance spends ALPHA over the whole training: at look k ALPHA / (k (k + 1)), which sums to ALPHA
however often it looks, or all at once where what it counts only grows. Six do: the sign of the reward (twice), constant
rewards, missing ones at the end, time limits, relapse. So at most 0.6 % of healthy seeds have a false finding of
theirs. The others compare with what is certain (bounds, the triangle inequality, the same bits), and leave room beyond
it for what healthy trainings show.
"""

import math
from statistics import NormalDist

from belay_api.outcomes import Played
from belay_api.wire import RunEvaluation
from belay_trainer.diagnosis.evidence import Evidence
from belay_trainer.student import welch

ALPHA = 0.001
RARE = 0.01  # of episodes: what happens less often need not have been seen
ENOUGH_EPISODES = math.ceil(math.log(ALPHA) / math.log(1 - RARE))
"""688: of so many independent episodes one shows what happens in at least RARE of them, but for ALPHA."""
SELDOM = 0.05  # of episodes: from what happens less often next to nothing is learned
SOME_EPISODES = math.ceil(math.log(ALPHA) / math.log(1 - SELDOM))
"""135: likewise, of what happens in at least SELDOM of them. Where episodes are long 688 would never be seen."""
FEWEST_EVALUATIONS = 10  # before anything is said about their course


def at_look(look: int) -> float:
    """Return what a check may spend at this look, counted from 1.

    >>> round(sum(at_look(look) for look in range(1, 100_000)), 6)
    0.001
    """
    return ALPHA / (look * (look + 1))


def at_most(episodes: int) -> float:
    """Return in which share of episodes, at most, happens what none of so many showed; wrong with probability ALPHA.

    >>> at_most(SOME_EPISODES) < SELDOM, round(at_most(ENOUGH_EPISODES), 4)
    (True, 0.01)
    """
    return 1 - ALPHA ** (1 / episodes)


def difference(a: RunEvaluation | Played, b: RunEvaluation | Played) -> float:
    """Return by how many of its standard errors the mean of `a` is above that of `b`; infinite where neither varies."""
    error = math.sqrt(a.std**2 / a.episodes + b.std**2 / b.episodes)
    gap = a.mean - b.mean
    if error == 0:
        return math.copysign(math.inf, gap) if gap else 0.0
    return gap / error


def beyond(tries: int = 1) -> float:
    """Return how many standard errors are more than chance, the best of so many tries."""
    return NormalDist().inv_cdf(1 - ALPHA / tries)


def above(a: RunEvaluation | Played, b: RunEvaluation | Played, *, tries: int) -> bool:
    """Return whether the mean of `a` is above that of `b` by more than chance, the best of so many tries.

    One episode has no spread, so nothing is more than chance. By Welch's test: evaluations may be of two or three
    episodes, and by a normal quantile a fifth of the policies that stay as they are would have relapsed.
    """
    if min(a.episodes, b.episodes) < 2:
        return False
    errors = [one.std / math.sqrt(one.episodes - 1) for one in (a, b)]
    return welch(a.mean - b.mean, errors, [a.episodes, b.episodes]) < ALPHA / tries


def learned(evidence: Evidence) -> bool | None:
    """Return whether some evaluation is better than random actions; None: nobody knows.

    By a normal quantile also where episodes are few: whoever is wrongly taken for one that learned is told nothing, and
    a test that is right for three episodes would find none that learned.
    """
    random, played = evidence.random.get("return"), evidence.evaluations
    if random is None or not played:
        return None
    return max(difference(one, random) for one in played) > beyond(len(played)) or _sooner(evidence)


def _sooner(evidence: Evidence) -> bool:
    """Whether the latest evaluation returned in all episodes the highest that was ever seen, and in less time.

    Where random actions reach the goal as well, only later, nothing returns more than they do.
    """
    latest, random, length = evidence.evaluations[-1], evidence.random.get("length"), evidence.length
    _, highest = evidence.reach.get("return", (math.inf, math.inf))
    if random is None or length is None or latest.std > 0 or latest.mean < highest:
        return False
    return difference(random, length) > beyond()


def binomial_tail(hits: int, tries: int, share: float) -> float:
    """Return the probability of at least `hits` hits.

    Exact, by a sum in logarithms from the largest terms.

    >>> binomial_tail(10, 10, 0.5) == 0.5**10, round(binomial_tail(3, 10, 0.5), 4), binomial_tail(0, 5, 0.1)
    (True, 0.9453, 1.0)
    """
    if hits <= 0:
        return 1.0
    logs = [
        math.lgamma(tries + 1)
        - math.lgamma(k + 1)
        - math.lgamma(tries - k + 1)
        + k * math.log(share)
        + (tries - k) * math.log1p(-share)
        for k in range(hits, tries + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))
