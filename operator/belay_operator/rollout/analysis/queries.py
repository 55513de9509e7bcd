"""From the spec to what is asked, and from the answer to what a verdict is reached from.

The statistics themselves know nothing of resources or of the wire; this file is the only one that knows both.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

from belay_api.content import content_hash
from belay_api.reasons import Verdict
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.compare import RangeOrigin
from belay_api.rollout.limit import LONGEST_LATENCY, Limit
from belay_api.rollout.metric import Metric
from belay_api.rollout.sources.unit import Unit
from belay_api.units import format_duration, parse_duration, parse_percent
from belay_api.wire import CovariateStatistics, Statistics, VersionStatistics
from belay_operator.rollout.analysis.bet import Earlier
from belay_operator.rollout.analysis.bounds import Range
from belay_operator.rollout.analysis.budget import Budget, split
from belay_operator.rollout.analysis.covariate import LEVELS
from belay_operator.rollout.analysis.evidence import Better, Comparison, Evidence, Level, StartWindow, earlier
from belay_operator.rollout.analysis.grace import withheld
from belay_operator.rollout.analysis.known import Known
from belay_operator.rollout.analysis.limits import Counted, Rail
from belay_operator.rollout.analysis.verdict import judge
from belay_operator.rollout.facts import Look, OutcomeQuery, Reading

# Known beforehand of the outcomes that every client reports alike.
CERTAIN = {"success": Range(0.0, 1.0), "length": Range(low=0.0), "violations": Range(low=0.0)}
NOTHING = Known()
NO_LOOK = "no look is over yet"
NO_NUMBER = "no look at both sides gave a number yet"
LONG_AGO = datetime.min.replace(tzinfo=UTC)
EXAMPLES = {Unit.DURATION: "100ms", Unit.SHARE: "5%", Unit.NUMBER: "0.5"}
LOOKS_BEYOND = 0.05  # of the looks at a number may lie beyond its limit
SLOW_SHARE = 0.01  # of the requests may take longer than a limit on their 99th percentile


def outcome_queries(analysis: AnalysisSpec) -> tuple[OutcomeQuery, ...]:
    """Return what to ask the logbook, one query per outcome, in a stable order."""
    outcomes = {metric.source.logbook.outcome for metric in analysis.metrics if metric.source.logbook}
    return tuple(outcome_query(outcome, analysis) for outcome in sorted(outcomes))


def outcome_query(outcome: str, analysis: AnalysisSpec) -> OutcomeQuery:
    """Return what to ask the logbook about an outcome: all metrics of one have one grace."""
    of = (metric for metric in analysis.metrics if metric.source.logbook and metric.source.logbook.outcome == outcome)
    grace = next((grace_of(metric, analysis) for metric in of), analysis.grace)
    return OutcomeQuery(outcome, analysis.window.total_seconds(), grace.total_seconds())


def grace_of(metric: Metric, analysis: AnalysisSpec) -> timedelta:
    """Return how long a comparison waits for an outcome."""
    return analysis.grace if metric.grace is None else metric.grace


def definition_of(metric: Metric, analysis: AnalysisSpec) -> str:
    """Return what tells this metric from another one that had its name before."""
    said = metric.judged_by() | (
        {"grace": str(grace_of(metric, analysis)), "window": str(analysis.window)} if metric.source.logbook else {}
    )
    return content_hash(said)


def comparison_of(metric: Metric, known: Known = NOTHING) -> Comparison | None:
    """Return how a metric is compared with stable; None: it is held to a limit.

    Args:
        known: What the artifacts of both sides know of its outcome.
    Raises: ValueError for margin 0, or where its source tells of no episodes.
    """
    if metric.compare is None:
        return None
    if not metric.source.compared:
        raise ValueError(f"metric {metric.name}: compare needs episodes, and source.{metric.source.kind} tells of none")
    compare, logbook = metric.compare, metric.source.logbook
    said = Range() if compare.range is None else Range(compare.range.low, compare.range.high)
    certain, origin = _certain(
        (said, RangeOrigin.DECLARED),
        (CERTAIN.get(logbook.outcome, Range()) if logbook else Range(), RangeOrigin.OUTCOME),
        (known.certain, RangeOrigin.TASK),
    )
    if compare.margin is None:
        return None
    better = Better.MORE if compare.max_regression is not None else Better.LESS
    looks, most = metric.source.prometheus is not None, _most_lost(metric)
    return Comparison(metric.name, better, compare.margin, certain, origin, max_regret=most, looks=looks)


def _most_lost(metric: Metric) -> float | None:
    most = metric.max_regret
    if most is not None and (most.relative or not most.value > 0):
        raise ValueError(f"metric {metric.name}: maxRegret is a sum, and a number above 0; write e.g. 5000")
    return None if most is None else most.value


def _certain(*ranges: tuple[Range, RangeOrigin]) -> tuple[Range, tuple[RangeOrigin, RangeOrigin]]:
    """Return each end from the first range that has it, and where it comes from.

    Ends from two ranges may contradict each other, a declared low above the task's high: then the first range counts
    alone.
    """
    low, low_from = _first_end((one.low, origin) for one, origin in ranges)
    high, high_from = _first_end((one.high, origin) for one, origin in ranges)
    if low is not None and high is not None and not low < high and len(ranges) > 1:
        return _certain(*ranges[:-1])
    return Range(low, high), (low_from, high_from)


def _first_end(ends: Iterable[tuple[float | None, RangeOrigin]]) -> tuple[float | None, RangeOrigin]:
    return next(((end, origin) for end, origin in ends if end is not None), (None, RangeOrigin.SEEN))


def limit_of(metric: Metric) -> Rail | None:
    """Return the limit a metric is held to; None: it is compared.

    Raises: ValueError for a bound of another unit, or one that says nothing of a candidate.
    """
    limit = metric.limit
    if limit is None:
        return None
    if not metric.source.measured:
        raise ValueError(f"metric {metric.name}: limit needs a measurement, and source.{metric.source.kind} has none")
    if metric.source.prometheus is not None:
        return _limit_of_looks(metric, limit)
    if limit.max is None:
        raise ValueError(f"metric {metric.name}: limit.min takes back nobody who is worse; write max instead")
    bound, latency = _bound(metric, limit.max), metric.source.unit is Unit.DURATION
    if latency and not 0 < bound <= LONGEST_LATENCY.total_seconds():
        longest = format_duration(LONGEST_LATENCY)
        raise ValueError(f"metric {metric.name}: limit {limit.max} is not within what pods measure: 1ms to {longest}")
    return Rail(
        metric=metric.name,
        allowed=SLOW_SHARE if latency else bound,
        longest_s=bound if latency else None,
        block_s=limit.tolerates.total_seconds(),
        false_per_day=limit.false_rollbacks_per_day,
    )


def _limit_of_looks(metric: Metric, limit: Limit) -> Rail:
    """A limit on what somebody is asked for, which is in whatever unit the limit is written in."""
    text = limit.max if limit.max is not None else limit.min
    if text is None:
        raise ValueError(f"metric {metric.name}: a limit has one bound: set either max or min")
    below, share = limit.max is None, text.endswith("%")
    bound = _number(text)
    if share and not (0 < bound <= 1 if below else 0 <= bound < 1):
        wanted = "above 0% and at most 100%" if below else "0% or more and below 100%"
        raise ValueError(f"metric {metric.name}: no share could tell a good candidate by a limit of {text}; {wanted}")
    allowed = (1 - bound if below else bound) if share else LOOKS_BEYOND
    return Rail(
        metric=metric.name,
        allowed=allowed,
        block_s=limit.tolerates.total_seconds(),
        false_per_day=limit.false_rollbacks_per_day,
        counted=Counted.SHARES if share else Counted.LOOKS,
        bound=bound,
        below=below,
    )


def budget(analysis: AnalysisSpec, metric: Metric, *, trial: int) -> Budget:
    """Return what a compared metric may spend in that trial of the candidate's digest, from 1 on.

    One with dryRun has what it would have if it decided beside those that do; they pay nothing for it. Without a
    maxRegret nobody is taken back by what is lost, and its bounds spend nothing.
    """
    beside = [other for other in analysis.deciding if other.name != metric.name]
    spent = split(analysis.false_rollback_rate, sum(map(_tests, [*beside, metric])), trial=trial)
    return spent if metric.max_regret is not None else replace(spent, regret=spent.wrong_promotion)


def _tests(metric: Metric) -> int:
    """How many tests of a metric may take the candidate back wrongly, beside that of what is missing."""
    return 0 if metric.compare is None else 1 if metric.max_regret is None else 2


@dataclass(frozen=True, slots=True)
class Criterion:
    """What is asked of a reading."""

    comparison: Comparison
    candidate: str
    stable: str
    spend: Budget
    grace: timedelta
    since: datetime | None  # only episodes of windows that began then or later; None: all
    not_before: datetime | None = None  # nothing counts before then: the outcome takes its time; None: as ever
    window: timedelta = timedelta()  # length of the windows, where nothing cuts them
    baseline: str | None = None  # hex digest of the artifact whose critic's word counts: stable's; None: nobody's
    known: Known = NOTHING  # from the artifacts of both


# The looks of one pass differ from those of the pass before in at most one answer, and a long rollout has many windows:
# the verdict on a reading is kept, as long as the reading itself. The key is the reading (by identity), so it is pure.
# A cache that held readings would hold a day's windows once for every episode that ended.
_JUDGED: WeakKeyDictionary[Reading, dict[Criterion, Evidence]] = WeakKeyDictionary()


def judged(judgement: Criterion, reading: Reading) -> Evidence:
    """Return the verdict on one metric from the windows of a reading."""
    known = _JUDGED.setdefault(reading, {})
    if judgement not in known:
        known[judgement] = _judged(judgement, reading)
    return known[judgement]


def _judged(judgement: Criterion, reading: Reading) -> Evidence:
    asked = judgement
    if asked.comparison.looks:
        return _judged_looks(asked, reading)
    if reading.problem is not None or reading.windows is None:
        evidence = judge(asked.comparison, None, None, budget=asked.spend)
        return replace(evidence, message=reading.problem or evidence.message)
    statistics = _from(reading.windows, asked.since)
    candidate, stable = (_windows(statistics, version, asked) for version in (asked.candidate, asked.stable))
    before = _before(reading.windows, asked) or asked.known.earlier
    evidence = judge(asked.comparison, candidate, stable, budget=asked.spend, earlier=before, seen=asked.known.seen)
    if asked.not_before is not None and evidence.verdict is Verdict.NO_DATA and statistics.at < asked.not_before:
        words = f"outcomes count once their episodes are {format_duration(asked.grace)} old, and none is so old yet"
        return replace(evidence, verdict=Verdict.NOT_ENOUGH_SAMPLES, message=words)
    return withheld(
        evidence,
        statistics,
        candidate=asked.candidate,
        stable=asked.stable,
        grace=asked.grace,
        setting="analysis.grace" if asked.not_before is None else "the metric's grace",
    )


def _judged_looks(asked: Criterion, reading: Reading) -> Evidence:
    """The verdict on a number that both sides were asked for: each look is a window with one value a side."""
    if reading.problem is not None or reading.looks is None:
        evidence = judge(asked.comparison, None, None, budget=asked.spend)
        return replace(evidence, message=reading.problem or evidence.message)
    looks = [look for look in reading.looks if not _is_before(look.start, asked.since)]
    candidate, stable = (_of_looks(looks, version) for version in (asked.candidate, asked.stable))
    if reading.refused or not (candidate and stable):
        # Before the first look is over nothing can be missing yet.
        early = not looks and not reading.refused
        verdict, words = (Verdict.NOT_ENOUGH_SAMPLES, NO_LOOK) if early else (Verdict.NO_DATA, NO_NUMBER)
        return Evidence(asked.comparison.metric, verdict, words if early else reading.absence or words)
    past = [look for look in reading.looks if _is_before(look.start, asked.since)]
    sides = {version: _of_looks(past, version) for version in (asked.candidate, asked.stable)}
    before = earlier([*sides[asked.candidate], *sides[asked.stable]], sides[asked.stable])
    return judge(asked.comparison, candidate, stable, budget=asked.spend, earlier=before, seen=asked.known.seen)


def _of_looks(looks: Iterable[Look], version: str) -> list[StartWindow]:
    told = [(look.start, look.values[version]) for look in looks if version in look.values]
    return [StartWindow(start, 1, 0, mean=value, low=value, high=value, over=True) for start, value in told]


def _from(statistics: Statistics, since: datetime | None) -> Statistics:
    """Return the windows that began at `since` or later."""
    if since is None:
        return statistics
    versions = [
        side.model_copy(update={"windows": [window for window in side.windows if window.start >= since]})
        for side in statistics.versions
    ]
    return statistics.model_copy(update={"versions": versions})


def _before(statistics: Statistics, asked: Criterion) -> Earlier | None:
    """What was seen of the outcome before the windows that are asked for."""
    sides = {
        side.version: [
            *_earlier(side, asked),
            *(w for w in _windows(statistics, side.version, asked) if _is_before(w.start, asked.since)),
        ]
        for side in statistics.versions
    }
    stable = sides.get(asked.stable, [])
    return earlier([*sides.get(asked.candidate, []), *stable], stable)


def _earlier(side: VersionStatistics, asked: Criterion) -> list[StartWindow]:
    """What a version did before the first window, as a window of its own."""
    known = side.earlier
    if known is None:
        return []
    return [
        StartWindow(
            LONG_AGO,
            known.count,
            0,
            mean=known.mean,
            m2=known.m2,
            low=known.min,
            high=known.max,
            levels=_levels(known.covariate, asked),
        )
    ]


def _is_before(start: datetime, since: datetime | None) -> bool:
    return since is not None and start < since


def _windows(statistics: Statistics, version: str, asked: Criterion) -> list[StartWindow]:
    """Return one version's start windows; none when the logbook has not heard of it, which is no failure."""
    # A window that is cut ends sooner; taken for one that may still fill, it counts for no more than it may.
    ended = statistics.at - asked.grace - asked.window
    return [
        StartWindow(
            start=window.start,
            count=window.count,
            missing=window.missing,
            mean=window.mean,
            m2=window.m2,
            low=window.min,
            high=window.max,
            levels=_levels(window.covariate, asked),
            over=window.start <= ended,
        )
        for side in statistics.versions
        if side.version == version
        for window in side.windows
    ]


def _levels(covariate: CovariateStatistics | None, asked: Criterion) -> tuple[Level | None, ...] | None:
    """Return the counted episodes by what stable's critic said; None: it did not speak of each."""
    if covariate is None or covariate.baseline != asked.baseline:
        return None
    told = {it.level: Level(it.count, it.mean, it.m2, it.min, it.max) for it in covariate.levels}
    return tuple(told.get(level) for level in range(LEVELS.size))


def _bound(metric: Metric, text: str) -> float:
    """Return a limit in the unit of its measurement; a duration in seconds."""
    unit = metric.source.unit or Unit.NUMBER
    written = Unit.DURATION if text.endswith("s") else Unit.SHARE if text.endswith("%") else Unit.NUMBER
    if written is not unit and (written, unit) != (Unit.NUMBER, Unit.SHARE):
        raise ValueError(f"metric {metric.name}: limit {text} is not {unit}; write e.g. {EXAMPLES[unit]}")
    return _number(text)


def _number(text: str) -> float:
    """A limit as a number: a duration in seconds, a share as a fraction."""
    sign, size = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    if size.endswith("s"):
        return sign * parse_duration(size).total_seconds()
    return sign * (parse_percent(size) if size.endswith("%") else float(size))
