"""The bounds on a difference of means: values known some other way, and the promise itself by simulation."""

import doctest
import math

import numpy as np
import pytest

from belay_operator.rollout.analysis import sequential
from belay_operator.rollout.analysis.sequential import (
    Moments,
    Strata,
    bound_width,
    boundary,
    half_width,
    stratified_difference,
)


def moments(values: np.ndarray) -> Moments:
    return Moments(len(values), float(np.mean(values)), float(((values - np.mean(values)) ** 2).sum()))


def strata(values: np.ndarray, windows: int) -> Strata:
    """Equal windows of the last axis."""
    cut = values.reshape(*values.shape[:-1], windows, -1)
    mean = cut.mean(axis=-1)
    return Strata(np.full(mean.shape, float(cut.shape[-1])), mean, ((cut - mean[..., None]) ** 2).sum(axis=-1))


def test_documented_value() -> None:
    assert doctest.testmod(sequential).failed == 0


def test_half_width_by_hand() -> None:
    # Standard deviations 75 and 60, by plain arithmetic on the published formula.
    error = math.sqrt(75**2 / 100 + 60**2 / 900)
    log = -2 * math.log(2 * 0.02)
    scaled = 100 * (log + math.log(log) + 1) / 100
    width = error * math.sqrt(2 * (scaled + 1) / scaled * math.log(1 + math.sqrt(scaled + 1) / 0.04))
    found = half_width(Moments(100, 420.0, 99 * 75.0**2), Moments(900, 483.0, 899 * 60.0**2), alpha=0.02)
    assert found == pytest.approx(width, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("count", [30, 100, 1000])
def test_boundary_is_where_the_mixture_reaches_one_over_alpha(alpha: float, count: int) -> None:
    """The bound comes from a gambler who spreads bets over positive effects; integrate the wealth numerically."""
    z = float(boundary(count, alpha=alpha, tightest_at=100))
    log = -2 * math.log(2 * alpha)
    spread = math.sqrt((log + math.log(log) + 1) / 100)
    effect = np.linspace(0, 12 * spread, 400_001)
    density = 2 * np.exp(-((effect / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))
    wealth = np.trapezoid(density * np.exp(effect * z * math.sqrt(count) - effect**2 * count / 2), effect)
    assert 1 <= wealth * alpha <= 1.35  # the closed form is a bound on the integral, a tight one for small alpha


def test_narrower_for_larger_alpha_and_scales_with_the_unit() -> None:
    rng = np.random.default_rng(1)
    candidate, stable = rng.normal(size=80), rng.normal(size=160)
    widths = [half_width(moments(candidate), moments(stable), alpha=a) for a in (0.001, 0.01, 0.05, 0.25)]
    assert widths == sorted(widths, reverse=True)
    scaled = half_width(moments(1000 * candidate - 7), moments(1000 * stable - 7), alpha=0.01)
    assert scaled == pytest.approx(1000 * widths[1])


def test_merge_equals_the_whole() -> None:
    values = np.random.default_rng(2).lognormal(3, 1, 100) + 1e6
    merged = moments(values[:13]).merge(moments(values[13:]))
    assert merged.count == 100
    assert merged.mean == pytest.approx(values.mean(), rel=1e-12)
    assert merged.variance == pytest.approx(values.var(ddof=1), rel=1e-9)
    assert merged.merge(Moments(0, 0.0, 0.0)) == merged


@pytest.mark.parametrize("alpha", [0.0, -0.1, 0.26, math.nan])
def test_refuses_an_alpha_without_meaning(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        boundary(50, alpha=alpha, tightest_at=100)


def test_refuses_a_sample_without_variance() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        half_width(Moments(1, 3.0, 0.0), Moments(50, 3.0, 1.0), alpha=0.01)


def test_one_window_is_the_plain_difference() -> None:
    rng = np.random.default_rng(3)
    candidate, stable = rng.normal(9, 2, 40), rng.normal(10, 1, 60)
    found = stratified_difference(strata(candidate, 1), strata(stable, 1))
    assert found.value == pytest.approx(candidate.mean() - stable.mean())
    assert bound_width(found, alpha=0.01) == pytest.approx(
        half_width(moments(candidate), moments(stable), alpha=0.01), rel=1e-12
    )


def test_thin_windows_are_left_out_and_nothing_is_nan() -> None:
    candidate = Strata(np.array([1.0, 40.0, 0.0, 30.0]), np.array([-1e9, 5.0, 0.0, 7.0]), np.array([0.0, 40, 0, 30]))
    stable = Strata(np.array([50.0, 50.0, 50.0, 1.0]), np.array([5.0, 5.0, 5.0, -1e9]), np.array([50.0, 50, 50, 0]))
    found = stratified_difference(candidate, stable)
    assert (found.value, found.candidate_count, found.stable_count) == (0.0, 40, 50)
    nothing = stratified_difference(Strata(*np.zeros((3, 0))), Strata(*np.zeros((3, 0))))
    assert np.isnan(nothing.value)
    assert bound_width(nothing, alpha=0.01) == np.inf


def test_equal_sides_that_sink_together_stay_equal() -> None:
    """Simpson: the candidate runs late, when the world is worse for both. Pooled, it looks 20 % worse."""
    level = np.linspace(100, 60, 8)
    candidate_count, stable_count = np.linspace(10, 100, 8).round(), np.linspace(190, 100, 8).round()
    candidate = Strata(candidate_count, level, 25 * (candidate_count - 1))
    stable = Strata(stable_count, level, 25 * (stable_count - 1))
    pooled = np.average(level, weights=candidate_count) - np.average(level, weights=stable_count)
    assert pooled < -5
    assert stratified_difference(candidate, stable).value == pytest.approx(0, abs=1e-9)


def test_floor() -> None:
    below, above = (strata(np.random.default_rng(4).normal(size=n), 1) for n in (29, 30))
    assert bound_width(stratified_difference(below, above), alpha=0.01) == np.inf
    assert bound_width(stratified_difference(above, above), alpha=0.01) < np.inf


@pytest.mark.parametrize("shape", ["normal", "exponential", "sinking"])
def test_crosses_at_most_alpha_of_the_time(shape: str) -> None:
    """1,000 rollouts of equal policies, a look every 20 episodes: the true difference leaves the bound rarely."""
    rng, runs, windows, each, alpha = np.random.default_rng(5), 1000, 40, 20, 0.1
    draw = rng.exponential if shape == "exponential" else rng.normal
    sides = [draw(size=(runs, windows * each)) for _ in range(2)]
    if shape == "sinking":
        sides = [side - np.linspace(0, 20, windows * each) for side in sides]
    candidate, stable = (strata(side, windows) for side in sides)
    crossed = np.zeros(runs, dtype=bool)
    for look in range(2, windows + 1):
        seen = [Strata(s.count[:, :look], s.mean[:, :look], s.m2[:, :look]) for s in (candidate, stable)]
        difference = stratified_difference(*seen)
        crossed |= difference.value + bound_width(difference, alpha=alpha) < 0
    assert crossed.mean() <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)
    assert crossed.mean() > 0  # a bound that never fails would pass this test by being useless


@pytest.mark.parametrize(("rate", "ratio"), [(0.05, 19), (0.05, 1), (0.95, 19), (0.2, 9)])
@pytest.mark.parametrize("thin_candidate", [True, False])
def test_a_thin_sample_of_a_rare_event_is_not_sure_of_itself(rate: float, ratio: int, thin_candidate: bool) -> None:
    """300 rollouts of equal policies with 20 windows of 10 episodes on the thin side; without borrowing up to 30 %."""
    rng, runs, windows, alpha = np.random.default_rng(6), 300, 20, 0.02
    thin = strata((rng.random((runs, windows * 10)) < rate).astype(float), windows)
    rich = strata((rng.random((runs, windows * 10 * ratio)) < rate).astype(float), windows)
    candidate, stable = (thin, rich) if thin_candidate else (rich, thin)
    crossed = np.zeros(runs, dtype=bool)
    for look in range(3, windows + 1):
        seen = [Strata(s.count[:, :look], s.mean[:, :look], s.m2[:, :look]) for s in (candidate, stable)]
        difference = stratified_difference(*seen)
        crossed |= difference.value + bound_width(difference, alpha=alpha) < 0
    assert crossed.mean() <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)
