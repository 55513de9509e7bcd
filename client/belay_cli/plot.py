"""A line with a band in text: the mean over several series, and from the lowest to the highest of them.

Series have steps of their own, so they meet in columns. In a column a series stands at the mean of its points there,
where it has none on the straight line between its neighbours; before its first and after its last it is not there. The
band reaches to every single point, so that what one seed did for one moment is seen.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

HEIGHT = 13  # lines of the plot; odd, so that one of them is the middle
LINE, BAND = "█", "░"
_AXIS, _TICK, _CORNER, _FLOOR = "│", "┤", "└", "─"

Series = Sequence[tuple[int, float]]
"""Step and value, by ascending steps; at least one."""


@dataclass(frozen=True, slots=True)
class Column:
    """What the series do in one column."""

    mean: float
    low: float
    high: float


def draw(series: Sequence[Series], *, width: int, height: int = HEIGHT) -> list[str]:
    """Return the lines of the plot, axes included.

    Args:
        series: At least one.
        width: Columns of the terminal.
        height: Lines of the plot itself; odd, at least 3.
    """
    first, last = min(one[0][0] for one in series), max(one[-1][0] for one in series)
    low, high = _range(series)
    labels = {0: number(high), height // 2: number((low + high) / 2), height - 1: number(low)}
    margin = max(len(label) for label in labels.values())
    columns = summarise(series, first, last, count=max(1, width - margin - 2))

    def line_of(value: float) -> int:
        return round((high - value) / (high - low) * (height - 1))

    lines = []
    for line in range(height):
        cells = [
            " " if one is None
            else LINE if line == line_of(one.mean)
            else BAND if line_of(one.high) <= line <= line_of(one.low)
            else " "
            for one in columns
        ]  # fmt: skip
        label = labels.get(line, "")
        lines.append(f"{label:>{margin}} {_TICK if label else _AXIS}{''.join(cells)}".rstrip())
    lines.append(f"{'':>{margin}} {_CORNER}{_FLOOR * len(columns)}")
    lines.append(f"{'':>{margin}}  {_steps(first, last, len(columns))}")
    return lines


def summarise(series: Sequence[Series], first: int, last: int, *, count: int) -> list[Column | None]:
    """Return `count` columns from step `first` to `last`; None where no series is."""
    span = last - first + 1
    columns: list[list[tuple[float, list[float]]]] = [[] for _ in range(count)]  # level and points of each series there
    for one in series:
        points: list[list[float]] = [[] for _ in range(count)]
        for step, value in one:
            points[(step - first) * count // span].append(value)
        for column, there in enumerate(points):
            middle = first + (column + 0.5) * span / count
            level = sum(there) / len(there) if there else _between(one, middle)
            if level is not None:
                columns[column].append((level, there))
    return [_column(levels) if levels else None for levels in columns]


def number(value: float) -> str:
    """Return a number with three significant digits, or to the unit where it has more before the point.

    >>> number(0.12345), number(-97.25), number(1234.5), number(25_000_000.0)
    ('0.123', '-97.2', '1,234', '2.5e+07')
    """
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def _range(series: Sequence[Series]) -> tuple[float, float]:
    values = [value for one in series for _, value in one]
    low, high = min(values), max(values)
    if low < high:
        return low, high
    room = abs(low) / 10 or 1.0  # all the same: in the middle
    return low - room, high + room


def _between(one: Series, step: float) -> float | None:
    """Return the value on the line between the points around `step`; None outside of the series."""
    right = bisect_left(one, step, key=itemgetter(0))
    if right in (0, len(one)):
        return None
    (before, low), (after, high) = one[right - 1], one[right]
    return low + (high - low) * (step - before) / (after - before)


def _column(levels: Sequence[tuple[float, Sequence[float]]]) -> Column:
    values = [value for level, there in levels for value in (level, *there)]
    return Column(sum(level for level, _ in levels) / len(levels), min(values), max(values))


def _steps(first: int, last: int, width: int) -> str:
    left, middle, right = f"{first:,}", f"{(first + last) // 2:,}", f"{last:,}"
    if first == last:
        return left
    text = left.ljust(width - len(right)) + right
    start = (width - len(middle)) // 2
    if start > len(left) + 1 and start + len(middle) + 1 < width - len(right):
        text = text[:start] + middle + text[start + len(middle) :]
    return text
