"""From the spec to what is asked, and from the answer to what a verdict is reached from.

The statistics themselves know nothing of resources or of the wire; this file is the only one that knows both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from belay_api.rollout import AnalysisSpec, Metric, RLRolloutSpec, ServingMeasure
from belay_api.units import parse_duration, parse_percent
from belay_api.wire import Statistics
from belay_operator.rollout.analysis.budget import Budget, split
from belay_operator.rollout.analysis.evidence import Better, Comparison, Evidence, StartWindow
from belay_operator.rollout.analysis.limits import Limit
from belay_operator.rollout.analysis.verdict import judge
from belay_operator.rollout.facts import OutcomeFact

# Known beforehand. Of other outcomes only the numbers can tell whether they are 0 or 1, which costs half the error.
BINARY_OUTCOMES = {"success": True, "return": False, "length": False}


@dataclass(frozen=True, slots=True)
class Question:
    """One outcome to ask the logbook about; metrics that share an outcome share the question."""

    outcome: str
    window_s: float
    grace_s: float


def questions(analysis: AnalysisSpec) -> tuple[Question, ...]:
    """Return what to ask the logbook, one question per outcome, in a stable order."""
    outcomes = {metric.source.logbook.outcome for metric in analysis.metrics if metric.source.logbook}
    window, grace = analysis.window.total_seconds(), analysis.grace.total_seconds()
    return tuple(Question(outcome, window, grace) for outcome in sorted(outcomes))


def comparisons(analysis: AnalysisSpec) -> Iterator[tuple[Metric, Comparison]]:
    """Yield the metrics that are judged by statistics."""
    for metric in analysis.metrics:
        if metric.compare is None or metric.source.logbook is None:
            continue
        regression, increase = metric.compare.max_regression, metric.compare.max_increase
        binary = BINARY_OUTCOMES.get(metric.source.logbook.outcome)
        if regression is not None:
            yield metric, Comparison(metric.name, Better.MORE, regression, relative=True, binary=binary)
        elif increase is not None:
            yield metric, Comparison(metric.name, Better.LESS, increase, relative=False, binary=binary)


def limits(analysis: AnalysisSpec) -> Iterator[tuple[Metric, Limit]]:
    """Yield the metrics that are guard rails."""
    for metric in analysis.metrics:
        if metric.limit is not None and metric.source.serving is not None:
            bounds = [None if text is None else _bound(metric, text) for text in (metric.limit.max, metric.limit.min)]
            yield metric, Limit(metric.name, max=bounds[0], min=bounds[1])


def budget(analysis: AnalysisSpec) -> Budget:
    """Return what each compared metric may spend."""
    return split(analysis.false_rollback_rate, sum(metric.compare is not None for metric in analysis.metrics))


# The looks of one pass differ from those of the pass before in at most one answer, and a long rollout has many windows:
# the verdict of an answer that has been judged is kept, as long as the answer itself. The key is the answer (by
# identity), so it is pure. A cache that held answers would hold a day's windows once for every episode that ended.
_JUDGED: WeakKeyDictionary[OutcomeFact, dict[tuple[Comparison, str, str, Budget], Evidence]] = WeakKeyDictionary()


def judged(comparison: Comparison, fact: OutcomeFact, candidate: str, stable: str, spend: Budget) -> Evidence:
    """Return the verdict on one metric from the logbook's last answer."""
    known, question = _JUDGED.setdefault(fact, {}), (comparison, candidate, stable, spend)
    if question not in known:
        known[question] = _judged(comparison, fact, candidate, stable, spend)
    return known[question]


def _judged(comparison: Comparison, fact: OutcomeFact, candidate: str, stable: str, spend: Budget) -> Evidence:
    if fact.problem is not None or fact.statistics is None:
        return judge(comparison, None, None, budget=spend)
    return judge(comparison, windows(fact.statistics, candidate), windows(fact.statistics, stable), budget=spend)


def windows(statistics: Statistics, version: str) -> list[StartWindow]:
    """Return one version's start windows; none when the logbook has not heard of it, which is no failure."""
    return [
        StartWindow(
            start=window.start,
            count=window.count,
            missing=window.missing,
            mean=window.mean,
            m2=window.m2,
            low=window.min,
            high=window.max,
        )
        for side in statistics.versions
        if side.version == version
        for window in side.windows
    ]


def check_analysis(spec: RLRolloutSpec) -> None:
    """Raise ValueError for what the schema cannot say about the analysis."""
    names = [metric.name for metric in spec.analysis.metrics]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"spec.analysis.metrics: the name {name} appears twice; give each metric a name of its own"
            )
    if spec.analysis.window.total_seconds() < 1:
        raise ValueError("spec.analysis.window is below 1s; episodes are grouped by it, use at least 1s")
    list(limits(spec.analysis))
    list(comparisons(spec.analysis))


def check_steps(spec: RLRolloutSpec) -> None:
    """Raise ValueError for what the schema cannot say about the place of an analysis among the steps."""
    weight = 0
    for index, step in enumerate(spec.steps):
        weight = step.set_weight if step.set_weight is not None else weight
        if step.analyze is not None and weight == 0:
            raise ValueError(
                f"spec.steps[{index}]: analyze while the candidate has no weight would wait for ever; "
                "put a setWeight above 0 before it"
            )


def _bound(metric: Metric, text: str) -> float:
    """Return a limit in the unit of its measurement: seconds, or a share."""
    measure = metric.source.serving
    is_duration, is_percent = text.endswith("s"), text.endswith("%")
    if measure is ServingMeasure.LATENCY_P99:
        if not is_duration:
            raise ValueError(f"metric {metric.name}: limit {text} is no duration; write e.g. 100ms for latencyP99")
        return parse_duration(text).total_seconds()
    if is_duration:
        raise ValueError(f"metric {metric.name}: limit {text} is a duration; write e.g. 5% for {measure}")
    return parse_percent(text) if is_percent else float(text)
