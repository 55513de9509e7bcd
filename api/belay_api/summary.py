"""The result of a training over its seeds: mean, spread, interquartile mean, its bootstrap interval, and the best seed.

A seed is one sample of what the training gives. One sample has no interval, and of very few the bootstrap makes one
that is too short: of normal returns, the true value lies in it with 2 seeds in 51 % of trainings, with 3 in 75 %, with
4 in 88 %, with 5 in 90 %, with 20 in 94 %. Below five there is none.
"""

import functools
import math
import random
import statistics
from collections.abc import Sequence

from belay_api.training import Aggregate, BestSeed, SeedStatus, TrainingReport

FEWEST_SEEDS = 5  # that have an interval
RESAMPLES = 2000  # Monte Carlo error of a 95 % bound: about 0.5 % of the bootstrap distribution's mass
_DRAWS = 200_000  # at most, over all resamples: a thousand seeds must not hold up the operator
_SEED = 20_211_108  # any constant: the same returns always give the same interval


def aggregate(seeds: Sequence[SeedStatus], *, gated: bool = False) -> Aggregate | None:
    """Return the result over the seeds that have a published checkpoint; None when none has, or none passed its gates.

    The best is the one with the highest return of those that passed, or estimate where nobody has played them; the
    lowest index wins a tie, so that every pass finds the same. Seeds that did not pass are part of the mean all the
    same: they are what the training gives.

    Args:
        gated: There are gates: a seed of which nobody says that it passed did not.
    """
    done = [seed for seed in sorted(seeds, key=lambda seed: seed.index) if measured(seed)]
    passed = [seed for seed in done if not gated or (seed.validation is not None and seed.validation.passed)]
    if not passed:
        return None
    best = max(passed, key=_worth)
    returns = [seed.return_ for seed in done if seed.return_ is not None]
    std = statistics.stdev(returns) if len(returns) > 1 else None
    return Aggregate(
        seeds=len(done),
        mean=sum(returns) / len(returns) if returns else None,
        std=std,
        stderr=None if std is None else std / math.sqrt(len(returns)),
        iqm=interquartile_mean(returns) if returns else None,
        ci95=list(interval(tuple(returns))) if len(returns) >= FEWEST_SEEDS else None,
        best=BestSeed(
            seed=best.seed,
            return_=best.return_,
            estimate=best.estimate,
            floor=best.floor,
            step=best.best_step,
            random=best.random,
            costs=best.costs,
            artifact=best.artifact,
            image=best.image,
        ),
    )


def measured(seed: SeedStatus | TrainingReport) -> bool:
    """Whether a seed left a checkpoint of which it is known what it is worth, or that the log cannot tell."""
    return seed.artifact is not None and (seed.return_ is not None or seed.estimate is not None)


def _worth(seed: SeedStatus) -> float:
    """What the best is chosen by. The seeds of a job either have returns or have none."""
    if seed.return_ is not None:
        return seed.return_
    value = seed.estimate.value if seed.estimate else None
    return -math.inf if value is None else value


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of `values`; values at its edges count in part.

    Raises: ValueError when there are no values.
    Source: Agarwal, Schwarzer, Castro, Courville, Bellemare, "Deep Reinforcement Learning at the Edge of the
        Statistical Precipice", NeurIPS 2021, section 4.3.
    Departs: They drop whole values, so that with two or three seeds nothing is trimmed at all. Here each value is a
        mass of 1/n and exactly a quarter of the mass goes at either end, which agrees with theirs when 4 divides n.

    >>> interquartile_mean([1, 2, 3, 100]), interquartile_mean([0, 10, 50]), interquartile_mean([7])
    (2.5, 15.0, 7.0)
    """
    if not values:
        raise ValueError("the interquartile mean of no values is undefined: pass at least one")
    size = len(values)
    low, high = size / 4, 3 * size / 4
    # Value i of the sorted values covers the mass from i to i + 1; what of it lies in [low, high] is its weight.
    weighted = sum(
        max(0.0, min(index + 1, high) - max(index, low)) * value for index, value in enumerate(sorted(values))
    )
    return weighted / (high - low)


@functools.lru_cache(maxsize=256)  # the passes after success ask again for the same returns
def interval(returns: tuple[float, ...]) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the interquartile mean over seeds.

    Raises: ValueError when there are fewer than `FEWEST_SEEDS` returns.
    Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3 (percentile interval).
    """
    if len(returns) < FEWEST_SEEDS:
        raise ValueError(
            f"{len(returns)} seeds have no interval that holds what it says: train at least {FEWEST_SEEDS}"
        )
    generator = random.Random(_SEED)
    resamples = max(100, min(RESAMPLES, _DRAWS // len(returns)))
    means = sorted(interquartile_mean(generator.choices(returns, k=len(returns))) for _ in range(resamples))
    return means[int(0.025 * resamples)], means[int(0.975 * resamples)]
