"""The bet: expectation at most one where it can be enumerated, below the single episodes everywhere, the promise by
simulation for shapes nobody tuned it on."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.chance import crossings, most_by_chance
from tests.windows import outcomes

from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import (
    FORGOTTEN,
    MEMORY,
    PURSES,
    Array,
    Bet,
    Bounds,
    Direction,
    Earlier,
    Outcomes,
    discounted,
    least_gain,
    log_wealth,
    log_wealth_while_filling,
    place,
)
from belay_operator.rollout.analysis.bounds import Range, bounds
from belay_operator.rollout.analysis.evidence import flags
from belay_operator.rollout.analysis.race import Race

TENTH = Margin(0.1, relative=True)
SHARE = Bounds(np.array(0.0), np.array(1.0))
NOTHING = Range()


def single(bet: Bet, candidate: Array, stable: Array) -> Array:
    """What the bet pays for the episodes themselves."""
    d = float(bet.direction)
    share = candidate.shape[-1] / (candidate.shape[-1] + stable.shape[-1])
    centre, factor = bet.centre[..., np.newaxis], bet.factor[..., np.newaxis]
    on_c = d * (1 - share) * (candidate - centre)
    on_s = -d * share * (factor * stable - centre)
    gains = []
    for aim in range(bet.stake.shape[-1]):
        stake, shift = bet.stake[..., aim, np.newaxis], bet.shift[..., aim, np.newaxis]
        gains.append(np.log1p(stake * on_c).sum(-1) + np.log1p(stake * (on_s - d * share * shift)).sum(-1))
    return np.stack(gains, axis=-1)


def of(values: Array, stake: Array) -> float:
    """The least gain of any sample with the statistics of this one."""
    return float(least_gain(outcomes(values), stake))


samples = arrays(np.float64, st.integers(1, 12), elements=st.floats(-1, 1, width=32))


@settings(max_examples=400, deadline=None)
@given(samples, st.floats(0.01, 0.99))
def test_never_more_than_the_single_episodes_pay(values: Array, of_all: float) -> None:
    stake = np.array(of_all / max(-values.min(), 0.05))
    assert of(values, stake) <= np.log1p(stake * values).sum() + 1e-9 * values.size


@settings(max_examples=200, deadline=None)
@given(arrays(np.float64, st.integers(1, 3), elements=st.floats(-1, 1, width=32)), st.floats(0.01, 0.99))
def test_exactly_what_up_to_three_episodes_pay(values: Array, of_all: float) -> None:
    stake = np.array(of_all / max(-values.min(), 0.05))
    assert of(values, stake) == pytest.approx(np.log1p(stake * values).sum(), abs=1e-6)


def test_the_least_is_reached() -> None:
    """Two ends and others at two values, one of them the lower end: no sample of these statistics pays less."""
    values, stake = np.array([-1.0, -1.0, -1.0, 0.2, 0.2, 1.0]), np.array(0.6)
    assert of(values, stake) == pytest.approx(np.log1p(stake * values).sum(), abs=1e-9)


def test_what_lies_beyond_the_range_loses_the_bet_and_no_more() -> None:
    assert of(np.array([-3.0, 0.5, 1.0, 1.0]), np.array(0.5)) == -1e3


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 9), st.integers(1, 9), st.floats(0.05, 0.9))
def test_exactly_what_the_single_episodes_pay_where_outcomes_are_0_or_1(ones: int, zeros: int, stake: float) -> None:
    values = np.array([1.0] * ones + [-0.7] * zeros)
    assert of(values, np.array(stake)) == pytest.approx(float(np.log1p(stake * values).sum()), abs=1e-9)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("margin", [TENTH, Margin(0.05, relative=False)])
def test_whole_bets_stay_below_the_single_episodes(direction: Direction, margin: Margin) -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        candidate, stable = rng.beta(0.3, 0.4, (6, rng.integers(1, 9))), rng.beta(0.5, 0.3, (6, rng.integers(1, 9)))
        sides = outcomes(candidate), outcomes(stable)
        bet = place(direction, margin, *sides, SHARE, earlier=Earlier(0.5, 0.3, 0, 1))
        paid = single(bet, candidate, stable)
        assert (bet.log_gain(*sides) <= paid + 1e-9).all()
        bits = [np.rint(side) for side in (candidate, stable)]
        sides = outcomes(bits[0]), outcomes(bits[1])
        bet = place(direction, margin, *sides, SHARE, earlier=Earlier(0.5, 0.3, 0, 1))
        np.testing.assert_allclose(bet.log_gain(*sides), single(bet, *bits), atol=1e-9)


def binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("rate", [0.02, 0.3, 0.85])
@pytest.mark.parametrize("sizes", [(4, 4), (2, 6), (6, 1)])
def test_expected_wealth_is_at_most_one(sizes: tuple[int, int], rate: float, direction: Direction) -> None:
    """Two windows of different rates, every possible outcome weighted with its probability: no approximation."""
    (n, m), expected = sizes, 0.0
    rates, margin = (rate, rate / 2), Margin(0.1, relative=False)  # the world changes for both sides
    shift = -0.1 if direction is Direction.BETTER else 0.0
    for a, b, c, d in itertools.product(range(n + 1), range(m + 1), range(n + 1), range(m + 1)):
        probability = math.prod(
            binomial(size, ones, max(p, 0.0))
            for size, ones, p in (
                (n, a, rates[0] + shift),
                (m, b, rates[0]),
                (n, c, rates[1] + shift),
                (m, d, rates[1]),
            )
        )
        if probability == 0 or min(rates) + shift < 0:
            continue
        sides = [
            flags(np.array(ones, dtype=float), np.array([size] * 2, dtype=float))
            for size, ones in ((n, [a, c]), (m, [b, d]))
        ]
        race = Race(margin, *sides, SHARE, Earlier(0.5, 0.5, 0, 1))
        wealth = race.better() if direction is Direction.BETTER else race.worse()
        expected += probability * math.exp(wealth[-1])
    assert expected <= 1 + 1e-9


def two_valued(low: float, high: float, share: float) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    return lambda rng, size: np.where(rng.random(size) < share, low, high)


def normal(mean: float, spread: float) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    return lambda rng, size: np.clip(rng.normal(mean, spread, size), -1500, 2000)


SHAPES = {
    "jackpots": (two_valued(585, 285, 0.05), normal(300, 30), (0, 700)),
    "rare jackpots": (two_valued(1770, 270, 0.02), normal(300, 30), (0, 2000)),
    "stable's disasters": (normal(300, 30), two_valued(-80, 320, 0.05), (-200, 600)),
    "skewed": (lambda rng, size: rng.gamma(0.3, 1000, size).clip(max=9000), normal(300, 30), (-100, 9000)),
    "constant": (two_valued(300, 300, 0.5), two_valued(300, 300, 0.5), (0, 600)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("each", [(10, 10), (2, 18), (1, 1)])
def test_an_equal_mean_of_any_shape_fails_no_more_often_than_promised(shape: str, each: tuple[int, int]) -> None:
    rng, runs, windows, alpha = np.random.default_rng(5), 600, 40, 0.05
    of_candidate, of_stable, ends = SHAPES[shape]
    candidate = outcomes(of_candidate(rng, (runs, windows, each[0])))
    stable = outcomes(of_stable(rng, (runs, windows, each[1])))
    race = Race(TENTH, candidate, stable, Bounds(*map(np.array, map(float, ends))), None)
    assert crossings(race.worse(), alpha) <= most_by_chance(runs, alpha)


WORSE = {
    "2 % disasters": (two_valued(-1200, 300, 0.02), normal(300, 30), (-1500, 600)),
    "5 % disasters": (two_valued(-300, 300, 0.05), normal(300, 30), (-500, 600)),
    "10 % crashes": (two_valued(0, 300, 0.1), normal(300, 30), (-50, 600)),
    "crashes, stable constant": (two_valued(0, 300, 0.1), two_valued(300, 300, 0.5), (0, 600)),
}


@pytest.mark.parametrize("shape", WORSE)
@pytest.mark.parametrize("each", [(10, 10), (2, 18)])
def test_ten_percent_worse_of_any_shape_passes_no_more_often_than_promised(shape: str, each: tuple[int, int]) -> None:
    rng, runs, windows, alpha = np.random.default_rng(6), 600, 80, 0.025
    of_candidate, of_stable, ends = WORSE[shape]
    candidate = outcomes(of_candidate(rng, (runs, windows, each[0])))
    stable = outcomes(of_stable(rng, (runs, windows, each[1])))
    race = Race(TENTH, candidate, stable, Bounds(*map(np.array, map(float, ends))), None)
    assert crossings(race.better(), alpha) <= most_by_chance(runs, alpha)


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_looking_after_every_episode_keeps_the_error(share: float, rate: float) -> None:
    """The window's share of candidates is itself random while it fills."""
    rng, runs, windows, each, alpha = np.random.default_rng(7), 400, 4, 40, 0.1
    of_candidate = rng.random((runs, windows, each)) < share
    one = rng.random((runs, windows, each)) < rate

    def side(chosen: Array, upto: int) -> Outcomes:
        return flags((chosen & one)[..., :upto].sum(-1).astype(float), chosen[..., :upto].sum(-1).astype(float))

    full = Race(Margin(0.1, relative=False), side(of_candidate, each), side(~of_candidate, each), SHARE, None)
    crossed = np.zeros(runs, dtype=bool)
    for look in range(1, each + 1):
        evidence = full.worse((side(of_candidate, look), side(~of_candidate, look)))
        crossed |= (evidence >= math.log(1 / alpha)).any(axis=-1)
    assert crossed.sum() <= most_by_chance(runs, alpha)


def test_what_turns_worse_after_long_good_times_is_found_by_fresh_money() -> None:
    rng, good, bad = np.random.default_rng(8), 300, 60
    level = np.concatenate([np.full(good, 300.0), np.full(bad, 240.0)])
    candidate = outcomes(np.clip(rng.normal(level[:, np.newaxis], 105, (200, good + bad, 10)), 0, 600))
    stable = outcomes(np.clip(rng.normal(300, 105, (200, good + bad, 10)), 0, 600))
    evidence = Race(TENTH, candidate, stable, Bounds(np.array(0.0), np.array(600.0)), None).worse()
    late = evidence[:, good:] >= math.log(1 / 0.009)
    assert late.any(axis=1).mean() > 0.95
    assert np.median(late.argmax(axis=1) + 1) * 10 <= 250


def test_a_candidate_worse_by_less_than_half_the_margin_is_seldom_taken_back() -> None:
    rng, shape = np.random.default_rng(9), (200, 300, 10)
    candidate, stable = (outcomes(np.clip(rng.normal(mean, 105, shape), 0, 1500)) for mean in (291, 300))
    evidence = Race(TENTH, candidate, stable, Bounds(np.array(0.0), np.array(1500.0)), None).worse()
    assert crossings(evidence, 0.009) <= 0.1 * 200


def test_order_within_a_window_and_units_do_not_matter() -> None:
    rng = np.random.default_rng(10)
    candidate, stable = rng.normal(270, 60, (9, 8)), rng.normal(300, 60, (9, 12))
    for scale, shuffle in ((1.0, True), (1e3, False), (1e-6, False)):
        others = [rng.permuted(side, axis=1) if shuffle else scale * side for side in (candidate, stable)]
        races = [
            Race(TENTH, *sides, bounds(NOTHING, TENTH, *sides, None), None)
            for sides in ((outcomes(candidate), outcomes(stable)), (outcomes(others[0]), outcomes(others[1])))
        ]
        np.testing.assert_allclose(races[0].worse(), races[1].worse(), rtol=1e-6)
        np.testing.assert_allclose(races[0].better(), races[1].better(), rtol=1e-6)


def test_the_sign_of_stables_mean_needs_no_case_of_its_own() -> None:
    """Pendulum: stable -480; 10 % worse is -528."""
    rng = np.random.default_rng(11)
    stable = outcomes(rng.normal(-480, 100, (200, 40, 10)))
    for mean, rejected in ((-480, 0.9), (-528, 0.0)):
        candidate = outcomes(rng.normal(mean, 100, (200, 40, 10)))
        evidence = Race(TENTH, candidate, stable, Bounds(np.array(-1000.0), np.array(0.0)), None).better()
        share = crossings(evidence, 0.025) / 200
        assert share >= rejected if rejected else crossings(evidence, 0.025) <= most_by_chance(200, 0.025)


def test_a_window_without_one_side_says_nothing() -> None:
    rng = np.random.default_rng(12)
    sides = [outcomes(rng.normal(300, 60, (6, 10))) for _ in range(2)]
    sides[0].count[2] = 0
    evidence = Race(TENTH, *sides, bounds(NOTHING, TENTH, *sides, None), None).better()
    assert evidence[2] == evidence[1]


def test_a_look_into_a_full_window_is_the_look_at_its_end() -> None:
    rng = np.random.default_rng(13)
    sides = outcomes(rng.normal(280, 60, (3, 7, 10))), outcomes(rng.normal(300, 60, (3, 7, 10)))
    race = Race(TENTH, *sides, bounds(NOTHING, TENTH, *sides, None), None)
    np.testing.assert_allclose(race.worse(sides), race.worse())
    np.testing.assert_allclose(race.better(sides), race.better())


def test_money_over_time_is_never_more_than_there_was() -> None:
    gain = np.zeros((500, 2))
    for purse in PURSES.values():
        np.testing.assert_allclose(log_wealth(gain, purse), 0, atol=1e-12)
        np.testing.assert_allclose(log_wealth_while_filling(gain, gain, purse), 0, atol=1e-12)


def test_stakes_are_set_by_earlier_windows_only() -> None:
    rng = np.random.default_rng(14)
    candidate, stable = rng.normal(280, 60, (5, 10)), rng.normal(300, 60, (5, 10))
    changed = candidate.copy()
    changed[3] += 1000
    bets = [
        place(
            Direction.WORSE,
            TENTH,
            outcomes(side),
            outcomes(stable),
            bounds(NOTHING, TENTH, outcomes(side), outcomes(stable), None),
            earlier=None,
        )
        for side in (candidate, changed)
    ]
    for part in ("stake", "centre", "factor", "shift"):
        before, after = (getattr(bet, part) for bet in bets)
        np.testing.assert_array_equal(before[:4], after[:4])
        assert part in ("factor", "shift") or not np.array_equal(before[4], after[4])


def test_an_outcome_beyond_the_ends_loses_what_was_staked_and_no_more() -> None:
    rng = np.random.default_rng(15)
    stable = rng.normal(300, 30, (9, 10))
    candidate = stable.copy()
    candidate[6, 0] = -1e6
    sides = outcomes(candidate), outcomes(stable)
    race = Race(TENTH, *sides, bounds(NOTHING, TENTH, *sides, None), None)
    assert race.better()[5] > 0
    assert race.better()[6] < -100
    assert np.isfinite(race.better()).all()
    turned = replace(race, candidate=sides[1], stable=sides[0], bounds=bounds(NOTHING, TENTH, *reversed(sides), None))
    assert race.worse()[-1] > turned.worse()[-1] >= math.log(0.05), "of the money for Fail the rest is still there"


@pytest.mark.parametrize("windows", [1, 2, FORGOTTEN, FORGOTTEN + 1, 3 * FORGOTTEN + 5])
def test_discounting_by_doubling_is_discounting(windows: int) -> None:
    values, carried, wanted = np.random.default_rng(16).normal(size=(2, windows)), np.zeros(2), []
    for window in range(windows):
        wanted.append(carried)
        carried = MEMORY * carried + values[:, window]
    np.testing.assert_allclose(discounted(values), np.stack(wanted, axis=-1), atol=1e-12)


def test_the_interval_encloses_the_observed_difference_and_narrows() -> None:
    rng, widths = np.random.default_rng(17), []
    for windows in (10, 100):
        candidate = outcomes(rng.normal(280, 60, (windows, 10)))
        stable = outcomes(rng.normal(300, 60, (windows, 10)))
        race = Race(TENTH, candidate, stable, bounds(NOTHING, TENTH, candidate, stable, None), None)
        low, high = race.interval(alpha_low=0.025, alpha_high=0.009)
        assert low < (candidate.mean - stable.mean).mean() < high
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]


def test_a_claim_that_is_further_off_is_rejected_sooner() -> None:
    """It is what lets halving find the ends of an interval; shapes and windows at random."""
    rng, certain = np.random.default_rng(20), Bounds(np.array(0.0), np.array(1000.0))
    for number in range(60):
        windows, each = int(rng.integers(2, 60)), rng.integers(1, 20, 2)
        candidate, stable = (
            outcomes(
                [
                    rng.normal(mean, 100, (windows, size)).clip(0, 1000),
                    rng.choice([0.0, mean], (windows, size), p=[0.1, 0.9]),
                    np.where(rng.random((windows, size)) < 0.02, 1000.0, mean),
                ][number % 3]
            )
            for mean, size in zip((300 * rng.uniform(0.5, 1.5), 300.0), each, strict=True)
        )
        for direction, far in ((Direction.BETTER, -1000.0), (Direction.WORSE, 1000.0)):
            shifts = np.linspace(far, -far, 257)
            bet = place(direction, TENTH, candidate, stable, certain, earlier=None, shift=shifts)
            evidence = log_wealth(bet.log_gain(candidate, stable), PURSES[direction])[..., -1]
            rejected = evidence >= math.log(1 / 0.02)
            assert rejected[: int(rejected.sum())].all()


def test_the_interval_holds_the_true_difference_at_every_look() -> None:
    """Each end has an error of its own; together at most their sum, over all windows."""
    rng, runs, windows, alpha = np.random.default_rng(18), 120, 30, 0.05
    missed = 0
    for _ in range(runs):
        candidate = outcomes(rng.gamma(2, 140, (windows, 10)).clip(max=2000))
        stable = outcomes(rng.gamma(2, 140, (windows, 10)).clip(max=2000))
        for look in (5, 12, 30):
            parts = [Outcomes(*(p[:look] for p in (s.count, s.mean, s.m2, s.low, s.high))) for s in (candidate, stable)]
            race = Race(TENTH, *parts, Bounds(np.array(0.0), np.array(2000.0)), None)
            low, high = race.interval(alpha_low=alpha, alpha_high=alpha)
            if not low <= 0 <= high:
                missed += 1
                break
    assert missed <= most_by_chance(runs, 2 * alpha)
