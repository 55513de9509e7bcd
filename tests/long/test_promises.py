"""The promises of a comparison for shapes that nobody chose: thousands of rollouts of each, minutes in all.

Shapes are drawn: few values, most of them near each other, some far away and rare, at either side alone. What a rule
gets wrong it gets wrong at the rare ones, and nobody tunes a rule on those.
"""

import math

import numpy as np
import pytest
from tests.chance import crossings, most_by_chance
from tests.windows import outcomes

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import Array, Bounds
from belay_operator.rollout.analysis.race import Race

RUNS, WINDOWS = 2_000, 60
SHAPES = 60
LOW, HIGH = 0.0, 1000.0
RANGE = Bounds(np.array(LOW), np.array(HIGH))
TENTH = Margin(0.1, relative=True)
FALSE_ROLLBACK, WRONG_PASS = 0.009, 0.025


def shape(rng: np.random.Generator, mean: float) -> tuple[Array, Array]:
    """Values and their probabilities, with that mean: a body of three values and a rare one anywhere in the range."""
    rare, far = 10 ** rng.uniform(-2.5, -0.7), rng.choice([LOW, HIGH, rng.uniform(LOW, HIGH)])
    body = mean + rng.uniform(-1, 1, 3) * 10 ** rng.uniform(0, 2.2)
    body += (mean - rare * far) / (1 - rare) - body.mean()
    if body.min() < LOW or body.max() > HIGH:
        return shape(rng, mean)
    return np.append(body, far), np.append(np.full(3, (1 - rare) / 3), rare)


def draw(rng: np.random.Generator, mean: float, each: int) -> Array:
    values, chances = shape(rng, mean)
    return rng.choice(values, p=chances / chances.sum(), size=(RUNS, WINDOWS, each))


@pytest.mark.parametrize("seed", range(SHAPES))
def test_an_equal_mean_fails_no_more_often_than_promised(seed: int) -> None:
    rng = np.random.default_rng([1, seed])
    mean, each = rng.uniform(150, 850), rng.choice([1, 2, 5, 10, 30], 2)
    candidate, stable = (outcomes(draw(rng, mean, size)) for size in each)
    race = Race(TENTH, candidate, stable, RANGE, None)
    assert crossings(race.worse(), FALSE_ROLLBACK) <= most_by_chance(RUNS, FALSE_ROLLBACK)


@pytest.mark.parametrize("seed", range(SHAPES))
def test_one_that_is_worse_by_the_margin_passes_no_more_often_than_promised(seed: int) -> None:
    rng = np.random.default_rng([2, seed])
    mean, each = rng.uniform(150, 850), rng.choice([1, 2, 5, 10, 30], 2)
    candidate, stable = outcomes(draw(rng, 0.9 * mean, each[0])), outcomes(draw(rng, mean, each[1]))
    race = Race(TENTH, candidate, stable, RANGE, None)
    assert crossings(race.better(), WRONG_PASS) <= most_by_chance(RUNS, WRONG_PASS)


def test_the_chance_of_a_crossing_would_show() -> None:
    """The bound is no wider than it must be: three times the promised rate is nearly always outside."""
    rng = np.random.default_rng(3)
    seen = rng.binomial(RUNS, 3 * FALSE_ROLLBACK, 1_000)
    assert (seen > most_by_chance(RUNS, FALSE_ROLLBACK)).mean() > 0.95
    assert math.isfinite(most_by_chance(RUNS, FALSE_ROLLBACK))
