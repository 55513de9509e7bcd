"""What the artifacts know before a trial: which of it is taken, and that no promise and little power is lost by it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.chance import crossings, most_by_chance
from tests.unit.rollout.analysis.test_verdict import BUDGET, RETURN, returns, window
from tests.windows import outcomes

from belay_api.outcomes import CertainRange, KnownOutcome, Played, certain_return
from belay_api.policy import KnownOutcomes
from belay_api.reasons import Verdict
from belay_api.rollout.compare import RangeOrigin
from belay_api.rollout.margin import Margin
from belay_api.rollout.metric import Metric
from belay_operator.rollout.analysis.bet import Earlier
from belay_operator.rollout.analysis.bounds import Range, bounds
from belay_operator.rollout.analysis.known import Known, known
from belay_operator.rollout.analysis.queries import comparison_of
from belay_operator.rollout.analysis.race import Race
from belay_operator.rollout.analysis.verdict import judge

TENTH = Margin(0.1, relative=True)
DECLARED, OUTCOME, TASK, SEEN = RangeOrigin.DECLARED, RangeOrigin.OUTCOME, RangeOrigin.TASK, RangeOrigin.SEEN


def artifact(*, mean: float = 480, low: float = 9, high: float = 500) -> KnownOutcomes:
    """What a CartPole-like training knows of returns and lengths."""
    random = Played(episodes=100, mean=22, std=11, min=low, max=90)
    evaluated = Played(episodes=20, mean=mean, std=40, min=300, max=high)
    one = KnownOutcome(random=random, evaluated=evaluated, low=low, high=high)
    return KnownOutcomes(return_=one, length=one)


def metric(outcome: str = "return", **compare: Any) -> Metric:
    made = {"name": "m", "source": {"logbook": {"outcome": outcome}}, "compare": {"maxRegression": "10%", **compare}}
    return Metric.model_validate(made)


@pytest.mark.parametrize("low", [-2.0, -0.5, 0.0, 0.5])
@pytest.mark.parametrize("width", [0.0, 1.0, 3.0])
def test_no_return_lies_beyond_what_is_certain(low: float, width: float) -> None:
    """Episodes of every length, all at one end: nothing else reaches as far."""
    high = low + width
    certain = certain_return(low, high, 7)
    assert certain is not None
    every = [reward * steps for steps in range(1, 8) for reward in (low, high)]
    assert (certain.low, certain.high) == (min(every), max(every)), "and it is reached"
    open_ended = certain_return(low, high, None)
    assert (open_ended is not None and open_ended.low is not None) == (low >= 0)
    assert (open_ended is not None and open_ended.high is not None) == (high <= 0)


def test_only_what_both_tasks_make_certain_is_taken() -> None:
    assert known("return", _with(0, 500), _with(0, 500)).certain == Range(0, 500)
    assert known("return", _with(0, 500), _with(0, 200)).certain == Range(0, None), "another cap"
    assert known("return", _with(0, 500), None).certain == Range()
    assert known("return", _with(0, 500), _without_task()).certain == Range()
    assert known("length", _with(0, 500), _with(0, 500)).certain == Range(), "a client may count otherwise"


def test_a_cost_is_known_by_its_name() -> None:
    heat = artifact(mean=12, low=0, high=30).return_
    counted = artifact().model_copy(update={"costs": {"heat": heat}})
    found = known("heat", counted, counted)
    assert (found.certain, found.seen) == (Range(), Range(0, 30)), "what a task makes certain is its return"
    assert found.earlier is not None
    assert found.earlier.mean == 12
    assert known("heat", artifact(), artifact()) == Known(), "neither training counted it"


def _with(low: float | None, high: float | None) -> KnownOutcomes:
    found = artifact()
    assert found.return_ is not None
    return KnownOutcomes(return_=found.return_.model_copy(update={"certain": CertainRange(low=low, high=high)}))


def _without_task() -> KnownOutcomes:
    found = artifact()
    assert found.return_ is not None
    return KnownOutcomes(return_=found.return_.model_copy(update={"certain": None}))


def test_what_both_trainings_saw_counts_as_seen() -> None:
    found = known("return", artifact(low=-50, high=400), artifact(mean=300, low=9, high=450))
    assert found.seen == Range(-50, 450)
    assert found.earlier == Earlier(300, 40, -50, 450, elsewhere=True)
    assert known("return", artifact(), None).earlier is None, "where stable's outcomes lie, its own training says"


@pytest.mark.parametrize(
    ("declared", "certain", "taken", "origin"),
    [
        ({}, Range(0, 500), Range(0, 500), (TASK, TASK)),
        ({"low": -5}, Range(0, 500), Range(-5, 500), (DECLARED, TASK)),
        ({"low": -5, "high": 5}, Range(0, 500), Range(-5, 5), (DECLARED, DECLARED)),
        ({}, Range(), Range(), (SEEN, SEEN)),
        ({"low": 600}, Range(0, 500), Range(600, None), (DECLARED, SEEN)),
    ],
)
def test_what_is_declared_wins(
    declared: dict[str, float], certain: Range, taken: Range, origin: tuple[RangeOrigin, RangeOrigin]
) -> None:
    asked = metric(range=declared) if declared else metric()
    found = comparison_of(asked, Known(certain))
    assert found is not None
    assert (found.certain, found.origin) == (taken, origin)
    success = comparison_of(metric("success"))
    assert success is not None
    assert success.origin == (OUTCOME, OUTCOME)


def test_a_return_beyond_what_the_task_makes_certain_is_said_and_decides_nothing() -> None:
    task = replace(RETURN, certain=Range(0.0, 500.0), origin=(TASK, TASK))
    worse = [*returns(200, seed=1), window(10, [700.0] * 20)]
    stable = [window(i, np.clip(np.random.default_rng(i).normal(400, 50, 60), 0, 500)) for i in range(11)]
    found = judge(task, worse, stable, budget=BUDGET)
    assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert "so set compare.range" in found.message
    rounded = [window(i, [500.0004] * 20) for i in range(9)]
    assert judge(task, rounded, rounded, budget=BUDGET).verdict is Verdict.PASS, "the rounding of a sum of float32"
    assert found.range_from == (TASK, TASK)


def test_the_first_window_can_be_bet_on() -> None:
    """The logbook knows nothing; without the artifacts nothing could be said of one window."""
    one = known("return", artifact(), artifact())
    seen = {"earlier": one.earlier, "seen": one.seen}
    bad, stable = returns(10, each=40, windows=1), returns(480, each=200, windows=1)
    assert judge(RETURN, bad, stable, budget=BUDGET).verdict is Verdict.NOT_ENOUGH_SAMPLES
    assert judge(RETURN, bad, stable, budget=BUDGET, **seen).verdict is Verdict.FAIL  # type: ignore[arg-type]


def test_bounds_reach_as_far_as_training_saw() -> None:
    rng = np.random.default_rng(1)
    side = outcomes(rng.normal(300, 10, (6, 10)))
    usual = bounds(Range(), TENTH, side, side, None)
    reach = bounds(Range(), TENTH, side, side, None, seen=Range(-2000.0, 500.0))
    assert (reach.low <= -2000).all()
    assert (reach.high >= usual.high).all()
    np.testing.assert_array_equal(bounds(Range(), TENTH, side, side, None, seen=Range()).low, usual.low)


def rollouts(seed: int, mean: float, windows: int = 60, spread: float = 105.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return tuple(
        outcomes(np.clip(rng.normal(level, spread, (400, windows, 10)), 0, 2 * 300 * spread / 105))
        for level in (mean, 300 * spread / 105)
    )


def race(sides: tuple[Any, Any], earlier: Earlier | None, seen: Range | None) -> Race:
    return Race(TENTH, *sides, bounds(Range(), TENTH, *sides, earlier, seen=seen), earlier)


@pytest.mark.parametrize("said", [(300, 105), (900, 20), (20, 5)], ids=["true", "too good", "random"])
def test_promises_hold_whatever_training_said(said: tuple[float, float]) -> None:
    earlier = Earlier(*said, 0.0, 600.0, elsewhere=True)
    equal, worse = rollouts(1, 300), rollouts(2, 270)
    assert crossings(race(equal, earlier, Range(0, 600)).worse(), 0.009) <= most_by_chance(400, 0.009)
    assert crossings(race(worse, earlier, Range(0, 600)).better(), 0.025) <= most_by_chance(400, 0.025)


def test_a_training_with_smaller_returns_costs_little() -> None:
    """Rewards were scaled for the training: all bets of the first window are lost, and half the money is left."""
    earlier, sides = Earlier(30, 10.5, 0.0, 60, elsewhere=True), rollouts(3, 300)
    alone = crossings(race(sides, None, None).better(), 0.025)
    assert crossings(race(sides, earlier, Range(0, 60)).better(), 0.025) >= 0.95 * alone
    assert race(sides, earlier, None).better()[:, 0].min() >= -math.log(2) - 1e-9
    assert race(sides, replace(earlier, elsewhere=False), None).better()[:, 0].min() < -50


def test_one_with_larger_returns_is_mended_by_a_declared_range() -> None:
    """Twenty means of room on each side are asked for then, as for any range that wide."""
    earlier, sides = Earlier(3000, 1050, 0.0, 6000, elsewhere=True), rollouts(3, 300)
    alone = crossings(race(sides, None, None).better(), 0.025)
    assert crossings(race(sides, earlier, Range(0, 6000)).better(), 0.025) < 0.5 * alone
    declared = bounds(Range(0.0, 600.0), TENTH, *sides, earlier, seen=Range(0, 6000))
    assert crossings(Race(TENTH, *sides, declared, earlier).better(), 0.025) >= 0.8 * alone


def test_a_look_into_the_first_window_keeps_half_as_well() -> None:
    sides = rollouts(4, 300, windows=4)
    asked = race(sides, Earlier(30, 5, 0, 60, elsewhere=True), None)
    np.testing.assert_allclose(asked.better(sides), asked.better())
