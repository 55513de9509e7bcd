"""What the artifacts of both sides know of an outcome before a trial: from the task itself, and from training.

An end that the task makes certain holds where both policies were trained for a task that says the same. What training
saw, random actions included, counts as seen before: a candidate that falls back to acting at random is protected
against in the first window already, and stable's evaluation says where outcomes lie when the logbook knows none yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from belay_api.outcomes import KnownOutcome
from belay_api.policy import KnownOutcomes
from belay_operator.rollout.analysis.bet import Earlier
from belay_operator.rollout.analysis.bounds import Range


@dataclass(frozen=True, slots=True)
class Known:
    """Of one outcome, for both sides."""

    certain: Range = field(default_factory=Range)  # from the task
    seen: Range = field(default_factory=Range)  # of all that was played in either training
    earlier: Earlier | None = None  # how stable did in its training; None: its artifact does not say


def known(outcome: str, candidate: KnownOutcomes | None, stable: KnownOutcomes | None) -> Known:
    """Return what both artifacts know of an outcome of the logbook.

    Args:
        candidate, stable: None: an artifact of an earlier version, or one that no pod has read yet.
    """
    sides = [side for side in (_of(outcome, candidate), _of(outcome, stable)) if side is not None]
    if not sides:
        return Known()
    seen = Range(min(side.low for side in sides), max(side.high for side in sides))
    theirs = _of(outcome, stable)
    earlier = None
    if theirs is not None and theirs.evaluated.episodes > 1:
        played = theirs.evaluated
        earlier = Earlier(played.mean, played.std, *_ends(seen), elsewhere=True)
    return Known(_agreed(sides) if len(sides) == 2 and outcome == "return" else Range(), seen, earlier)


def _of(outcome: str, known: KnownOutcomes | None) -> KnownOutcome | None:
    return None if known is None else known.of(outcome)


def _agreed(sides: list[KnownOutcome]) -> Range:
    """The ends that the tasks of both make certain; of another value each would be the wrong one for the other."""
    said = [side.certain for side in sides if side.certain is not None]
    if len(said) < len(sides):
        return Range()
    return Range(
        *(ends[0] if ends[0] == ends[1] else None for ends in zip(*((s.low, s.high) for s in said), strict=True))
    )


def _ends(seen: Range) -> tuple[float, float]:
    return seen.low or 0.0, seen.high or 0.0
