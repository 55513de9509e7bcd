"""One look at one metric: five outcomes, each with a reason, and none by accident."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from belay_api.reasons import Verdict
from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.evidence import Better, Comparison, StartWindow, earlier, pair, summary
from belay_operator.rollout.analysis.verdict import judge

BUDGET = split(0.01, 2)
TENTH = Margin(0.1, relative=True)
RETURN = Comparison("return", Better.MORE, TENTH)
VIOLATIONS = Comparison("violations", Better.LESS, Margin(0.05, relative=False), Range(low=0.0))
SUCCESS = Comparison("success", Better.MORE, TENTH, Range(0.0, 1.0))
START = datetime(2026, 5, 4, 10, tzinfo=UTC)


def window(index: int, values: Sequence[float] | np.ndarray, missing: int = 0) -> StartWindow:
    start, array = START + index * timedelta(minutes=5), np.asarray(values, dtype=float)
    if not len(array):
        return StartWindow(start, 0, missing)
    mean = float(array.mean())
    m2 = float(((array - mean) ** 2).sum())
    return StartWindow(start, len(array), missing, mean, m2, float(array.min()), float(array.max()))


def returns(mean: float, *, each: int = 20, windows: int = 10, seed: int = 0, missing: int = 0) -> list[StartWindow]:
    rng = np.random.default_rng(seed)
    return [window(i, rng.normal(mean, 100, each), missing) for i in range(windows)]


def flags(ones: int, *, each: int = 50, windows: int = 10) -> list[StartWindow]:
    return [window(i, [1.0] * ones + [0.0] * (each - ones)) for i in range(windows)]


@pytest.mark.parametrize(
    ("candidate", "verdict"), [(480, Verdict.PASS), (380, Verdict.FAIL), (457, Verdict.NOT_ENOUGH_SAMPLES)]
)
def test_return(candidate: float, verdict: Verdict) -> None:
    found = judge(RETURN, returns(candidate, seed=1), returns(480, each=60), budget=BUDGET)
    assert found.verdict is verdict, found
    assert found.fail_below == 0
    assert found.pass_above == pytest.approx(-48, rel=0.05)
    assert found.interval is not None
    assert found.difference is not None
    low, high = found.interval
    assert low is not None
    assert high is not None
    assert low < found.difference < high
    assert (high < 0) == (verdict is Verdict.FAIL)
    assert (low > found.pass_above) == (verdict is Verdict.PASS)


@pytest.mark.parametrize(("ones", "verdict"), [(0, Verdict.PASS), (12, Verdict.FAIL), (2, Verdict.NOT_ENOUGH_SAMPLES)])
def test_violations(ones: int, verdict: Verdict) -> None:
    found = judge(VIOLATIONS, flags(ones), flags(1), budget=BUDGET)
    assert found.verdict is verdict, found
    assert (found.fail_below, found.pass_above) == (0, 0.05)
    assert found.interval is not None
    assert found.interval[0] is not None
    assert found.interval[1] is not None
    assert (found.interval[0] >= 0) == (verdict is Verdict.FAIL)
    assert (found.interval[1] <= 0.05) == (verdict is Verdict.PASS)


@pytest.mark.parametrize(
    ("ones", "verdict"), [(45, Verdict.PASS), (30, Verdict.FAIL), (43, Verdict.NOT_ENOUGH_SAMPLES)]
)
def test_success(ones: int, verdict: Verdict) -> None:
    found = judge(SUCCESS, flags(ones), flags(45), budget=BUDGET)
    assert found.verdict is verdict, found
    assert found.pass_above == pytest.approx(-0.09)


def test_counts_are_judged_like_anything_else() -> None:
    rng = np.random.default_rng(3)
    worse = [window(i, rng.poisson(1.0, 40)) for i in range(10)]
    stable = [window(i, rng.poisson(0.2, 40)) for i in range(10)]
    assert judge(VIOLATIONS, worse, stable, budget=BUDGET).verdict is Verdict.FAIL


def test_no_answer_is_not_no_data() -> None:
    stable = returns(480)
    assert judge(RETURN, None, stable, budget=BUDGET).verdict is Verdict.PROVIDER_DOWN
    assert judge(RETURN, stable, None, budget=BUDGET).verdict is Verdict.PROVIDER_DOWN
    for candidate, other in (([], stable), (stable, []), ([], []), (returns(0, each=0, missing=1, windows=2), stable)):
        assert judge(RETURN, candidate, other, budget=BUDGET).verdict is Verdict.NO_DATA


def test_one_window_decides_nothing_about_an_outcome_that_nothing_is_known_of() -> None:
    found = judge(RETURN, returns(10, each=30, windows=1), returns(480, each=200, windows=1), budget=BUDGET)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES
    known = earlier(returns(480, windows=3), returns(480, windows=3))
    found = judge(
        RETURN, returns(10, each=30, windows=1), returns(480, each=200, windows=1), budget=BUDGET, earlier=known
    )
    assert found.verdict is Verdict.FAIL, "with stable's past it does"


def test_an_outcome_outside_the_declared_range_is_said_and_decides_nothing() -> None:
    """Fail rests on the candidate's upper end and stable's lower, Pass on the other two."""
    declared = Comparison("return", Better.MORE, TENTH, Range(0.0, 1000.0))
    far_below = [*returns(480, seed=1), window(10, [-5000.0] * 20)]
    found = judge(declared, far_below, [*returns(480, each=60), window(10, [480.0] * 60)], budget=BUDGET)
    assert found.verdict is not Verdict.PASS
    above = [*returns(480, seed=1), window(10, [1500.0] * 20)]
    found = judge(declared, [w for w in above if w], [*returns(480, each=60), window(10, [480.0] * 60)], budget=BUDGET)
    assert found.verdict is Verdict.PASS, "nothing that lies too high makes a Pass wrong"
    worse = [*returns(300, seed=1), window(10, [1500.0] * 20)]
    found = judge(declared, worse, [*returns(480, each=60), window(10, [480.0] * 60)], budget=BUDGET)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert "1500 lies outside" in found.message
    assert "0 to 1000" in found.message
    cost = Comparison("cost", Better.LESS, Margin(50.0, relative=False), Range(0.0, 1000.0))
    cheap = [*returns(290, seed=1), window(10, [1500.0])]
    found = judge(cost, cheap, [*returns(480, each=60), window(10, [480.0] * 60)], budget=BUDGET)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES, "one that is too high speaks against the Pass of a cost"


def test_the_range_that_the_errors_hold_for_is_told() -> None:
    found = judge(RETURN, returns(480, seed=1), returns(480, each=60), budget=BUDGET)
    assert found.range is not None
    low, high = found.range
    assert low == pytest.approx(-480, abs=20)
    assert high == pytest.approx(1440, abs=20)
    declared = Comparison("return", Better.MORE, TENTH, Range(0.0, 1000.0))
    assert judge(declared, returns(480, seed=1), returns(480, each=60), budget=BUDGET).range == (0.0, 1000.0)


def test_silent_candidate_fails_although_its_returns_are_better() -> None:
    found = judge(RETURN, returns(520, each=15, missing=5), returns(480, each=60, missing=1), budget=BUDGET)
    assert found.verdict is Verdict.FAIL
    assert "25.0%" in found.message
    assert "silent" in found.message


def test_wholly_silent_candidate_fails_rather_than_waits_for_data() -> None:
    silent = [window(i, [], missing=20) for i in range(3)]
    assert judge(RETURN, silent, returns(480, windows=3), budget=BUDGET).verdict is Verdict.FAIL


def test_return_does_not_pass_while_much_may_be_missing() -> None:
    """15 % against 10 % missing over 200 episodes: not shown to be silent, not shown to be well either."""
    found = judge(RETURN, returns(500, each=17, missing=3), returns(480, each=18, missing=2), budget=BUDGET)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert "misses" in found.message


def test_missing_on_both_sides_is_not_the_candidates_fault() -> None:
    found = judge(RETURN, returns(480, each=40, missing=10, seed=1), returns(480, each=40, missing=10), budget=BUDGET)
    assert found.verdict is not Verdict.FAIL


def test_nothing_passes_by_what_is_left_of_a_stable_that_loses_episodes() -> None:
    """Its best quarter is never reported: a candidate that is as good as the rest may be far worse than all."""
    rng = np.random.default_rng(4)
    drawn = [np.sort(rng.normal(480, 100, 60)) for _ in range(10)]
    left, worst_gone = (
        [window(i, one[part], 15) for i, one in enumerate(drawn)] for part in (slice(45), slice(15, 60))
    )
    found = judge(RETURN, returns(450, seed=1), left, budget=BUDGET)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert "more of stable's episodes" in found.message
    assert judge(RETURN, returns(450, seed=1), returns(440, each=60), budget=BUDGET).verdict is Verdict.PASS
    found = judge(RETURN, returns(400, each=60, seed=1), worst_gone, budget=BUDGET)
    assert found.verdict is Verdict.FAIL, "nobody is spared for it either"
    assert "if it lost its worst, stable only looks better" in found.message


def test_a_few_episodes_that_stable_alone_loses_withhold_nothing() -> None:
    assert (
        judge(RETURN, returns(480, each=40, seed=1), returns(480, each=39, missing=1), budget=BUDGET)
    ).verdict is Verdict.PASS
    few = {"windows": 4, "missing": 1}
    found = judge(RETURN, returns(700, each=40, seed=1, windows=4), returns(480, each=19, **few), budget=BUDGET)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES, "4 of 80 episodes are too few to tell"
    assert "stable misses less than 10 percentage points more" in found.message


def test_margin_of_a_negative_return() -> None:
    """Pendulum: stable -480, so 10 % worse is -528 and the margin is 48, as for a positive return."""
    found = judge(RETURN, returns(-480, seed=1), returns(-480, each=60), budget=BUDGET)
    assert found.verdict is Verdict.PASS
    assert found.pass_above == pytest.approx(-48, rel=0.05)
    assert judge(RETURN, returns(-580, seed=1), returns(-480, each=60), budget=BUDGET).verdict is Verdict.FAIL


def test_percent_of_nothing_cannot_pass_but_can_fail() -> None:
    found = judge(RETURN, returns(0, seed=1), returns(0, each=60), budget=BUDGET)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert "too close to 0" in found.message
    assert found.pass_above is None
    assert judge(RETURN, returns(-100, seed=1), returns(0, each=60), budget=BUDGET).verdict is Verdict.FAIL


def test_constant_equal_returns_pass() -> None:
    full = [window(i, [500.0] * 20) for i in range(5)]
    assert judge(RETURN, full, full, budget=BUDGET).verdict is Verdict.PASS


def test_both_sides_sink_during_a_ramp() -> None:
    rng, level = np.random.default_rng(8), np.linspace(480, 290, 12)
    candidate = [window(i, rng.normal(m, 50, 5 + 8 * i)) for i, m in enumerate(level)]
    stable = [window(i, rng.normal(m, 50, 95 - 7 * i)) for i, m in enumerate(level)]
    pooled = [summary(side).mean or 0 for side in (candidate, stable)]
    assert pooled[0] < 0.9 * pooled[1]
    assert judge(RETURN, candidate, stable, budget=BUDGET).verdict is Verdict.PASS


def test_order_of_windows_does_not_matter_and_sides_are_paired_by_start() -> None:
    candidate, stable = returns(440, seed=1), returns(480, each=60)
    found = judge(RETURN, candidate, stable, budget=BUDGET)
    assert judge(RETURN, candidate[::-1], stable[::-1], budget=BUDGET) == found
    paired = pair(candidate[3:], stable[:5])
    assert paired.candidate.count.tolist() == [0, 0, 0] + [20] * 7
    assert paired.stable.count.tolist() == [60] * 5 + [0] * 5


def test_unit_does_not_matter() -> None:
    def scaled(windows: list[StartWindow]) -> list[StartWindow]:
        return [
            StartWindow(w.start, w.count, 0, 1e3 * (w.mean or 0), 1e6 * w.m2, 1e3 * (w.low or 0), 1e3 * (w.high or 0))
            for w in windows
        ]

    for mean in (480, 456, 380):
        candidate, stable = returns(mean, seed=1), returns(480, each=60)
        plain = judge(RETURN, candidate, stable, budget=BUDGET)
        assert judge(RETURN, scaled(candidate), scaled(stable), budget=BUDGET).verdict is plain.verdict


def test_refuses_a_margin_of_nothing_and_a_range_of_nothing() -> None:
    with pytest.raises(ValueError, match="violations: the allowed regression is 0"):
        Comparison("violations", Better.LESS, Margin(0.0, relative=False))
    with pytest.raises(ValueError, match="return: the range is from 5 to 5"):
        Comparison("return", Better.MORE, TENTH, Range(5.0, 5.0))


def test_who_only_withholds_pass_fails_nobody() -> None:
    worse, silent = returns(400, each=50), returns(480, each=50, missing=40)
    stable = returns(480, each=50)
    for candidate in (worse, silent):
        assert judge(RETURN, candidate, stable, budget=BUDGET).verdict is Verdict.FAIL
        said = judge(RETURN, candidate, stable, budget=BUDGET.only_pass)
        assert said.verdict is Verdict.NOT_ENOUGH_SAMPLES
        assert said.interval is None or said.interval[0] is not None
    same = judge(RETURN, stable, stable, budget=BUDGET)
    assert judge(RETURN, stable, stable, budget=BUDGET.only_pass).verdict is same.verdict is Verdict.PASS


def test_worse_than_the_anchor_but_within_the_margin_passes_though_it_would_fail() -> None:
    """Both claims may be proven; against stable the tie goes to Fail, against the anchor nobody asks for that."""
    candidate, stable = returns(450, each=400, windows=40), returns(480, each=400, windows=40)
    assert judge(RETURN, candidate, stable, budget=BUDGET).verdict is Verdict.FAIL
    assert judge(RETURN, candidate, stable, budget=BUDGET.only_pass).verdict is Verdict.PASS
