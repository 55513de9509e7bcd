"""The picture: where the line is, how far the band goes, and that nothing is drawn where nothing is known."""

import math
import time

import pytest

from belay_cli.plot import BAND, LINE, Series, draw, number, summarise
from belay_cli.terminal import in_ascii

RISING = [(0, 0.0), (100, 100.0)]
LATE = [(0, 0.0), (50, 0.0), (100, 60.0)]


def test_the_picture_as_a_person_sees_it() -> None:
    assert draw([RISING, LATE], width=26, height=5) == [
        "100 ┤                  ░░░",
        "    │             ░░░░████",
        " 50 ┤        ░░░░░████░░░░",
        "    │   ░░████████░░░░",
        "  0 ┤█████░░░░░░░░",
        "    └─────────────────────",
        "     0        50       100",
    ]


def test_the_line_is_the_mean_and_the_band_holds_every_point() -> None:
    series = [[(step, math.sin(step / 9 + shift)) for step in range(0, 200, 4)] for shift in (0.0, 1.0, 2.0)]
    for column, found in enumerate(summarise(series, 0, 199, count=50)):
        assert found is not None
        there = [one[column][1] for one in series]  # a column for each point
        assert found.mean == pytest.approx(sum(there) / 3)
        assert (found.low, found.high) == (min(there), max(there))


def test_between_its_points_a_series_goes_straight() -> None:
    columns = summarise([RISING], 0, 100, count=101)
    assert [round(column.mean, 6) for column in columns if column][30:33] == [30.5, 31.5, 32.5]


def test_what_a_seed_did_for_one_moment_is_in_the_band() -> None:
    series: list[Series] = [
        [(step, 100.0) for step in range(1000)],
        [(step, 100.0 - 90 * (step == 333)) for step in range(1000)],
    ]
    columns = summarise(series, 0, 999, count=50)
    assert [column.low for column in columns if column and column.low < 100] == [10.0]
    assert BAND in draw(series, width=60)[-3], "down to the lowest line"


def test_a_seed_is_nowhere_before_its_first_point_and_after_its_last() -> None:
    columns = summarise([RISING, [(20, 1000.0), (40, 1000.0)]], 0, 100, count=101)
    beyond = [column.mean > 100 for column in columns if column]
    assert [beyond.index(True), 100 - beyond[::-1].index(True)] == [20, 40]
    gap = summarise([[(0, 1.0), (1, 1.0)], [(98, 1.0), (100, 1.0)]], 0, 100, count=101)
    assert gap[50] is None


@pytest.mark.parametrize("one", [[(0, -97.0)], [(0, 5.0), (7, 5.0)], [(3, 0.0)]])
def test_a_curve_without_any_range_is_in_the_middle(one: Series) -> None:
    lines = draw([one], width=50, height=5)
    assert LINE in lines[2]
    assert not any(LINE in line for line in (lines[0], lines[1], lines[3], lines[4]))
    assert lines[2].strip().startswith(number(one[0][1]))


def test_every_line_fits_the_terminal() -> None:
    for width in (40, 41, 80, 120):
        for one in (RISING, [(0, -1234567.0), (123_456_789, 0.001)]):
            assert max(map(len, draw([one], width=width))) <= width


def test_a_thousand_seeds_are_drawn_at_once() -> None:
    series = [[(step, float(step + seed)) for step in range(400)] for seed in range(1000)]
    began = time.process_time()
    draw(series, width=120)
    assert time.process_time() - began < 10


def test_a_terminal_that_knows_only_ascii_sees_line_and_band_apart() -> None:
    text = in_ascii("\n".join(draw([RISING, LATE], width=40)))
    assert text.isascii()
    assert {"#", ".", "|"} <= set(text)
    assert "?" not in text
