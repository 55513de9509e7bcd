"""Both promises hold for the outcomes that people report, by the path that a spec takes: metric, comparison, race.

Each world says what one version's episodes return. A candidate that is not worse fails in at most the stated share of
rollouts, however often they are looked at; one that is worse by the margin passes in at most 2.5 %.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from belay_api.rollout.metric import Metric
from belay_operator.rollout.analysis.bet import Array, Outcomes
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.queries import comparison_of
from belay_operator.rollout.analysis.race import Race
from belay_operator.rollout.analysis.verdict import race_of

ROLLOUTS, WINDOWS, EACH = 1000, 30, 40
BUDGET = split(0.01, 1)
ENOUGH = 0.8  # of the rollouts decide within the time, or a world would tell nothing
DOUBT = 1e-4  # how often a test of a kept promise would fail, were its seed drawn anew

Draw = Callable[[np.random.Generator, float, tuple[int, ...]], Array]
"""Episodes of a version with that mean."""


@dataclass(frozen=True)
class World:
    """An outcome, and how it is compared."""

    draw: Draw
    stable: float  # mean
    worse_by_the_margin: float
    clearly_worse: float
    compare: dict[str, Any]
    outcome: str = "custom"

    @property
    def metric(self) -> Metric:
        """As a spec has it."""
        source = {"logbook": {"outcome": self.outcome}}
        return Metric.model_validate({"name": "it", "source": source, "compare": self.compare})


def normal(spread: float) -> Draw:
    return lambda rng, mean, shape: rng.normal(mean, spread, shape)


def flags(rng: np.random.Generator, mean: float, shape: tuple[int, ...]) -> Array:
    return (rng.random(shape) < mean).astype(np.float64)


def revenue(rng: np.random.Generator, mean: float, shape: tuple[int, ...]) -> Array:
    """Four of five episodes sell nothing; what is sold has a heavy tail up to what a basket can cost."""
    sold = np.minimum(5 * (1 + rng.pareto(1.6, shape)), 200.0)
    return np.where(rng.random(shape) < 0.2 * mean / 2.38, sold, 0.0)


def cost(rng: np.random.Generator, mean: float, shape: tuple[int, ...]) -> Array:
    """Skewed to the dear side, never below 0 nor beyond what one episode can cost."""
    return np.minimum(rng.gamma(4.0, mean / 4.0, shape), 1000.0)


def disasters(rng: np.random.Generator, mean: float, shape: tuple[int, ...]) -> Array:
    """What is worse is worse by rare disasters alone: 5 % of a candidate that is 10 % worse."""
    usual = rng.normal(100.0, 20.0, shape)
    return np.clip(np.where(rng.random(shape) < (mean - 100.0) / 200.0, usual + 200.0, usual), 0.0, 500.0)


WORLDS = {
    "a return below 0": World(normal(60.0), -200.0, -220.0, -300.0, {"maxRegression": "10%"}, "return"),
    "a return below 0, by a number": World(normal(60.0), -200.0, -220.0, -300.0, {"maxRegression": 20}, "return"),
    "a return of about 0, by a number": World(normal(60.0), 0.0, -20.0, -100.0, {"maxRegression": 20}, "return"),
    "a return around 0 that is hardly off it": World(
        normal(60.0), 5.0, -15.0, -100.0, {"maxRegression": "20"}, "return"
    ),
    "conversion": World(flags, 0.3, 0.2, 0.1, {"maxRegression": "0.1", "range": {"low": 0, "high": 1}}),
    "success": World(flags, 0.9, 0.81, 0.5, {"maxRegression": "10%"}, "success"),
    "revenue": World(revenue, 2.38, 1.19, 0.24, {"maxRegression": "50%", "range": {"low": 0, "high": 200}}),
    "cost by a share": World(cost, 100.0, 110.0, 150.0, {"maxIncrease": "10%", "range": {"low": 0, "high": 1000}}),
    "cost by a number": World(cost, 100.0, 110.0, 150.0, {"maxIncrease": 10, "range": {"low": 0, "high": 1000}}),
    "a cost below 0, by a share": World(normal(60.0), -200.0, -180.0, -100.0, {"maxIncrease": "10%"}),
    "cost that is worse by disasters": World(
        disasters, 100.0, 110.0, 160.0, {"maxIncrease": "10%", "range": {"low": 0, "high": 500}}
    ),
}


def side(values: Array) -> Outcomes:
    mean = values.mean(axis=-1)
    m2 = ((values - mean[..., np.newaxis]) ** 2).sum(axis=-1)
    count = np.full(mean.shape, float(values.shape[-1]))
    return Outcomes(count, mean, m2, values.min(axis=-1), values.max(axis=-1))


def race(world: World, candidate: float, *, share: int = 1) -> Race:
    """All rollouts of a candidate with that mean; stable has `share` times its episodes."""
    rng = np.random.default_rng(7)
    comparison = comparison_of(world.metric)
    assert comparison is not None
    sides = (
        side(world.draw(rng, mean, (ROLLOUTS, WINDOWS, each)))
        for mean, each in ((candidate, EACH), (world.stable, share * EACH))
    )
    return race_of(comparison, *sides, earlier=None)


def ever(evidence: Array, alpha: float) -> int:
    return int((evidence.max(axis=-1) >= np.log(1 / alpha)).sum())


def most(alpha: float) -> int:
    """As many of the rollouts as a kept promise exceeds with DOUBT."""
    at_most, count = 0.0, -1
    while 1 - at_most > DOUBT:
        count += 1
        at_most += math.comb(ROLLOUTS, count) * alpha**count * (1 - alpha) ** (ROLLOUTS - count)
    return count


@pytest.mark.parametrize("share", [1, 4])
@pytest.mark.parametrize("name", WORLDS)
def test_a_candidate_that_is_as_good_is_hardly_ever_taken_back(name: str, share: int) -> None:
    world = WORLDS[name]
    found = race(world, world.stable, share=share)
    assert BUDGET.outcome is not None
    assert ever(found.worse(), BUDGET.outcome) <= most(BUDGET.outcome)
    assert ever(found.better(), BUDGET.wrong_promotion) >= ENOUGH * ROLLOUTS


@pytest.mark.parametrize("name", WORLDS)
def test_one_that_is_worse_by_the_margin_hardly_ever_passes(name: str) -> None:
    world = WORLDS[name]
    found = race(world, world.worse_by_the_margin)
    assert ever(found.better(), BUDGET.wrong_promotion) <= most(BUDGET.wrong_promotion)


@pytest.mark.parametrize("name", WORLDS)
def test_one_that_is_clearly_worse_is_found(name: str) -> None:
    world = WORLDS[name]
    assert BUDGET.outcome is not None
    assert ever(race(world, world.clearly_worse).worse(), BUDGET.outcome) >= ENOUGH * ROLLOUTS
