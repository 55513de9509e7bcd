"""Numbers of the episodes that started in one span of time, and how two neighbouring spans make one.

counted   first report within grace of the start, carries the outcome
missing   not counted
late      the missing ones that carry the outcome all the same: reported, but after grace
moved     taken over by another version: counts for neither side
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from belay_logbook.exact import NOTHING, Sums, add, sum_up

Row = tuple[int, int | None, int, float | None]
"""An episode: started_ms, time to its report in ms (None: there is none yet), moved, outcome (None: not told)."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One span's numbers."""

    count: int = 0
    missing: int = 0
    late: int = 0
    moved: int = 0
    reported: int = 0
    """Episodes with a report, whatever became of them."""
    longest_ms: int | None = None
    """Longest time from start to report; None: there is no report."""
    low: float | None = None
    """Least counted outcome; None: nothing counts."""
    high: float | None = None
    sums: Sums = NOTHING
    """Of the counted outcomes."""

    @property
    def episodes(self) -> int:
        """All episodes of the span."""
        return self.count + self.missing + self.moved

    def to_text(self) -> str:
        """Return the tally as text that `from_text` reads back to the bit."""
        sums = [self.sums.exponent, hex(self.sums.total), hex(self.sums.squares)]  # too large for JSON's numbers
        counts = [self.count, self.missing, self.late, self.moved, self.reported]
        return orjson.dumps([*counts, self.longest_ms, self.low, self.high, *sums]).decode()

    @classmethod
    def from_text(cls, text: str) -> "Tally":
        """Return the tally that `to_text` wrote."""
        *numbers, exponent, total, squares = orjson.loads(text)
        return cls(*[*numbers, Sums(exponent, int(total, 16), int(squares, 16))])


def tally(rows: Sequence[Row], grace_ms: int) -> Tally:
    """Return the numbers of episodes that are past grace."""
    took = [after for _, after, _, _ in rows if after is not None]
    moved = sum([moved for _, _, moved, _ in rows])
    told = [(after, value) for _, after, moved, value in rows if value is not None and after is not None and not moved]
    counted = [value for after, value in told if after <= grace_ms]
    return Tally(
        count=len(counted),
        missing=len(rows) - moved - len(counted),
        late=len(told) - len(counted),
        moved=moved,
        reported=len(took),
        longest_ms=max(took, default=None),
        low=min(counted, default=None),
        high=max(counted, default=None),
        sums=sum_up(counted),
    )


def together(parts: Iterable[Tally]) -> Tally:
    """Return the numbers of all parts."""
    known = [part for part in parts if part.episodes]
    return Tally(
        count=sum(part.count for part in known),
        missing=sum(part.missing for part in known),
        late=sum(part.late for part in known),
        moved=sum(part.moved for part in known),
        reported=sum(part.reported for part in known),
        longest_ms=max((part.longest_ms for part in known if part.longest_ms is not None), default=None),
        low=min((part.low for part in known if part.low is not None), default=None),
        high=max((part.high for part in known if part.high is not None), default=None),
        sums=add(part.sums for part in known),
    )
