"""Bounds of a mean difference: they hold as often as they say, whatever the shape, and whoever looks how often."""

import math

import numpy as np
import pytest

from belay_operator.rollout.analysis.agreement import interval


def episodes(values: np.ndarray) -> list[tuple[float, int]]:
    """As the logbook tells them."""
    found, counts = np.unique(np.round(values, 3), return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))


def test_nothing_seen_is_nothing_known() -> None:
    assert interval([], confidence=0.95) == (0.0, 1.0)
    assert interval([(0.5, 0)], confidence=0.95) == (0.0, 1.0)


def test_a_difference_never_seen_is_not_none() -> None:
    """The rule of three is the best that anybody can do: 1 - 0.05 ** (1 / n)."""
    for count in (10, 100, 1000):
        low, high = interval([(0.0, count)], confidence=0.95)
        best = 1 - 0.05 ** (1 / count)
        assert low == 0.0
        assert best <= high <= 1.9 * best + 0.001


def test_bounds_are_each_others_mirror_image() -> None:
    low, high = interval([(0.2, 30), (0.7, 10)], confidence=0.9)
    mirrored_low, mirrored_high = interval([(0.8, 30), (0.3, 10)], confidence=0.9)
    assert (low, high) == pytest.approx((1 - mirrored_high, 1 - mirrored_low))


def test_more_certainty_and_fewer_episodes_are_wider() -> None:
    def widths(confidence: float, times: int) -> float:
        low, high = interval([(0.1, 6 * times), (0.4, 4 * times)], confidence=confidence)
        return high - low

    assert widths(0.99, 10) > widths(0.95, 10) > widths(0.8, 10)
    assert widths(0.95, 1) > widths(0.95, 10) > widths(0.95, 100)


def shares(rng: np.random.Generator, mean: float, shape: str, count: int) -> np.ndarray:
    """Of each episode the share of decisions that differ; pairs of an episode resemble each other."""
    match shape:
        case "alike":  # all of an episode's decisions differ, or none
            return (rng.random(count) < mean).astype(float)
        case "correlated":  # an episode has a rate of its own, and 1 to 50 pairs
            rates = rng.beta(mean / 2, (1 - mean) / 2, count)
            pairs = rng.integers(1, 51, count)
            return rng.binomial(pairs, rates) / pairs
        case "rare":
            return np.where(rng.random(count) < mean / 0.9, 0.9, 0.0)
        case "even":
            return np.clip(rng.normal(mean, 0.05, count), 0, 2 * mean)
    raise AssertionError(shape)


@pytest.mark.parametrize("shape", ["alike", "correlated", "rare", "even"])
@pytest.mark.parametrize("mean", [0.03, 0.3])
def test_a_bound_is_wrong_as_rarely_as_it_says_however_often_it_is_looked(shape: str, mean: float) -> None:
    """200 courses with several looks each; more than 5 % plus three deviations of chance is no chance."""
    rng, courses, wrong = np.random.default_rng(7), 200, np.zeros(2)
    for _ in range(courses):
        seen = shares(rng, mean, shape, 160)
        bounds = [interval(episodes(seen[:count]), confidence=0.95) for count in (10, 40, 160)]
        wrong += [any(low > mean for low, _ in bounds), any(high < mean for _, high in bounds)]
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / courses)
    assert (wrong / courses <= allowed).all(), wrong / courses


def test_pairs_taken_for_independent_would_be_wrong_far_too_often() -> None:
    """What the episode as the unit is for: the usual interval of all pairs together misses a third of the time."""
    rng, courses, mean, pairs = np.random.default_rng(7), 200, 0.3, 50
    naive = ours = 0
    for _ in range(courses):
        rates = rng.beta(mean, 1 - mean, 40)
        seen = rng.binomial(pairs, rates) / pairs
        share = seen.mean()
        naive += share + 1.645 * math.sqrt(share * (1 - share) / (40 * pairs)) < mean
        ours += interval(episodes(seen), confidence=0.95)[1] < mean
    assert ours / courses <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / courses)
    assert naive / courses > 0.25


@pytest.mark.parametrize(("mean", "limit", "verdict"), [(0.02, 0.3, "kept"), (0.6, 0.3, "broken"), (0.3, 0.3, "open")])
def test_it_tells_a_good_candidate_from_a_bad_one_in_a_hundred_episodes(
    mean: float, limit: float, verdict: str
) -> None:
    low, high = interval(episodes(shares(np.random.default_rng(3), mean, "correlated", 100)), confidence=0.95)
    assert verdict == ("kept" if high <= limit else "broken" if low > limit else "open")
