"""An arm wins that is not better than stable in no more experiments than is stated; one that is better is found.

nice python -m pytest tests/unit/rollout/analysis/test_experiment.py
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.chance import crossings, most_by_chance
from tests.windows import alike

from belay_api.rollout.experiment import ExperimentSpec
from belay_api.rollout.margin import Margin
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout.analysis.bet import Earlier, Outcomes
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import share_of_trial, split
from belay_operator.rollout.analysis.evidence import Better, Comparison
from belay_operator.rollout.analysis.queries import Criterion
from belay_operator.rollout.analysis.verdict import race_of
from belay_operator.rollout.experiment import is_better
from belay_operator.rollout.facts import Reading

Array = NDArray[np.float64]
ARMS, ERROR = 4, 0.05
RETURN = Comparison("return", Better.MORE, Margin(0.1, relative=True), Range(0.0, 600.0))
COST = Comparison("cost", Better.LESS, Margin(0.1, relative=True), Range(0.0, 600.0))
EARLIER = Earlier(mean=300.0, spread=105.0, low=50.0, high=560.0)
START = datetime(2026, 5, 4, 10, tzinfo=UTC)


def outcomes(rng: np.random.Generator, mean: float, shape: tuple[int, ...]) -> Outcomes:
    """Of windows of episodes between 0 and 600, triangular, so that the mean is known."""
    values = rng.triangular(mean - 250.0, mean, mean + 250.0, shape)
    m2 = ((values - values.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    count = np.full(values.shape[:-1], float(shape[-1]))
    return Outcomes(count, values.mean(axis=-1), m2, values.min(axis=-1), values.max(axis=-1))


def won(means: tuple[float, ...], runs: int, seed: int, *, windows: int = 40) -> int:
    """In how many experiments any arm is ever shown to be better than stable, whose mean is 300.

    All arms are compared with the same episodes of stable, so what they find depends on each other.
    """
    rng = np.random.default_rng(seed)
    stable = outcomes(rng, 300.0, (runs, windows, 12))
    evidence = [
        race_of(RETURN, stable, outcomes(rng, mean, (runs, windows, 4)), earlier=EARLIER).worse() for mean in means
    ]
    return crossings(np.stack(evidence).max(axis=0), share_of_trial(1) * ERROR / len(means))


def test_among_equal_arms_none_wins_more_often_than_stated_however_often_it_is_looked() -> None:
    runs = 1500
    assert won((300.0,) * ARMS, runs, seed=11) <= most_by_chance(runs, ERROR)


def test_arms_that_are_worse_never_make_up_for_one_another() -> None:
    runs = 500
    assert won((290.0, 280.0, 250.0, 300.0), runs, seed=12) <= most_by_chance(runs, ERROR)


def test_one_better_arm_is_found_among_equal_ones() -> None:
    assert won((300.0, 345.0, 300.0, 300.0), 200, seed=13) >= 190


def judgement(comparison: Comparison, arm: str) -> Criterion:
    return Criterion(
        comparison, arm, "a", split(0.01, 1), timedelta(seconds=2), since=None, window=timedelta(seconds=10)
    )


def reading(means: dict[str, float], *, windows: int) -> Reading:
    versions = [
        VersionStatistics(
            version=version,
            windows=alike(START, windows, count=20, mean=mean, m2=50.0**2 * 19, min=mean - 100, max=mean + 100),
        )
        for version, mean in means.items()
    ]
    at = START + windows * timedelta(seconds=10) + timedelta(minutes=1)
    return Reading("asked", at, windows=Statistics(outcome="return", at=at, etag="1", versions=versions))


def asked(*arms: str) -> ExperimentSpec:
    listed = [{"policy": arm} for arm in arms]
    return ExperimentSpec.model_validate({"arms": listed, "metric": "return", "errorRate": ERROR})


@pytest.mark.parametrize(
    ("comparison", "mean", "better"),
    [(RETURN, 360.0, True), (RETURN, 300.0, False), (RETURN, 240.0, False), (COST, 240.0, True), (COST, 360.0, False)],
)
def test_better_is_better_by_the_metrics_own_direction(comparison: Comparison, mean: float, better: bool) -> None:
    look = reading({"a": 300.0, "b": mean}, windows=30)
    assert is_better(judgement(comparison, "b"), look, asked("b"), arms=1, trial=1) is better


def test_the_error_is_divided_by_the_arms_and_less_for_a_digest_that_is_tried_again() -> None:
    """The more arms, and the oftener one was tried, the more episodes it takes."""

    def needed(arms: int, trial: int) -> int:
        return next(
            windows
            for windows in range(2, 200)
            if is_better(
                judgement(RETURN, "b"),
                reading({"a": 300.0, "b": 330.0}, windows=windows),
                asked("b"),
                arms=arms,
                trial=trial,
            )
        )

    alone, among_four, again = needed(1, 1), needed(4, 1), needed(4, 2)
    assert alone < among_four < again


def test_an_arm_that_falls_silent_is_not_better_by_what_stable_misses() -> None:
    """Where stable loses its reports, nothing says that the arm is better."""
    look = reading({"a": 300.0, "b": 300.0}, windows=30)
    assert look.windows is not None
    side = look.windows.versions[0]
    lossy = side.model_copy(update={"windows": [one.model_copy(update={"missing": 20}) for one in side.windows]})
    answer = look.windows.model_copy(update={"versions": [lossy, look.windows.versions[1]]})
    silent = Reading("asked", look.at, windows=answer)
    assert not is_better(judgement(RETURN, "b"), silent, asked("b"), arms=1, trial=1)


def test_equal_arms_win_nothing_by_what_stable_loses_of_its_best() -> None:
    """Without a look at what stable misses three of four were better: the rest of stable is a selected sample."""
    runs, rng, better = 100, np.random.default_rng(14), 0
    for _ in range(runs):
        stable, arm = (rng.triangular(50.0, 300.0, 550.0, (60, count)) for count in (24, 8))
        best = np.quantile(stable, 0.92)
        sides = {"a": [row[row < best] for row in stable], "b": list(arm)}
        versions = [
            VersionStatistics(
                version=version,
                windows=[one(row, index, 24 if version == "a" else 8) for index, row in enumerate(rows)],
            )
            for version, rows in sides.items()
        ]
        at = START + timedelta(minutes=12)
        look = Reading("asked", at, windows=Statistics(outcome="return", at=at, etag="1", versions=versions))
        better += is_better(judgement(RETURN, "b"), look, asked("b"), arms=1, trial=1)
    assert better <= most_by_chance(runs, ERROR)


def one(values: Array, index: int, begun: int) -> WindowStatistics:
    """A window of ten seconds in which so many episodes began."""
    m2 = float(((values - values.mean()) ** 2).sum())
    told = {"mean": values.mean(), "m2": m2, "min": values.min(), "max": values.max()}
    start = START + index * timedelta(seconds=10)
    return WindowStatistics(start=start, count=values.size, missing=begun - values.size, **told)
