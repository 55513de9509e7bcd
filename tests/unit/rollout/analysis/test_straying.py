"""A world that strays strays for both sides: errors are those that are stated, whatever episodes have in common."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.chance import crossings, most_by_chance
from tests.windows import outcomes

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import Earlier
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import WRONG_PROMOTION_RATE, split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from belay_operator.rollout.analysis.race import Race
from belay_operator.rollout.analysis.verdict import race_of

RETURN = Comparison("return", Better.MORE, Margin(0.1, relative=True), Range(0.0, 1000.0))
EARLIER = Earlier(mean=300.0, spread=105.0, low=50.0, high=560.0)
RUNS, WINDOWS = 800, 60


def level(rng: np.random.Generator, memory: float) -> NDArray[np.float64]:
    """An AR(1) of a quarter of the mean, and a wave beside it: (run, window)."""
    keeps = np.exp(-1 / memory)
    found = rng.normal(0, 0.25, (RUNS, WINDOWS))
    for window in range(1, WINDOWS):
        found[:, window] = keeps * found[:, window - 1] + np.sqrt(1 - keeps**2) * found[:, window]
    wave = 0.2 * np.sin(2 * np.pi * (np.arange(WINDOWS) / 40 + rng.random((RUNS, 1))))
    return np.clip(1 + found + wave, 0.3, 1.7)


def race(rng: np.random.Generator, memory: float, *, worse: float, candidate: int, stable: int) -> Race:
    mean = 300 * level(rng, memory)[..., np.newaxis]

    def side(of: float, count: int) -> NDArray[np.float64]:
        return of * rng.triangular(mean / 2, mean, 3 * mean / 2, (RUNS, WINDOWS, count))

    return race_of(RETURN, outcomes(side(1 - worse, candidate)), outcomes(side(1.0, stable)), earlier=EARLIER)


@pytest.mark.parametrize("memory", [0.5, 5.0, 50.0])
@pytest.mark.parametrize(("candidate", "stable"), [(8, 8), (2, 18)])
def test_an_equal_candidate_is_taken_back_as_rarely_as_stated(memory: float, candidate: int, stable: int) -> None:
    alpha = split(0.01, 1).outcome
    assert alpha is not None
    found = race(np.random.default_rng(1), memory, worse=0.0, candidate=candidate, stable=stable)
    assert crossings(found.worse(), alpha) <= most_by_chance(RUNS, alpha)
    assert crossings(found.better(), WRONG_PROMOTION_RATE) > 0.4 * RUNS


@pytest.mark.parametrize("memory", [0.5, 50.0])
def test_one_that_is_worse_by_the_margin_passes_as_rarely_as_stated_and_is_found(memory: float) -> None:
    found = race(np.random.default_rng(2), memory, worse=0.1, candidate=8, stable=8)
    assert crossings(found.better(), WRONG_PROMOTION_RATE) <= most_by_chance(RUNS, WRONG_PROMOTION_RATE)
    assert crossings(found.worse(), 0.009) > 0.5 * RUNS
