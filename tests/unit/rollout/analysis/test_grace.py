"""When late reports mean that grace is too short, when they are the candidate's own, and when something else."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.chance import most_by_chance

from belay_api.reasons import Verdict
from belay_api.rollout.margin import Margin
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import split
from belay_operator.rollout.analysis.evidence import Better, Comparison, Evidence
from belay_operator.rollout.analysis.grace import (
    DOUBT,
    MANY,
    decides_nothing,
    misses_few,
    rounded,
    too_short,
    withheld,
)
from belay_operator.rollout.analysis.queries import Criterion, judged
from belay_operator.rollout.facts import Reading

START = datetime(2026, 5, 4, tzinfo=UTC)


def windows(*each: tuple[int, int]) -> list[WindowStatistics]:
    """Windows of (episodes that count, episodes reported late)."""
    return [
        WindowStatistics(start=START + timedelta(minutes=i), count=count, missing=late, late=late, mean=0.0)
        for i, (count, late) in enumerate(each)
    ]


@pytest.mark.parametrize(
    ("each", "verdict"),
    [
        pytest.param([], False, id="nothing reported"),
        pytest.param([(0, 1)], False, id="one late report is none"),
        pytest.param([(0, 2)], True, id="every report is late"),
        pytest.param([(99, 1), (99, 1)], False, id="one in a hundred"),
        pytest.param([(98, 2), (98, 2)], True, id="two in a hundred, everywhere"),
        pytest.param([(100, 0)] * 9 + [(0, 100)], False, id="a window without a logbook"),
        pytest.param([(100, 0)] * 5 + [(90, 10)] * 5, True, id="long episodes in half of the reports"),
        pytest.param([(100, 0), (0, 0), (0, 0)], False, id="windows without reports say nothing"),
    ],
)
def test_too_short(each: list[tuple[int, int]], verdict: bool) -> None:
    assert too_short(windows(*each)) is verdict


@pytest.mark.parametrize(("seconds", "told"), [(0.4, 1), (45, 45), (45.2, 60), (3600, 3600), (3601, 7200)])
def test_lengths_are_told_rounded_up(seconds: float, told: int) -> None:
    assert rounded(seconds) == timedelta(seconds=told)


def test_the_same_reports_are_judged_alike_in_windows_of_any_length() -> None:
    rng = np.random.default_rng(1)
    for share, verdict in ((0.03, True), (0.003, False)):
        late = rng.random(2_000) < share
        for each in (5, 10, 60, 300):
            parts = [late[first : first + each] for first in range(0, late.size, each)]
            assert too_short(windows(*((int((~part).sum()), int(part.sum())) for part in parts))) is verdict


def test_a_third_of_the_time_without_a_logbook_is_no_short_grace() -> None:
    for each in (5, 60):
        good, bad = [(each, 0)] * (600 // each), [(0, each)] * (300 // each)
        assert not too_short(windows(*good, *bad))
        assert not too_short(windows(*bad, *good))


def sides(missing: int, counted: int) -> list[WindowStatistics]:
    return [WindowStatistics(start=START, count=counted, missing=missing, mean=0.0 if counted else None)]


def test_stable_that_misses_many_is_hardly_ever_taken_to_miss_few() -> None:
    """At any look: else a candidate with longer episodes would fail while grace is too short for both."""
    rng, runs = np.random.default_rng(2), 2_000
    for share in (MANY, 0.3):
        missing = rng.binomial(5, share, (runs, 60)).cumsum(axis=1)
        fooled = sum(any(misses_few(sides(int(n), 5 * k - int(n))) for k, n in enumerate(run, 1)) for run in missing)
        assert fooled <= most_by_chance(runs, DOUBT)


@pytest.mark.parametrize(("share", "episodes"), [(0.0, 65), (0.02, 150)])
def test_stable_that_misses_few_is_known_to_do_so_soon(share: float, episodes: int) -> None:
    """Until then a candidate that is late in its bad half is not found, and no step ends."""
    missing = np.random.default_rng(3).binomial(episodes, share, 500)
    assert np.mean([misses_few(sides(int(n), episodes - int(n))) for n in missing]) > 0.9


def test_late_on_the_candidate_alone_is_decided_on() -> None:
    late, fine = windows((50, 50), (50, 50)), windows((100, 0), (100, 0))
    assert not decides_nothing(late, fine)
    assert decides_nothing(fine, late)
    assert decides_nothing(late, late)
    assert not decides_nothing(fine, fine)
    assert decides_nothing(late, windows((20, 0), (20, 0))), "of so few none may be late by chance"
    assert decides_nothing(late, []), "of none nothing is known"


def test_a_report_that_is_still_to_come_is_counted_as_if_it_were_late() -> None:
    """The newest episodes of stable are missing and not late: they can still be reported."""
    fresh = [WindowStatistics(start=START, count=500, missing=500, late=0, mean=0.0)]
    assert not too_short(fresh)
    assert decides_nothing(windows((50, 50), (50, 50)), fresh)


@pytest.mark.parametrize(
    ("missing", "age_s", "verdict"),
    [(500, 61, "NotEnoughSamples"), (500, 119, "NotEnoughSamples"), (500, 120, "Fail"), (5, 61, "Fail")],
)
def test_nothing_is_decided_before_stables_late_reports_can_be_known(missing: int, age_s: int, verdict: str) -> None:
    """With enough traffic a candidate with longer episodes would fail as silent in the second its first are due."""
    found = Evidence("return", Verdict.FAIL, "the candidate falls silent")
    answer = Statistics(
        outcome="return",
        at=START + timedelta(seconds=age_s),
        etag="1",
        versions=[
            VersionStatistics(version="a", windows=sides(missing, 1_000 - missing)),
            VersionStatistics(version="b", windows=sides(900, 100)),
        ],
    )
    decided = withheld(found, answer, candidate="b", stable="a", grace=timedelta(minutes=1))
    assert decided.verdict == verdict
    assert not decided.grace_too_short


@pytest.mark.parametrize("told", [True, False])
def test_what_is_left_of_stable_without_its_late_bad_episodes_decides_nothing(told: bool) -> None:
    """An equal candidate beside stable, three tenths of whose episodes, all of them bad, report a day too late."""
    comparison = Comparison("return", Better.MORE, Margin(0.1, relative=True), Range(0.0, 600.0))
    day, hour, failed = timedelta(days=1), timedelta(hours=1), 0
    ask = Criterion(comparison, "b", "a", split(0.01, 1), day, since=None, not_before=START + day, window=hour)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        stable, candidate = (rng.triangular(50.0, 300.0, 550.0, (96, 20)) for _ in range(2))
        late = (stable < 300) & (rng.random(stable.shape) < 0.6)
        sides = [
            VersionStatistics(
                version="a",
                windows=[hour_of(i, *row, told=told) for i, row in enumerate(zip(stable, late, strict=True))],
            ),
            VersionStatistics(
                version="b", windows=[hour_of(i, row, row < 0, told=told) for i, row in enumerate(candidate)]
            ),
        ]
        at = START + 96 * hour + 2 * day
        found = judged(ask, Reading("asked", at, windows=Statistics(outcome="return", at=at, etag="1", versions=sides)))
        assert found.verdict is Verdict.NOT_ENOUGH_SAMPLES or not told
        assert found.grace_too_short is told
        failed += found.verdict is Verdict.FAIL
    assert not told or not failed
    assert told or failed > 10, "it is the late reports that tell"


def hour_of(index: int, values: NDArray[np.float64], late: NDArray[np.bool_], *, told: bool) -> WindowStatistics:
    """A window of an hour; told: that the late ones were reported, after all."""
    kept, lost = values[~late], int(late.sum())
    m2 = float(((kept - kept.mean()) ** 2).sum())
    numbers = {"mean": kept.mean(), "m2": m2, "min": kept.min(), "max": kept.max()}
    start = START + index * timedelta(hours=1)
    return WindowStatistics(start=start, count=kept.size, missing=lost, late=lost if told else 0, **numbers)
