"""Whether `grace` is long enough for the episodes there are, and what a verdict is worth where it is not.

With a grace shorter than an episode only short episodes count, and "missing" means "long" as well as "lost". Both tests
then rest on a biased sample, so neither may decide. The logbook tells how many episodes were reported after grace. Two
things must not look like it: a report that lay about for hours, and a logbook that was away for minutes, which makes
every report of that time late. Both are confined to a part of the time; a grace that is too short shows in all of it.
So it takes LATE_SHARE of a part, in parts with MOST of the reports.

Late on the candidate alone is missing on the candidate, and the tests go on: else a candidate that is late in its bad
half would switch its own test off. It takes evidence that stable misses few, and not only that no late report of it is
known: reports of both sides' newest episodes are still to come. Late on stable decides nothing: what is left of stable
are its short episodes, and nobody knows whether a candidate is as good as the long ones.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from belay_api.reasons import Verdict
from belay_api.units import format_duration
from belay_api.wire import Statistics, WindowStatistics
from belay_operator.rollout.analysis.bet import Array
from belay_operator.rollout.analysis.evidence import Evidence, Sample

Number = TypeVar("Number", float, Array)

LATE_SHARE = 0.01  # of reported episodes: what a mean that leaves out so few can be wrong by is small against a margin
PARTS = 8  # of the time, with as many reports each: windows may be too short to tell a share of them
MOST = 0.5
OUTLIERS = 1  # late reports that never matter, however few episodes there are
MANY, USUAL = 0.10, 0.03  # shares of stable's episodes that are missing: bet against the first as if the other held
DOUBT = 0.01  # how often stable is taken to miss few at any look, where it misses MANY or more
TOO_EARLY = (
    "whether {setting} is long enough shows when twice of it has passed since the first episodes, or as soon as "
    "stable is seen to miss few; nothing is decided before"
)
# Lengths are told rounded up, or the sentence would change with every longer episode. In seconds.
_ROUND = (1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700, 3600)


def withheld(
    evidence: Evidence,
    statistics: Statistics | None,
    *,
    candidate: str,
    stable: str,
    grace: timedelta,
    setting: str = "analysis.grace",
) -> Evidence:
    """Return the evidence with its late episodes; without Pass or Fail where grace is too short to decide.

    Args:
        setting: What of the spec is to be raised then.
    """
    if statistics is None or evidence.verdict is Verdict.PROVIDER_DOWN:
        return evidence
    sides = {side.version: side for side in statistics.versions if side.version in (candidate, stable)}
    ours, theirs = (sides[name].windows if name in sides else [] for name in (candidate, stable))
    evidence = replace(
        evidence, candidate=_with_late(evidence.candidate, ours), stable=_with_late(evidence.stable, theirs)
    )
    longest = format_duration(rounded(max((side.longest or 0.0 for side in sides.values()), default=0.0)))
    if decides_nothing(ours, theirs):
        both = all(sample is not None and sample.episodes for sample in (evidence.candidate, evidence.stable))
        message = (
            f"episodes take longer than {setting} ({format_duration(grace)}): only the short ones would count, so "
            f"nothing is decided; raise it above the longest episode, which took up to {longest}"
        )
        verdict = Verdict.NOT_ENOUGH_SAMPLES if both else Verdict.NO_DATA
        return replace(evidence, verdict=verdict, message=message, grace_too_short=True)
    if evidence.verdict in (Verdict.PASS, Verdict.FAIL) and _too_early(theirs, statistics.at, grace):
        return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=TOO_EARLY.format(setting=setting))
    if too_short(ours) and evidence.verdict is not Verdict.PASS:
        message = (
            f"{evidence.message}. Many of the candidate's episodes are reported only after {setting} "
            f"({format_duration(grace)}), up to {longest} after their start, and count as missing: if they merely take "
            "longer, raise it"
        )
        return replace(evidence, message=message)
    return evidence


def decides_nothing(candidate: Sequence[WindowStatistics], stable: Sequence[WindowStatistics]) -> bool:
    """Return whether what counts is a biased sample for which the candidate alone cannot be blamed."""
    return too_short(stable) or (too_short(candidate) and not misses_few(stable))


def too_short(windows: Sequence[WindowStatistics]) -> bool:
    """Return whether so many of one version's reports came after grace that the others are a biased sample."""
    if sum([window.late for window in windows]) <= OUTLIERS:
        return False
    parts = list(_parts(windows))
    affected = sum(reported for reported, late in parts if late > LATE_SHARE * reported)
    return affected >= MOST * sum(reported for reported, _ in parts)


def misses_few(windows: Sequence[WindowStatistics]) -> bool:
    """Return whether it is shown that less than MANY of the episodes are missing, late or lost.

    Each episode is bet on, so it may be asked at every look. Missing and not late: an episode that just passed grace
    is missing at once, and late only when its report comes. One aim and no fresh money, so no purse of `bet` is needed:
    it would come to this sum, and one with more aims costs where 1 to 3 % are missing (docs/decisions/026).
    """
    missing, counted = sum(window.missing for window in windows), sum(window.count for window in windows)
    return evidence_of_few(missing, counted) >= math.log(1 / DOUBT)


def evidence_of_few(missing: Number, counted: Number) -> Number:
    """Return the log of the evidence that few are missing, of numbers of episodes or of arrays of them."""
    return missing * math.log(USUAL / MANY) + counted * math.log((1 - USUAL) / (1 - MANY))


def rounded(seconds: float) -> timedelta:
    """Return a length rounded up to one that people use, from an hour on to whole hours."""
    short = next((step for step in _ROUND if seconds <= step), None)
    return timedelta(seconds=short) if short is not None else timedelta(hours=-(-seconds // 3600))


def _too_early(stable: Sequence[WindowStatistics], at: datetime, grace: timedelta) -> bool:
    """Return whether stable may miss many because its reports are still to come, before the first can be known as late.

    With enough traffic seconds are enough to decide, and a candidate with longer episodes would fail in them.
    """
    return not misses_few(stable) and not any(at - window.start >= 2 * grace for window in stable[:1])


def _parts(windows: Sequence[WindowStatistics]) -> Iterator[tuple[int, int]]:
    """Yield reports and late ones of parts of the time, with about as many reports each; a window is never cut."""
    reports = [(window.count + window.late, window.late) for window in windows]
    total, before, found = sum([reported for reported, _ in reports]), 0, [(0, 0)] * PARTS
    for reported, late in reports:
        if reported:
            part = int(PARTS * (before + reported / 2) / total)
            found[part] = (found[part][0] + reported, found[part][1] + late)
        before += reported
    yield from found


def _with_late(sample: Sample | None, windows: Sequence[WindowStatistics]) -> Sample | None:
    return sample if sample is None else replace(sample, late=sum(window.late for window in windows))
