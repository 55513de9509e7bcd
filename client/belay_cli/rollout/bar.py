"""An interval in one line of text: where it lies beside nothing, and beside the bounds it is held to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FEWEST_CELLS = 12
_ROOM = 0.04  # of the scale, at both ends


@dataclass(frozen=True, slots=True)
class Interval:
    """What was measured."""

    low: float
    at: float | None  # the estimate; None: not known
    high: float


@dataclass(frozen=True, slots=True)
class Scale:
    """From where to where a line reaches."""

    low: float
    high: float
    cells: int

    @classmethod
    def over(cls, values: Iterable[float], *, columns: int) -> "Scale":
        """Return a scale on which all of these lie, with a little room."""
        known = sorted(values)
        room = _ROOM * (known[-1] - known[0]) or abs(known[0]) / 10 or 1.0
        return cls(known[0] - room, known[-1] + room, max(FEWEST_CELLS, columns))

    def cell(self, value: float) -> int:
        """Return where a value lies, from 0 on."""
        share = (value - self.low) / (self.high - self.low)
        return min(self.cells - 1, max(0, int(share * self.cells)))


def draw(interval: Interval, scale: Scale, marks: Mapping[str, float]) -> str:
    """Return the line: `[` and `]` at the ends of the interval, `●` at the estimate, each mark by its one character.

    A mark is seen wherever it lies, also inside of the interval; of two in one cell the later one is.
    """
    cells = ["·"] * scale.cells
    low, high = scale.cell(interval.low), scale.cell(interval.high)
    cells[low : high + 1] = "━" * (high + 1 - low)
    cells[low], cells[high] = "[", "]"
    if interval.at is not None:
        cells[scale.cell(interval.at)] = "●"
    for mark, value in marks.items():
        cells[scale.cell(value)] = mark
    return "".join(cells)


def gauge(share: float, cells: int) -> str:
    """Return how much of something there is: 1 is all of it, and more is drawn as all."""
    full = min(cells, max(0, int(share * cells)))
    return "█" * full + "░" * (cells - full)
