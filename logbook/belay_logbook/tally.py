"""Numbers of the episodes that started in one span of time, and how two neighbouring spans make one.

counted   the first report that carries the outcome came within grace of the start
missing   not counted
late      the missing ones that carry the outcome all the same: reported, but after grace
moved     taken over by another version: counts for neither side
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from belay_api.receipts import FORESEEN_LEVELS
from belay_logbook.exact import NOTHING, Sums, add, sum_up

Row = tuple[int, int | None, int, int | None, float | None]
"""An episode: started_ms, time in ms to the report that told the outcome, else to its first (None: there is none yet),
moved, what a critic foresaw (None: nothing; else the baseline's id times FORESEEN_LEVELS plus the level), outcome
(None: not told)."""


@dataclass(frozen=True, slots=True)
class Part:
    """Counted episodes: all of a span, or those of one level."""

    count: int = 0
    low: float | None = None
    """Least counted outcome; None: nothing counts."""
    high: float | None = None
    sums: Sums = NOTHING
    """Of the counted outcomes."""


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
    """Longest time from start to the report that `Row` counts by; None: there is no report."""
    low: float | None = None
    """Least counted outcome; None: nothing counts."""
    high: float | None = None
    sums: Sums = NOTHING
    """Of the counted outcomes."""
    baseline: int | None = None
    """Id of the one critic that judged every counted episode; None: there is no such critic, or nothing counts."""
    levels: tuple[tuple[int, Part], ...] = ()
    """The counted episodes by what it said, ascending; empty where `baseline` is None."""

    @property
    def episodes(self) -> int:
        """All episodes of the span."""
        return self.count + self.missing + self.moved

    @property
    def told(self) -> int:
        """Episodes that a report told the outcome of, those apart that were taken over."""
        return self.count + self.late

    def to_text(self) -> str:
        """Return the tally as text that `from_text` reads back to the bit."""
        counts = [self.count, self.missing, self.late, self.moved, self.reported]
        said = [*counts, self.longest_ms, self.low, self.high, *_sums_text(self.sums)]
        if self.baseline is not None:
            levels = [[level, it.count, it.low, it.high, *_sums_text(it.sums)] for level, it in self.levels]
            said += [self.baseline, levels]
        return orjson.dumps(said).decode()

    @classmethod
    def from_text(cls, text: str) -> "Tally":
        """Return the tally that `to_text` wrote."""
        *numbers, exponent, total, squares = (said := orjson.loads(text))[:_WITHOUT_LEVELS]
        baseline, levels = said[_WITHOUT_LEVELS:] or (None, [])
        parts = tuple((level, Part(count, low, high, _sums(*sums))) for level, count, low, high, *sums in levels)
        return cls(*numbers, _sums(exponent, total, squares), baseline, parts)


_WITHOUT_LEVELS = 11  # numbers of a tally that knows no critic


def tally(rows: Sequence[Row], grace_ms: int) -> Tally:
    """Return the numbers of episodes that are past grace."""
    took = [after for _, after, _, _, _ in rows if after is not None]
    moved = sum([moved for _, _, moved, _, _ in rows])
    told = [
        (after, foreseen, value)
        for _, after, moved, foreseen, value in rows
        if value is not None and after is not None and not moved
    ]
    counted = [value for after, _, value in told if after <= grace_ms]
    foreseen = [said for after, said, _ in told if after <= grace_ms]
    part = _part(counted)
    baseline, levels = _by_level(foreseen, counted)
    return Tally(
        count=part.count,
        missing=len(rows) - moved - len(counted),
        late=len(told) - len(counted),
        moved=moved,
        reported=len(took),
        longest_ms=max(took, default=None),
        low=part.low,
        high=part.high,
        sums=part.sums,
        baseline=baseline,
        levels=levels,
    )


def together(parts: Iterable[Tally]) -> Tally:
    """Return the numbers of all parts."""
    known = [part for part in parts if part.episodes]
    counted = [part for part in known if part.count]
    whole = _joined([Part(part.count, part.low, part.high, part.sums) for part in counted])
    baselines = {part.baseline for part in counted}
    baseline = baselines.pop() if len(baselines) == 1 else None
    by_level: defaultdict[int, list[Part]] = defaultdict(list)
    for part in counted if baseline is not None else ():
        for level, it in part.levels:
            by_level[level].append(it)
    return Tally(
        count=whole.count,
        missing=sum(part.missing for part in known),
        late=sum(part.late for part in known),
        moved=sum(part.moved for part in known),
        reported=sum(part.reported for part in known),
        longest_ms=max((part.longest_ms for part in known if part.longest_ms is not None), default=None),
        low=whole.low,
        high=whole.high,
        sums=whole.sums,
        baseline=baseline,
        levels=tuple((level, _joined(by_level[level])) for level in sorted(by_level)),
    )


def _by_level(
    foreseen: Sequence[int | None], counted: Sequence[float]
) -> tuple[int | None, tuple[tuple[int, Part], ...]]:
    """Return the critic that judged all of them, and the episodes by what it said."""
    known = [said for said in foreseen if said is not None]
    if not known or len(known) < len(counted) or len({said // FORESEEN_LEVELS for said in known}) > 1:
        return None, ()
    by_level: defaultdict[int, list[float]] = defaultdict(list)
    for said, value in zip(known, counted, strict=True):
        by_level[said % FORESEEN_LEVELS].append(value)
    return known[0] // FORESEEN_LEVELS, tuple((level, _part(by_level[level])) for level in sorted(by_level))


def _part(values: Sequence[float]) -> Part:
    return Part(len(values), min(values, default=None), max(values, default=None), sum_up(values))


def _joined(parts: Sequence[Part]) -> Part:
    return Part(
        sum(part.count for part in parts),
        min((part.low for part in parts if part.low is not None), default=None),
        max((part.high for part in parts if part.high is not None), default=None),
        add(part.sums for part in parts),
    )


def _sums_text(sums: Sums) -> list[int | str]:
    return [sums.exponent, hex(sums.total), hex(sums.squares)]  # too large for JSON's numbers


def _sums(exponent: int, total: str, squares: str) -> Sums:
    return Sums(exponent, int(total, 16), int(squares, 16))
