"""Bounds of a mean and of a quantile, against closed forms, tables and, above all, the rate at which they are wrong."""

import math

import numpy as np
import pytest

from belay_api.reasons import Verdict
from belay_trainer.validation.bounds import Floats, mean_bounds, quantile_bounds
from belay_trainer.validation.measurement import LOOKS, Judged, judge_mean, worst


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [  # Clopper and Pearson's 95 % two-sided intervals, as R's binom.test prints them
        (5, 100, 0.01643, 0.11283),
        (50, 100, 0.39832, 0.60168),
        (99, 100, 0.94554, 0.99975),
        (3, 10, 0.06674, 0.65245),
    ],
)
def test_zeros_and_ones_have_clopper_and_pearsons_bounds(hits: int, count: int, low: float, high: float) -> None:
    values = np.array([1.0] * hits + [0.0] * (count - hits))
    assert mean_bounds(values, low=0, high=1, alpha=0.025) == pytest.approx((low, high), abs=0.01)


def test_what_was_never_seen_is_counted_by_the_rule_of_three() -> None:
    _, most = mean_bounds(np.zeros(100), low=0, high=1, alpha=0.05)
    assert most == pytest.approx(1 - 0.05 ** (1 / 100), rel=1e-12)
    least, _ = mean_bounds(np.full(100, 500.0), low=1, high=500, alpha=0.05)
    assert least == pytest.approx(1 + 499 * 0.05 ** (1 / 100), rel=1e-12), "500 a hundred times does not prove 500"


def test_bounds_move_with_the_unit_and_repeat() -> None:
    values = np.random.default_rng(3).exponential(size=60)
    low, high = mean_bounds(values, low=0, high=20, alpha=0.05)
    turned = mean_bounds(-2 * values + 7, low=-33, high=7, alpha=0.05)
    assert turned == pytest.approx((-2 * high + 7, -2 * low + 7), rel=0.02)
    assert mean_bounds(values, low=0, high=20, alpha=0.05) == (low, high)
    assert mean_bounds(values, low=0, high=20, alpha=0.01)[0] < low
    assert low < values.mean() < high


def test_a_value_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="outside 0 to 1"):
        mean_bounds(np.array([0.5, 1.5]), low=0, high=1, alpha=0.05)
    with pytest.raises(ValueError, match="no values"):
        mean_bounds(np.array([]), low=0, high=1, alpha=0.05)


def test_quantile_bounds_are_order_statistics() -> None:
    values = np.arange(1.0, 101.0)
    # Of 100 values 58 or fewer lie below the median with probability 0.9557, 57 with 0.9334; 41 or fewer with 0.0443.
    assert quantile_bounds(values, share=0.5, alpha=0.05) == (42.0, 59.0)
    assert quantile_bounds(values, share=0.99, alpha=0.05)[1] == math.inf, "of 100 values none is above 99 % for sure"
    assert quantile_bounds(np.arange(299.0), share=0.99, alpha=0.05)[1] == 298.0, "0.99^299 is just below 0.05"
    assert quantile_bounds(np.arange(298.0), share=0.99, alpha=0.05)[1] == math.inf


def test_quantile_bounds_are_wrong_as_seldom_as_they_say() -> None:
    generator = np.random.default_rng(5)
    true = math.log(100.0)  # p99 of an exponential
    found = [quantile_bounds(generator.exponential(size=1000), share=0.99, alpha=0.05) for _ in range(400)]
    assert sum(low > true for low, _ in found) <= 33, "20 expected; beyond 33 with probability 0.002"
    assert sum(high < true for _, high in found) <= 33


def rare_failure(generator: np.random.Generator, count: int) -> Floats:
    """Returns 500, and in one episode of 50 almost nothing: mean 490."""
    return np.where(generator.random(count) < 0.02, 0.0, 500.0)


@pytest.mark.parametrize("limit", [490.0 + 1e-9, 490.0])
def test_no_gate_is_passed_or_failed_more_often_by_chance_than_it_says(limit: float) -> None:
    """At the limit itself, over all looks. A t interval passes such a policy in 36 % of validations of 50 episodes."""
    generator, count, wrong = np.random.default_rng(7), 200, 0
    for _ in range(count):
        returns = rare_failure(generator, 50 * LOOKS[-1])
        found = judge_mean(lambda n, r=returns: (r[:n], 0.0, 500.0), episodes=50, limit=limit, confidence=0.95)
        wrong += found.verdict is (Verdict.PASS if limit > 490 else Verdict.FAIL)
    assert wrong <= 19, "10 of 200 at most are expected; beyond 19 with probability 0.003"


def test_a_clear_case_is_told_at_the_first_look_and_a_close_one_never() -> None:
    generator = np.random.default_rng(11)
    returns = generator.uniform(0, 1, 1000)

    def sample(count: int) -> tuple[Floats, float, float]:
        return returns[:count], 0.0, 1.0

    clear = judge_mean(sample, episodes=100, limit=0.3, confidence=0.95)
    assert (clear.verdict, clear.episodes) == (Verdict.PASS, 100)
    bad = judge_mean(sample, episodes=100, limit=0.7, confidence=0.95)
    assert (bad.verdict, bad.episodes) == (Verdict.FAIL, 100)
    close = judge_mean(sample, episodes=100, limit=float(returns[:400].mean()), confidence=0.95)
    assert (close.verdict, close.episodes) == (Verdict.NOT_ENOUGH_SAMPLES, 400)
    assert "too near" in close.told("return", field="minReturn", confidence=0.95).message


def test_advice_on_episodes_is_worth_following() -> None:
    returns = np.random.default_rng(13).uniform(0, 1, 40_000)
    few = judge_mean(lambda n: (returns[:n], 0.0, 1.0), episodes=20, limit=0.45, confidence=0.95)
    assert few.verdict is Verdict.NOT_ENOUGH_SAMPLES
    told = few.told("return", field="minReturn", confidence=0.95).message
    wanted = int(told.split("About ")[1].split()[0])
    assert 80 < wanted < 5_000
    more = judge_mean(lambda n: (returns[:n], 0.0, 1.0), episodes=wanted, limit=0.45, confidence=0.95)
    assert more.verdict is Verdict.PASS


def test_a_limit_from_above_is_told_as_one() -> None:
    judged = judge_mean(lambda n: (-np.zeros(n), -1.0, 0.0), episodes=100, limit=-0.05, confidence=0.95)
    rate = judged.mapped(scale=-100)
    assert (rate.mean, rate.low, rate.limit, rate.at_most) == (0, 0, 5, True)
    assert rate.high == pytest.approx(100 * (1 - (0.05 / 3) ** 0.01), rel=0.03)
    told = rate.told("violations", field="maxRate", confidence=0.95, unit="%")
    assert told.message.startswith("violations: 0 % over 100 episodes, at most 4.0")


def test_the_gravest_verdict_is_the_wholes() -> None:
    assert worst([Verdict.PASS, Verdict.NOT_ENOUGH_SAMPLES]) is Verdict.NOT_ENOUGH_SAMPLES
    assert worst([Verdict.NO_DATA, Verdict.NOT_ENOUGH_SAMPLES]) is Verdict.NO_DATA
    assert worst([Verdict.FAIL, Verdict.NO_DATA, Verdict.PASS]) is Verdict.FAIL


@pytest.mark.parametrize("offset", [29.000000000000004, 28.99999999999999])
def test_what_cancels_is_nothing_at_all(offset: float) -> None:
    drop = Judged(Verdict.PASS, mean=0.29, low=0.2, high=0.4, limit=0.0, episodes=100)
    told = drop.mapped(scale=-100, offset=offset).told("drop", field="maxDrop", confidence=0.95, unit="%")
    assert told.message.startswith("drop: 0 % over 100 episodes")
