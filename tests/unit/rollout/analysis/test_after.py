"""After the promotion: false alarms a month, what is found when, and that an alarm ends."""

import numpy as np
import pytest
from tests.chance import most_by_chance
from tests.unit.rollout.analysis.test_regret import outcomes

from belay_operator.rollout.analysis.after import AIMS, NOTHING, Reference, reference, worse
from belay_operator.rollout.analysis.bet import Array, Bounds, Outcomes

BOUNDS = Bounds(np.array(0.0), np.array(600.0))
MONTH_S, WINDOW_S = 30 * 86_400.0, 300.0


def returns(rng: np.random.Generator, mean: float | Array, shape: tuple[int, ...]) -> Array:
    """Triangular around it, with a standard deviation of about 105."""
    return rng.triangular(mean - 255.0, mean, mean + 255.0, shape)


def watch(windows: Outcomes, least: float, *, month_s: float = MONTH_S) -> Array:
    elapsed = np.full(windows.count.shape[-1], WINDOW_S)
    held = np.zeros((*windows.count.shape[:-1], AIMS.size))
    found = worse(held, windows, elapsed, least=least, spread=105.0, bounds=BOUNDS, per_s=1 / month_s)
    return found.sum(axis=-1)


def test_exactly_at_the_edge_there_is_at_most_one_false_alarm_in_the_time_stated() -> None:
    """A mean that is just what it may be; the rate is one in 36 hours instead of a month: 300 such spans."""
    rng, months = np.random.default_rng(1), 300
    windows = outcomes(returns(rng, 280.0, (months, 432, 4)))
    alarms = (watch(windows, 280.0, month_s=432 * WINDOW_S) >= 1).any(axis=-1).sum()
    assert alarms <= most_by_chance(months, 1 - np.exp(-1.0)), "once in its length on average"


def test_as_good_as_when_it_was_promoted_there_is_none_in_a_hundred_times_that() -> None:
    """The reference is drawn anew each time, as a promotion does."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        known = reference(outcomes(returns(rng, 300.0, (10, 20))))
        assert known is not None
        windows = outcomes(returns(rng, 300.0, (5, 400, 4)))
        assert not (watch(windows, known.least(30.0), month_s=400 * WINDOW_S) >= 1).any()


@pytest.mark.parametrize(("fall", "within"), [(60.0, 60), (90.0, 12)])
def test_a_fall_after_a_week_of_health_is_found(fall: float, within: int) -> None:
    """Windows of five minutes with 20 episodes each."""
    rng, healthy = np.random.default_rng(3), 500
    means = np.where(np.arange(healthy + 200) < healthy, 300.0, 300.0 - fall)[np.newaxis, :, np.newaxis]
    windows = outcomes(returns(rng, means, (20, healthy + 200, 20)))
    least = Reference(300.0, 105.0, 400).least(30.0)
    alarm = watch(windows, least) >= 1
    assert not alarm[:, :healthy].any()
    assert np.median(alarm[:, healthy:].argmax(axis=-1)) < within
    assert alarm.any(axis=-1).all()


def test_few_episodes_make_no_reference_and_more_a_better_one() -> None:
    rng = np.random.default_rng(4)
    assert reference(outcomes(returns(rng, 300.0, (9, 11)))) is None
    values = returns(rng, 300.0, (20, 25))
    found = reference(outcomes(values))
    assert found is not None
    assert (found.mean, found.spread) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)))
    assert Reference(300.0, 100.0, 100).least(0.0) < Reference(300.0, 100.0, 10_000).least(0.0) < 300.0


def test_an_outcome_beyond_the_range_may_lose_a_stake_and_never_makes_one() -> None:
    windows = outcomes(np.full((1, 3, 5), 10_000.0))
    assert (watch(windows, 270.0) < 1e-3).all()
    assert len(NOTHING) == AIMS.size
