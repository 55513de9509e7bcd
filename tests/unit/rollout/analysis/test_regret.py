"""What was lost: bounds on a sum over windows that differ, at every look; and its limit beside an equal candidate."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.chance import crossings, most_by_chance

from belay_api.reasons import Verdict
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.margin import Margin
from belay_operator.rollout.analysis.bet import CAP, Bounds, Earlier, Outcomes
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import Budget, split
from belay_operator.rollout.analysis.evidence import Better, Comparison, Evidence, StartWindow
from belay_operator.rollout.analysis.queries import budget
from belay_operator.rollout.analysis.regret import _LOG_MONEY, STAKES, evidence, regret
from belay_operator.rollout.analysis.verdict import judge

Array = NDArray[np.float64]
LOW, HIGH = 0.009, 0.025
BOUNDS = Bounds(np.array(0.0), np.array(600.0))
EARLIER = Earlier(mean=300.0, spread=105.0, low=50.0, high=560.0)
START = datetime(2026, 5, 4, 10, tzinfo=UTC)


def outcomes(values: Array) -> Outcomes:
    """Of episodes (…, window, episode)."""
    count, mean = np.full(values.shape[:-1], float(values.shape[-1])), values.mean(axis=-1)
    m2 = ((values - mean[..., np.newaxis]) ** 2).sum(axis=-1)
    return Outcomes(count, mean, m2, values.min(axis=-1), values.max(axis=-1))


def cut(values: Array, windows: int, last: int) -> Outcomes:
    """The first windows, of the last of them only so many episodes."""
    whole = outcomes(values[..., :windows, :])
    part = outcomes(values[..., windows - 1 : windows, :last])
    parts = ("count", "mean", "m2", "low", "high")
    return Outcomes(*(np.concatenate([getattr(whole, p)[..., :-1], getattr(part, p)], axis=-1) for p in parts))


def returns(rng: np.random.Generator, mean: Array, shape: tuple[int, ...]) -> Array:
    """Triangular, so that the mean is known: between 0 and 600, with a standard deviation of about 105 at 300."""
    low, high = np.maximum(mean - 255.0, 0.0), np.minimum(mean + 255.0, 600.0)
    return rng.triangular(low, np.clip(3 * mean - low - high, low, high), high, shape)


def test_is_what_the_stakes_were_paid() -> None:
    """0/1 outcomes: what a window paid is known exactly, and the bound is looked for by another way."""
    ones = {"candidate": [[1, 0, 0, 1, 0], [0, 0, 1, 0, 0]], "stable": [[1, 1, 0, 1], [1, 1, 1, 0]]}
    candidate, stable = (np.array(ones[side], dtype=float) for side in ("candidate", "stable"))
    bounds, known = Bounds(np.array(0.0), np.array(1.0)), Earlier(mean=0.6, spread=0.5, low=0.0, high=1.0)
    found = regret(outcomes(candidate), outcomes(stable), bounds, known, alpha_low=0.2, alpha_high=0.2)
    assert found is not None
    assert (found.episodes, found.estimate) == (10, pytest.approx(5 * (0.75 - 0.4) + 5 * (0.75 - 0.2)))

    weight, total, paid = 20.0, 20.0 * 0.6, np.zeros(STAKES.size)
    for ours, theirs in zip(candidate, stable, strict=True):
        centre, ratio = total / weight, len(ours) / len(theirs)
        payments = np.concatenate([centre - ours, ratio * (theirs - centre)])
        worst = max(1 - centre, ratio * centre)
        gains = np.log1p(np.outer(STAKES / 0.5, payments).clip(-0.999999)).sum(axis=1)
        paid += np.where(STAKES / 0.5 * worst > CAP, -1e3, gains)
        weight, total = 0.7 * (weight - 20) + 4 + 20, 0.7 * (total - 12) + theirs.sum() + 12
    tried = np.linspace(-10, 10, 20_001)
    money = np.logaddexp.reduce(_LOG_MONEY + paid - np.outer(tried, STAKES / 0.5), axis=1)
    assert found.low == pytest.approx(tried[money >= np.log(5)].max(), abs=2e-3)
    assert found.low < found.estimate < found.high


def test_scales_with_the_unit_and_turns_with_the_sign() -> None:
    rng = np.random.default_rng(1)
    candidate, stable = (returns(rng, np.array(mean), (8, 12)) for mean in (260.0, 300.0))
    one = regret(outcomes(candidate), outcomes(stable), BOUNDS, EARLIER, alpha_low=0.02, alpha_high=0.02)
    wide = regret(
        outcomes(10 * candidate),
        outcomes(10 * stable),
        Bounds(np.array(0.0), np.array(6000.0)),
        Earlier(3000.0, 1050.0, 500.0, 5600.0),
        alpha_low=0.02,
        alpha_high=0.02,
    )
    turned = regret(
        outcomes(-candidate), outcomes(-stable), BOUNDS.mirrored(), EARLIER.mirrored(), alpha_low=0.02, alpha_high=0.02
    )
    assert one is not None
    assert wide is not None
    assert turned is not None
    assert [wide.estimate, wide.low, wide.high] == pytest.approx([10 * it for it in (one.estimate, one.low, one.high)])
    assert [turned.estimate, turned.low, turned.high] == pytest.approx([-one.estimate, -one.high, -one.low])


def test_of_many_rollouts_each_has_what_was_known_before_it() -> None:
    rng = np.random.default_rng(9)
    sides = [outcomes(returns(rng, np.array(mean), (2, 8, 12))) for mean in (260.0, 300.0)]
    knows = [EARLIER, Earlier(mean=250.0, spread=60.0, low=50.0, high=560.0)]
    both = Earlier(*(np.array([[getattr(it, f)] for it in knows]) for f in ("mean", "spread", "low", "high")))  # type: ignore[arg-type]
    lost = np.full(8, 500.0)
    together = evidence(*sides, BOUNDS, both, lost=lost, sign=1)
    for place, known in enumerate(knows):
        one = [Outcomes(*(getattr(side, f)[place] for f in ("count", "mean", "m2", "low", "high"))) for side in sides]
        np.testing.assert_allclose(together[place], evidence(*one, BOUNDS, known, lost=lost, sign=1))


def test_less_error_is_a_wider_interval_and_more_evidence_a_clearer_one() -> None:
    rng = np.random.default_rng(2)
    candidate, stable = (returns(rng, np.array(mean), (60, 10)) for mean in (240.0, 300.0))
    found = {
        (windows, alpha): regret(
            outcomes(candidate[:windows]),
            outcomes(stable[:windows]),
            BOUNDS,
            EARLIER,
            alpha_low=alpha,
            alpha_high=alpha,
        )
        for windows in (10, 60)
        for alpha in (0.001, 0.05)
    }
    for windows in (10, 60):
        strict, loose = found[windows, 0.001], found[windows, 0.05]
        assert strict is not None
        assert loose is not None
        assert strict.low < loose.low < loose.high < strict.high
        assert strict.low > 0 or windows == 10, "600 episodes that lose 60 each have lost something"


def test_only_windows_with_both_sides_count_and_the_first_one_only_where_something_was_known() -> None:
    rng = np.random.default_rng(3)
    candidate, stable = (
        outcomes(returns(rng, np.array(290.0), (6, 10))),
        outcomes(returns(rng, np.array(300.0), (6, 10))),
    )
    alone = replace(stable, count=np.where(np.arange(6) == 2, 0.0, stable.count))
    for known, episodes in ((EARLIER, 50), (None, 40)):
        found = regret(candidate, alone, BOUNDS, known, alpha_low=LOW, alpha_high=HIGH)
        assert found is not None
        assert found.episodes == episodes
    nobody = replace(stable, count=np.zeros(6))
    assert regret(candidate, nobody, BOUNDS, EARLIER, alpha_low=LOW, alpha_high=HIGH) is None
    nowhere = Bounds(np.zeros(6), np.zeros(6))
    assert regret(candidate, stable, nowhere, EARLIER, alpha_low=LOW, alpha_high=HIGH) is None, "no range, no bound"


WORLDS = {
    "equal": (np.zeros, 8, 8),
    "worse": (lambda windows: np.full(windows, 30.0), 8, 8),
    "worse_by_night": (lambda windows: np.where(np.arange(windows) % 10 < 5, 80.0, -80.0), 8, 8),
    "good_then_bad": (lambda windows: np.where(np.arange(windows) < windows // 2, -70.0, 70.0), 8, 8),
    "bad_then_good": (lambda windows: np.where(np.arange(windows) < windows // 2, 70.0, -70.0), 8, 8),
    "few_of_the_candidate": (lambda windows: np.full(windows, 15.0), 2, 18),
    "few_of_stable": (lambda windows: np.full(windows, 15.0), 18, 2),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("known", [EARLIER, None], ids=["known", "unknown"])
def test_at_no_look_the_true_loss_lies_outside_but_by_the_stated_chance(world: str, known: Earlier | None) -> None:
    """Looked at inside of each window as well. The difference need not be the same in any two windows."""
    lost_each, ours, theirs = WORLDS[world]
    runs, windows, rng = 300, 20, np.random.default_rng(4)
    lost = lost_each(windows)
    candidate = returns(rng, (300.0 - lost)[np.newaxis, :, np.newaxis], (runs, windows, ours))
    stable = returns(rng, np.array(300.0), (runs, windows, theirs))
    counts = np.arange(windows) >= (0 if known is not None else 1)
    crossed = {sign: np.zeros(runs, dtype=bool) for sign in (1, -1)}
    looks = [(windows, 1.0), *((window, part) for window in (3, 8, 14) for part in (0.3, 0.6))]
    for window, part in looks:
        last = [max(round(part * side), 1) for side in (ours, theirs)]
        sides = [cut(values, window, some) for values, some in zip((candidate, stable), last, strict=True)]
        episodes = np.array([ours] * (window - 1) + [last[0]])
        true = np.cumsum(np.where(counts[:window], lost[:window], 0.0) * episodes)
        for sign, alpha in ((1, LOW), (-1, HIGH)):
            found = evidence(*sides, BOUNDS, known, lost=true, sign=sign)
            crossed[sign] |= (found >= np.log(1 / alpha)).any(axis=-1)
    assert crossed[1].sum() <= most_by_chance(runs, LOW)
    assert crossed[-1].sum() <= most_by_chance(runs, HIGH)


def test_the_interval_of_the_verdict_would_not_do() -> None:
    """The proof of decision 063: a candidate that was better first, and then worse by as much, has lost nothing."""
    rng, windows, missed = np.random.default_rng(5), 40, 0
    lost = np.where(np.arange(windows) < windows // 2, -60.0, 60.0)
    for _ in range(8):
        candidate = returns(rng, (300.0 - lost)[:, np.newaxis], (windows, 10))
        stable = returns(rng, np.array(300.0), (windows, 10))
        asked = Comparison("return", Better.MORE, Margin(0.1, relative=True), Range(0.0, 600.0))
        spend = Budget(outcome=LOW, missing=None, wrong_promotion=HIGH, regret=LOW)
        found = judge(asked, starts(candidate), starts(stable), budget=spend)
        assert found.interval is not None
        assert found.regret is not None
        low, high = found.interval
        assert low is not None
        assert high is not None
        true = 10 * lost[1:].sum()
        missed += not -high * 390 <= true <= -low * 390
        assert found.regret.low <= true <= found.regret.high
    assert missed > 4


def test_an_equal_candidate_is_taken_back_by_its_limit_as_rarely_as_stated() -> None:
    """By the smallest limit that anybody could write, and by one of ten episodes' returns."""
    runs, windows, rng = 600, 30, np.random.default_rng(6)
    sides = [outcomes(returns(rng, np.array(300.0), (runs, windows, 6))) for _ in range(2)]
    smallest, some = (
        crossings(evidence(*sides, BOUNDS, EARLIER, lost=np.full(windows, limit), sign=1), LOW)
        for limit in (1e-6, 3000.0)
    )
    assert smallest <= most_by_chance(runs, LOW)
    assert some == 0


def test_a_candidate_that_costs_more_than_its_limit_is_found() -> None:
    rng = np.random.default_rng(7)
    candidate, stable = (outcomes(returns(rng, np.array(mean), (60, 80, 10))) for mean in (250.0, 300.0))
    found = evidence(candidate, stable, BOUNDS, EARLIER, lost=np.full(80, 5000.0), sign=1)
    assert crossings(found, LOW) >= 57, "40,000 are lost in the end"


def starts(values: Array) -> list[StartWindow]:
    side = outcomes(values)
    numbers = zip(side.count, side.mean, side.m2, side.low, side.high, strict=True)
    return [
        StartWindow(START + index * timedelta(minutes=1), int(count), 0, mean, m2, low, high)
        for index, (count, mean, m2, low, high) in enumerate(numbers)
    ]


def judged(
    limit: float | None, *, better: Better = Better.MORE, mean: float = 270.0, spend: Budget | None = None
) -> Evidence:
    rng = np.random.default_rng(8)
    asked = Comparison("return", better, Margin(0.5, relative=True), Range(0.0, 600.0), max_regret=limit)
    sides = [starts(returns(rng, np.array(each), (60, 10))) for each in (mean, 300.0)]
    return judge(asked, *sides, budget=spend or split(0.01, 2), earlier=EARLIER)


def test_within_its_margin_a_candidate_fails_by_what_it_costs() -> None:
    found = judged(2000.0)
    assert found.verdict is Verdict.FAIL
    assert "maxRegret is 2000" in found.message
    assert judged(200_000.0).verdict is Verdict.PASS
    assert judged(None).verdict is Verdict.PASS
    assert judged(2000.0, spend=split(0.01, 2).only_pass).verdict is Verdict.PASS, "the anchor takes nobody back"


@pytest.mark.parametrize(("mean", "verdict"), [(330.0, Verdict.FAIL), (270.0, Verdict.PASS)])
def test_of_a_cost_more_is_lost(mean: float, verdict: Verdict) -> None:
    found = judged(2000.0, better=Better.LESS, mean=mean)
    assert found.verdict is verdict
    assert found.regret is not None
    assert (found.regret.estimate > 0) == (verdict is Verdict.FAIL)


def metric(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "source": {"logbook": {"outcome": name}}, "compare": {"maxRegression": "10%"}, **more}


@pytest.mark.parametrize("others", [0, 2])
def test_a_limit_on_what_is_lost_has_its_part_of_the_stated_error(others: int) -> None:
    said: Sequence[dict[str, object]] = [metric("return", maxRegret=5000), *(metric(f"m{i}") for i in range(others))]
    analysis = AnalysisSpec.model_validate({"metrics": said})
    spent = [budget(analysis, one, trial=1) for one in analysis.metrics]
    limited = spent[0].regret
    assert limited is not None
    assert limited + sum((one.outcome or 0) + (one.missing or 0) for one in spent) == pytest.approx(0.9 * 0.01)
    assert analysis.counts_regret is analysis.metrics[0]
