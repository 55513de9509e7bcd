"""When late reports mean that grace is too short, and when they mean something else."""

from datetime import UTC, datetime, timedelta

import pytest

from belay_api.wire import WindowStatistics
from belay_operator.rollout.analysis.grace import rounded, too_short

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
