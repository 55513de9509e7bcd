"""Which windows are known to lie within one weight."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from belay_api.rollout.status import RLRolloutStatus
from belay_api.units import format_instant
from belay_api.wire import Statistics, VersionStatistics, WindowStatistics
from belay_operator.rollout.analysis.sample_ratio import Cell
from belay_operator.rollout.analysis.starts import StartSides, anchor_changes_of, cells, changes_of, found
from belay_operator.rollout.facts import OutcomeQuery, Reading

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def status(*weights: tuple[float, float | None, float | None]) -> RLRolloutStatus:
    """Weights as (accepted at, asked at, percent); without a percent as an earlier version recorded them."""
    said: dict[str, Any] = {"weightChanges": [format_instant(at(accepted)) for accepted, _, _ in weights]}
    said["weightHistory"] = [
        {"at": format_instant(at(accepted)), "askedAt": format_instant(at(asked)), "percent": percent}
        for accepted, asked, percent in weights
        if percent is not None and asked is not None
    ]
    return RLRolloutStatus.model_validate(said)


def answer(**sides: dict[float, tuple[int, int]]) -> Statistics:
    """Windows by their start in seconds after noon: (counted, missing)."""
    versions = [
        VersionStatistics(
            version=version,
            windows=[
                WindowStatistics(start=at(start), count=count, missing=missing, mean=1.0 if count else None)
                for start, (count, missing) in windows.items()
            ],
        )
        for version, windows in sides.items()
    ]
    return Statistics(outcome="return", at=at(10_000), etag="1", versions=versions)


def minutes(*starts: float) -> Statistics:
    return answer(b=dict.fromkeys(starts, (1, 1)), a=dict.fromkeys(starts, (8, 0)))


def counted(statistics: Statistics, *weights: tuple[float, float | None, float | None]) -> list[float]:
    """The weights of the windows that count."""
    return [cell.weight for cell in cells(StartSides("b", "a", changes_of(status(*weights))), statistics, MINUTE)]


def test_starts_are_counted_and_missing_of_both_sides_in_the_same_window() -> None:
    said = answer(b={60: (3, 2), 180: (1, 0)}, a={60: (40, 1), 120: (0, 7)}, other={60: (9, 9)})
    sides = StartSides("b", "a", changes_of(status((0, 0, 10))))
    assert cells(sides, said, MINUTE) == [Cell(5, 41, 0.1), Cell(0, 7, 0.1), Cell(1, 0, 0.1)]


@pytest.mark.parametrize(
    ("starts", "weights", "count"),
    [
        pytest.param([0, 60, 120], [(0, 0, 10)], [0.1, 0.1], id="a window that a change begins"),
        pytest.param([55, 60, 120], [(55, 50, 10)], [0.1], id="and one that begins before there is room behind it"),
        pytest.param([60, 120, 150, 180], [(0, 0, 10), (150, 149, 50)], [0.1, 0.5], id="one that a change cuts"),
        pytest.param([60, 120, 180, 240], [(0, 0, 10), (230, 119, 50)], [0.5], id="ones in which it was asked for"),
        pytest.param([60, 120], [(0, 0, 10), (185, 185, 50)], [0.1], id="one without room before it"),
        pytest.param([60, 120], [(0, 0, 0)], [], id="no weight"),
        pytest.param([60, 120], [(0, 0, 100)], [], id="all traffic"),
        pytest.param([60, 120], [(0, None, None)], [], id="of an earlier version of Belay"),
        pytest.param([60, 180, 240], [(0, None, None), (171, 165, 50)], [0.5], id="upgraded in between"),
        pytest.param([60, 180, 240], [(0, 0, 10), (170, None, None)], [0.1], id="and gone back to it"),
        pytest.param([-60, 60], [(0, 0, 10)], [0.1], id="before the trial"),
    ],
)
def test_windows_near_a_change_do_not_count(starts: list[float], weights: list[Any], count: list[float]) -> None:
    assert counted(minutes(*starts), *weights) == count


def test_an_answer_that_was_asked_before_a_change_spans_it_with_no_window_that_counts() -> None:
    """The windows of such an answer are not cut there."""
    assert counted(minutes(60, 120, 180), (0, 0, 10), (135, 131, 50)) == [0.1, 0.5]


def test_what_a_reading_says_is_found_once() -> None:
    reading = Reading("asked", NOON, windows=minutes(60, 120), outcome_query=OutcomeQuery("return", 60.0, 5.0))
    sides = StartSides("b", "a", changes_of(status((0, 0, 10))))
    ratio = found(sides, reading)
    assert ratio is not None
    assert ratio.starts == 20
    assert found(sides, reading) is ratio
    assert found(StartSides("b", "a", ()), reading) is None
    assert found(sides, Reading("asked", NOON)) is None


def test_beside_an_anchor_each_side_is_held_against_its_own_share() -> None:
    """The candidate's among what begins at it and at stable; the anchor's among all."""
    held = status((0, 0, 50))
    (only,) = held.weight_history
    held = held.model_copy(update={"weight_history": [only.model_copy(update={"anchor": 25.0})]})
    said = answer(c={60: (40, 10)}, b={60: (25, 0)}, a={60: (20, 5)})
    assert cells(StartSides("c", "b", changes_of(held)), said, MINUTE) == [Cell(50, 25, 50 / 75)]
    third = StartSides("a", "b", anchor_changes_of(held), with_stable="c")
    assert cells(third, said, MINUTE) == [Cell(25, 75, 0.25)]
    assert cells(StartSides("a", "b", anchor_changes_of(status((0, 0, 50)))), said, MINUTE) == [], "it had no share"
