"""The stable version after its promotion: what is recorded of it, and what the last windows of its episodes say.

    promoted ──▶ reference (its episodes by then, else the first hundred after it) ──▶ watched ◀──▶ degraded

What is recorded is a state and an instant up to which windows are counted in it. Whatever comes later is counted anew
from there at each look, and recorded when the state changes or an hour of it has come together: a look is no write.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_api.rollout.status import RLRolloutStatus
from belay_api.rollout.watch import ReferenceStatus, WatchSpec, WatchStatus
from belay_operator.rollout import segment
from belay_operator.rollout.analysis import after
from belay_operator.rollout.analysis.after import RECOVERY
from belay_operator.rollout.analysis.bet import Array, Bounds, Earlier, Outcomes
from belay_operator.rollout.analysis.bounds import bounds
from belay_operator.rollout.analysis.evidence import Better, Comparison, StartWindow, pair
from belay_operator.rollout.analysis.queries import comparison_of, definition_of, grace_of
from belay_operator.rollout.facts import OutcomeQuery, Reading
from belay_operator.rollout.move import instant
from belay_operator.rollout.stored import short

DEGRADED = "Degraded"
"""The condition that stands while stable does worse than when it was promoted (situations/stable_worse)."""
RECORD_EVERY = timedelta(hours=1)
LEAST_WINDOW = timedelta(minutes=5)  # it watches for months: a minute sooner is worth nothing
MONTH = timedelta(days=30)


def queries(analysis: AnalysisSpec) -> tuple[OutcomeQuery, ...]:
    """Return what to ask the logbook about a promoted version, one query per outcome."""
    asked = {query.outcome: query for metric in watched(analysis) if (query := query_of(metric, analysis)) is not None}
    return tuple(asked[outcome] for outcome in sorted(asked))


def query_of(metric: Metric, analysis: AnalysisSpec) -> OutcomeQuery | None:
    """Return what to ask about one metric; None: its source is not the logbook."""
    if metric.source.logbook is None:
        return None
    window = max(analysis.window, LEAST_WINDOW)
    return OutcomeQuery(
        metric.source.logbook.outcome, window.total_seconds(), grace_of(metric, analysis).total_seconds()
    )


def watched(analysis: AnalysisSpec) -> list[Metric]:
    """Return the metrics that a promoted version is watched by."""
    return [metric for metric in analysis.deciding if metric.compare is not None and metric.source.logbook is not None]


def begun(
    policy: str, analysis: AnalysisSpec, *, trial: Mapping[str, Reading], status: RLRolloutStatus, at: datetime
) -> list[WatchStatus]:
    """Return the records of a version that is promoted.

    Args:
        trial: What was last measured of it as a candidate, by metric.
        status: As it is before the promotion.
    """
    since = status.weight.since if status.weight is not None else None
    whole = not segment.was_aside(status)
    return [
        _record(metric, policy, analysis, _by_trial(metric, policy, trial, since, whole=whole), at)
        for metric in watched(analysis)
    ]


def anew(policy: str, analysis: AnalysisSpec, old: Sequence[WatchStatus], at: datetime) -> list[WatchStatus]:
    """Return the records as the spec asks for them: those that are about this, and new ones for the rest."""
    known = {one.metric: one for one in old if one.policy == policy}
    return [_taken_up(metric, policy, analysis, known.get(metric.name), at) for metric in watched(analysis)]


def looked(
    record: WatchStatus, metric: Metric, reading: Reading, *, analysis: AnalysisSpec, spec: WatchSpec, now: datetime
) -> WatchStatus:
    """Return the record after a look; the same one where there is nothing to write."""
    comparison, windows = comparison_of(metric), _windows(record, reading)
    # On trial a metric may be edited, and what it measures now says nothing of what is on record.
    if comparison is None or not windows or record.definition != definition_of(metric, analysis):
        return record
    if record.reference is None:
        found = _reference(windows, metric)
        if found is None:
            return record
        update = _told(found, comparison) | {"counted_until": _end(windows[-1], reading), "evidence": []}
        return record.model_copy(update=update)
    per_s = 1 / RECOVERY.total_seconds()
    if record.degraded_since is None:  # all metrics share what may be wrong
        per_s = spec.false_alarms_per_month / (MONTH.total_seconds() * len(watched(analysis)))
    return _counted(record, comparison, windows, reading, per_s=per_s, now=now)


def _counted(
    record: WatchStatus,
    comparison: Comparison,
    windows: Sequence[StartWindow],
    reading: Reading,
    *,
    per_s: float,
    now: datetime,
) -> WatchStatus:
    reference = record.reference
    if reference is None or record.least is None:
        return record
    ends = [record.counted_until, *(_end(window, reading) for window in windows)]
    elapsed = np.array([max((b - a).total_seconds(), 0.0) for a, b in pairwise(ends)])
    degraded = record.degraded_since is not None
    held = np.array(record.evidence if len(record.evidence) == after.AIMS.size else after.NOTHING)
    evidence = _evidence(record, reference, comparison, windows, held=held, elapsed=elapsed, per_s=per_s)
    crossed = np.flatnonzero(evidence.sum(axis=-1) >= 1)
    if crossed.size:
        turned = windows[: int(crossed[0]) + 1]
        update = {
            "evidence": [],
            "counted_until": _end(turned[-1], reading),
            "degraded_since": None if degraded else instant(now),
            "message": "" if degraded else _message(record, comparison, turned),
        }
        return record.model_copy(update=update | _reach(reference, turned))
    if ends[-1] - record.counted_until < RECORD_EVERY:
        return record
    said = [float(f"{one:.6g}") for one in evidence[-1]]
    return record.model_copy(update={"evidence": said, "counted_until": ends[-1], **_reach(reference, windows)})


def _evidence(
    record: WatchStatus,
    reference: ReferenceStatus,
    comparison: Comparison,
    windows: Sequence[StartWindow],
    *,
    held: Array,
    elapsed: Array,
    per_s: float,
) -> Array:
    """The evidence that it has become worse; while it is, that it is not any more."""
    known = Earlier(reference.mean, reference.spread, reference.low, reference.high)
    outcomes = pair(windows, windows).candidate
    reach, least = bounds(comparison.certain, comparison.margin, outcomes, outcomes, known), record.least or 0.0
    if (comparison.better is Better.LESS) != (record.degraded_since is not None):
        outcomes, reach, least = outcomes.mirrored(), reach.mirrored(), -least
    return after.worse(
        held,
        outcomes,
        elapsed,
        least=least,
        spread=reference.spread,
        bounds=Bounds(reach.low, reach.high),
        per_s=per_s,
    )


def _record(
    metric: Metric, policy: str, analysis: AnalysisSpec, windows: Sequence[StartWindow] | None, at: datetime
) -> WatchStatus:
    record = WatchStatus(
        metric=metric.name, definition=definition_of(metric, analysis), policy=policy, counted_until=instant(at)
    )
    comparison = comparison_of(metric)
    found = _reference(windows, metric) if windows else None
    return record if found is None or comparison is None else record.model_copy(update=_told(found, comparison))


def _taken_up(
    metric: Metric, policy: str, analysis: AnalysisSpec, old: WatchStatus | None, at: datetime
) -> WatchStatus:
    """The record of a metric: as it is, or by its new definition against the reference that it has.

    A version that has sunk must not become its own reference because somebody edits a margin.
    """
    definition, comparison = definition_of(metric, analysis), comparison_of(metric)
    if old is not None and old.definition == definition:
        return old
    reference = None if old is None else old.reference
    if old is None or comparison is None or reference is None or reference.outcome != _outcome(metric):
        return _record(metric, policy, analysis, None, at)
    told = _told(reference, comparison)
    anew = old.model_copy(update=told | {"definition": definition, "evidence": []})
    turned = old.least is not None and (old.least > reference.mean) != (comparison.better is Better.LESS)
    return anew.model_copy(update={"degraded_since": None, "message": ""}) if turned else anew


def _outcome(metric: Metric) -> str | None:
    return None if metric.source.logbook is None else metric.source.logbook.outcome


def _by_trial(
    metric: Metric, policy: str, trial: Mapping[str, Reading], since: datetime | None, *, whole: bool
) -> list[StartWindow] | None:
    """Its episodes at the last weight; where these are too few, all of its trial, if that was of everybody (`whole`).

    None: too little was measured.
    """
    reading = trial.get(metric.name)
    if reading is None or reading.windows is None:
        return None
    every = _of(policy, reading)
    last = [window for window in every if since is not None and window.start >= since]
    if sum(window.count for window in last) >= after.LEAST_EPISODES:
        return last
    return every if whole else None


def _reference(windows: Sequence[StartWindow], metric: Metric) -> ReferenceStatus | None:
    """The reference as it is stored, with the ends of what was seen; None: too few episodes."""
    outcomes = _outcomes(windows)
    found = after.reference(outcomes)
    if found is None:
        return None
    some = outcomes.count > 0
    return ReferenceStatus(
        outcome=_outcome(metric),
        mean=_six(found.mean),
        spread=_six(found.spread),
        episodes=found.episodes,
        low=_six(float(outcomes.low[some].min())),
        high=_six(float(outcomes.high[some].max())),
    )


def _told(reference: ReferenceStatus, comparison: Comparison) -> dict[str, object]:
    """The reference, and the mean that is asked for."""
    margin = comparison.margin.value * (abs(reference.mean) if comparison.margin.relative else 1.0)
    error = after.ERRORS * reference.spread / math.sqrt(reference.episodes)
    sign = 1 if comparison.better is Better.MORE else -1
    return {"reference": reference, "least": _six(reference.mean - sign * (error + margin))}


def _reach(reference: ReferenceStatus, windows: Sequence[StartWindow]) -> dict[str, ReferenceStatus]:
    lows = [window.low for window in windows if window.low is not None]
    highs = [window.high for window in windows if window.high is not None]
    ends = {"low": _six(min([reference.low, *lows])), "high": _six(max([reference.high, *highs]))}
    return {"reference": reference.model_copy(update=ends)}


def _message(record: WatchStatus, comparison: Comparison, windows: Sequence[StartWindow]) -> str:
    """What was seen. It stays as it is while the alarm stands, so numbers may be in it."""
    count = sum(window.count for window in windows)
    mean = math.fsum(window.count * (window.mean or 0.0) for window in windows) / max(count, 1)
    reference = record.reference
    was = f"{reference.mean:.6g} over {reference.episodes} episodes" if reference is not None else "?"
    side = "below" if comparison.better is Better.MORE else "above"
    return (
        f"{record.policy} does worse than when it was promoted: {record.metric} had a mean of {was}, of late it is "
        f"{mean:.6g} over {count}, and it is shown to be {side} {record.least:.6g}"
    )


def _windows(record: WatchStatus, reading: Reading) -> list[StartWindow]:
    """The windows that are over and not counted yet, oldest first."""
    if reading.windows is None or reading.outcome_query is None or reading.problem is not None:
        return []
    query = reading.outcome_query
    over = reading.windows.at - timedelta(seconds=query.grace_s)
    found = [window for window in _of(record.policy, reading) if window.start >= record.counted_until]
    return [window for window in found if _end(window, reading) <= over]


def _of(policy: str, reading: Reading) -> list[StartWindow]:
    """A version's windows that have episodes, oldest first."""
    if reading.windows is None:
        return []
    return [
        StartWindow(one.start, one.count, one.missing, mean=one.mean, m2=one.m2, low=one.min, high=one.max)
        for side in reading.windows.versions
        if side.version == policy
        for one in side.windows
        if one.count
    ]


def _end(window: StartWindow, reading: Reading) -> datetime:
    query = reading.outcome_query
    return window.start + timedelta(seconds=query.window_s if query is not None else 0.0)


def _outcomes(windows: Sequence[StartWindow]) -> Outcomes:
    return pair(windows, windows).candidate


def _six(value: float) -> float:
    return short(value) or 0.0
