"""Betting on 0/1 outcomes: exact expectation where it can be enumerated, the promise by simulation elsewhere."""

import itertools
import math

import numpy as np
import pytest

from belay_operator.rollout.analysis.betting import AT_ONCE, Counts, Wealth, interval, log_wealth, log_wealth_below


def counts(ones: list[float], total: list[float]) -> Counts:
    return Counts(np.array(ones, dtype=float), np.array(total, dtype=float))


def binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@pytest.mark.parametrize("shift", [0.0, 0.1])
@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5, 0.85])
@pytest.mark.parametrize("sizes", [(4, 4), (2, 7), (6, 1)])
def test_expected_wealth_is_at_most_one(sizes: tuple[int, int], rate: float, shift: float) -> None:
    """Two windows of different rates, every possible outcome weighted with its probability: no approximation."""
    (n, m), expected = sizes, 0.0
    rates = (rate, rate / 2)  # the world changes between the windows, for both sides
    for a, b, c, d in itertools.product(range(n + 1), range(m + 1), range(n + 1), range(m + 1)):
        probability = binomial(n, a, rates[0] + shift) * binomial(m, b, rates[0])
        probability *= binomial(n, c, rates[1] + shift) * binomial(m, d, rates[1])
        expected += probability * math.exp(log_wealth(counts([a, c], [n, n]), counts([b, d], [m, m]), shift=shift))
    assert expected <= 1 + 1e-9


@pytest.mark.parametrize(("share", "rate"), [(0.5, 0.02), (0.5, 0.5), (0.05, 0.05), (0.05, 0.5)])
def test_looking_after_every_episode_keeps_the_error(share: float, rate: float) -> None:
    """600 rollouts of equal policies; the window's share of candidates is itself random while it fills."""
    rng, runs, windows, each, alpha = np.random.default_rng(7), 600, 5, 40, 0.1
    of_candidate = rng.random((runs, windows, each)) < share
    one = rng.random((runs, windows, each)) < rate
    highest = np.full(runs, -np.inf)
    for look in range(1, windows * each + 1):
        full = (look - 1) // each
        seen = np.zeros((windows, each), dtype=bool)
        seen.reshape(-1)[:look] = True
        ones = [(one & side & seen).sum(axis=-1)[:, : full + 1].astype(float) for side in (of_candidate, ~of_candidate)]
        total = [(side & seen).sum(axis=-1)[:, : full + 1].astype(float) for side in (of_candidate, ~of_candidate)]
        wealth = log_wealth(Counts(ones[0], total[0]), Counts(ones[1], total[1]))
        highest = np.maximum(highest, wealth)
    assert (highest >= math.log(1 / alpha)).mean() <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_silence_in_a_quarter_of_episodes_is_found_early() -> None:
    """At 5 % of the traffic: 20 candidate episodes a window, 5 of them silent, against 2 of 380."""
    candidate, stable = counts([5, 5, 5], [20, 20, 20]), counts([2, 2, 2], [380, 380, 380])
    assert log_wealth(candidate, stable) > math.log(1 / 0.0005)
    assert log_wealth(stable, candidate) < 0


def test_a_rate_that_drifts_for_both_sides_is_no_evidence() -> None:
    ones = [18, 15, 12, 9, 6, 3]
    candidate, stable = counts(ones, [20] * 6), counts([5 * k for k in ones], [100] * 6)
    assert log_wealth(candidate, stable) < 0
    assert log_wealth_below(candidate, stable) < 0


def test_scaled_claim() -> None:
    """p_c > 0.8 p_s at equal rates of 1/2 is true, p_c > 1.2 p_s is not; and the other way around."""
    side = counts([100] * 5, [200] * 5)
    assert log_wealth(side, side, factor=0.8) > math.log(100) > 0 > log_wealth(side, side, factor=1.2)
    assert log_wealth_below(side, side, factor=1.2) > math.log(100) > 0 > log_wealth_below(side, side, factor=0.8)


def test_interval_encloses_the_observed_difference_and_narrows() -> None:
    def width(episodes: int, alpha: float) -> float:
        candidate, stable = counts([0.3 * episodes], [episodes]), counts([0.1 * episodes], [episodes])
        low, high = interval(candidate, stable, alpha_low=alpha, alpha_high=alpha)
        assert -1 <= low < 0.2 < high <= 1
        return high - low

    assert width(1000, 0.05) < width(100, 0.05) < width(100, 0.001)
    assert width(1000, 0.05) < 0.16


def test_nothing_seen_says_nothing() -> None:
    empty = counts([], [])
    assert log_wealth(empty, empty) == 0
    one_sided = log_wealth(counts([9], [10]), counts([0], [0]))
    assert one_sided == pytest.approx(0, abs=1e-9)
    assert interval(empty, empty, alpha_low=0.05, alpha_high=0.05) == (-1, 1)


def test_going_on_from_full_windows_equals_starting_over() -> None:
    rng = np.random.default_rng(9)
    total = [rng.integers(0, 30, (3, 6)).astype(float) for _ in range(2)]
    sides = [Counts(rng.binomial(n.astype(int), 0.3).astype(float), n) for n in total]
    whole = log_wealth(*sides, shift=0.02, factor=1.1)
    wealth = Wealth.start(shift=0.02, factor=1.1)
    for window in range(6):
        only = slice(window, window + 1)
        wealth = wealth.after(*(Counts(side.ones[:, only], side.total[:, only]) for side in sides))
    np.testing.assert_allclose(wealth.log, whole, rtol=1e-12)


def test_many_windows_are_taken_in_parts_with_the_same_result() -> None:
    rng = np.random.default_rng(10)
    total = [rng.integers(0, 9, 3 * AT_ONCE + 7).astype(float) for _ in range(2)]
    sides = [Counts(rng.binomial(n.astype(int), 0.3).astype(float), n) for n in total]
    at_once = Wealth.start(shift=0.05).after(*sides).log
    assert log_wealth(*sides, shift=0.05) == pytest.approx(at_once, rel=1e-12)


def test_whatever_is_rejected_lies_below_what_is_not() -> None:
    """The search for an interval's end halves; it rests on there being one end."""
    rng, shifts = np.random.default_rng(11), np.linspace(-1, 1, 201)
    for _ in range(60):
        total = [rng.integers(0, most, rng.integers(1, 20)).astype(float) for most in (30, 60)]
        total = [n[: min(map(len, total))] for n in total]
        sides = [
            Counts(rng.binomial(n.astype(int), p).astype(float), n) for n, p in zip(total, rng.random(2), strict=True)
        ]
        rejected = log_wealth(*sides, shift=shifts) >= math.log(1 / 0.01)
        assert not (rejected[1:] & ~rejected[:-1]).any()
