"""Whether `grace` is long enough for the episodes there are, and what a verdict is worth where it is not.

With a grace shorter than an episode only short episodes count, and "missing" means "long" as well as "lost". Both tests
then rest on a biased sample: a candidate that keeps its pole up longer looks silent. So neither may decide. The logbook
tells how many episodes were reported after grace. Two things must not look like it: a report that lay about for hours,
and a logbook that was away for minutes, which makes every report of that time late. Both are confined to few windows; a
grace that is too short shows in all of them. So it takes LATE_SHARE of a window, in windows with MOST of the reports.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from belay_api.reasons import Verdict
from belay_api.units import format_duration
from belay_api.wire import Statistics, WindowStatistics
from belay_operator.rollout.analysis.evidence import Evidence, Sample

LATE_SHARE = 0.01  # of reported episodes: what a mean that leaves out so few can be wrong by is small against a margin
MOST = 0.5
OUTLIERS = 1  # late reports that never matter, however few episodes there are
# Lengths are told rounded up, or the sentence would change with every longer episode. In seconds.
_ROUND = (1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700, 3600)


def withheld(
    evidence: Evidence, statistics: Statistics | None, *, candidate: str, stable: str, grace: timedelta
) -> Evidence:
    """Return the evidence with its late episodes; without Pass or Fail where grace is too short for one side."""
    if statistics is None or evidence.verdict is Verdict.PROVIDER_DOWN:
        return evidence
    sides = {side.version: side for side in statistics.versions if side.version in (candidate, stable)}
    windows = {name: side.windows for name, side in sides.items()}
    evidence = replace(
        evidence,
        candidate=_with_late(evidence.candidate, windows.get(candidate, ())),
        stable=_with_late(evidence.stable, windows.get(stable, ())),
    )
    if not any(too_short(side) for side in windows.values()):
        return evidence
    both = all(sample is not None and sample.episodes for sample in (evidence.candidate, evidence.stable))
    longest = rounded(max(side.longest or 0.0 for side in sides.values()))
    message = (
        f"episodes take longer than analysis.grace ({format_duration(grace)}): only the short ones would count, so "
        f"nothing is decided; raise it above the longest episode, which took up to {format_duration(longest)}"
    )
    verdict = Verdict.NOT_ENOUGH_SAMPLES if both else Verdict.NO_DATA
    return replace(evidence, verdict=verdict, message=message, grace_too_short=True)


def too_short(windows: Sequence[WindowStatistics]) -> bool:
    """Return whether so many of one version's reports came after grace that the others are a biased sample."""
    reported = [(window.count + window.late, window.late) for window in windows]
    affected = sum(both for both, late in reported if late > LATE_SHARE * both)
    return sum(late for _, late in reported) > OUTLIERS and affected >= MOST * sum(both for both, _ in reported)


def rounded(seconds: float) -> timedelta:
    """Return a length rounded up to one that people use, from an hour on to whole hours."""
    short = next((step for step in _ROUND if seconds <= step), None)
    return timedelta(seconds=short) if short is not None else timedelta(hours=-(-seconds // 3600))


def _with_late(sample: Sample | None, windows: Sequence[WindowStatistics]) -> Sample | None:
    return sample if sample is None else replace(sample, late=sum(window.late for window in windows))
