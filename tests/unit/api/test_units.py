"""Durations, shares and instants: what is written is what is read."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay_api.units import (
    DURATION_PATTERN,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
    parse_percent,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("7d", 604800), ("250ms", 0.25), ("1.5s", 1.5)]
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "10", "m10", "10 m", "-5s", "1w", "1m1h", "1h1h", "1.0001s"])
def test_parse_duration_refuses_what_has_no_unit_it_knows(text: str) -> None:
    with pytest.raises(ValueError, match="write e.g. 90s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", "999999999999d", "9" * 31 + "s"])
def test_parse_duration_refuses_what_no_clock_can_add(text: str) -> None:
    with pytest.raises(ValueError, match="at most 9999d"):
        parse_duration(text)


def test_the_longest_duration_that_the_pattern_takes_fits_every_clock() -> None:
    longest = "9999.999d99999.999h9999999.999m999999999.999s9999999999.999ms"
    assert re.fullmatch(DURATION_PATTERN, longest), "this is not the longest one any more"
    assert parse_duration(longest) < timedelta(days=36_500), "beyond 292 years the Job controller's clock overflows"


@given(st.integers(min_value=0, max_value=10**11))
def test_a_formatted_duration_reads_back(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)))
def test_a_formatted_instant_reads_back_to_the_millisecond(naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    assert parse_instant(format_instant(instant)) == instant


def test_an_instant_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        parse_instant("2026-05-04T10:00:00")


def test_percent() -> None:
    assert parse_percent("10%") == pytest.approx(0.1)
    with pytest.raises(ValueError, match="write e.g. 10%"):
        parse_percent("0.1")
