"""What follows a verdict other than Pass, and when: go on, hold at this weight, wait longer, or a rollback.

A metric's own rule (`onNoData` and its like) comes first; else the step's timeout, else the analysis. NoData and
ProviderDown are counted from when they were first seen, or from the start of the step if that is later, at every step.
NotEnoughSamples is only counted where a step asks for Pass; without a rule of its own, a metric that has its own grace
is given that first. Nothing measured never passes: a metric says itself that the rollout goes on without it, which is
recorded with its verdict and told.

With all traffic at the candidate a comparison has no new windows, so its absence says nothing there, unless a step
asks for it; limits still do. A bake that a limit watches does not end while nothing is measured for too long.

A metric with dryRun is never asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from belay_api.reasons import Verdict
from belay_api.rollout.metric import Metric
from belay_api.rollout.outcome import Action, OutcomeRule, Patience
from belay_api.rollout.steps import Step
from belay_api.rollout.verdicts import MetricVerdict
from belay_api.units import format_duration
from belay_operator.rollout.followed import extended, went_on_without
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stepping import kind_under_way, step_at
from belay_operator.rollout.steps.step import StepKind


@dataclass(frozen=True, slots=True)
class Absence:
    """A verdict that stays away."""

    metric: str
    verdict: Verdict
    message: str
    action: Action
    after: timedelta
    since: datetime
    step: int  # index of the step under way
    extended: int = 0  # how often it got more time in it

    @property
    def due(self) -> datetime:
        """When patience ends."""
        return self.since + self.after

    @property
    def sentence(self) -> str:
        """What is missing and for how long it was waited, for people."""
        words = f" ({self.message})" if self.message else ""
        return f"{self.metric}: {self.verdict} for {format_duration(self.after)}{words}"


@dataclass(frozen=True, slots=True)
class FailedMetric:
    """A metric that failed, and what follows."""

    verdict: MetricVerdict
    rule: OutcomeRule | None  # None: the candidate is taken back at once

    @property
    def due(self) -> datetime | None:
        """When the candidate is taken back; None: somebody has to say so."""
        if self.rule is not None and self.rule.action is Action.HOLD:
            return None
        return (self.verdict.since or self.verdict.at) + (self.rule.after if self.rule is not None else timedelta())


def absences(observed: Observed) -> Iterator[Absence]:
    """Yield the verdicts that stay away now, each with what the spec says of it."""
    status, kind = observed.status, kind_under_way(observed)
    if observed.verdicts is None or status.step is None or kind is None:
        return
    all_traffic = status.weight is not None and status.weight.desired == 100 and not kind.asks_for_pass
    step, started = step_at(observed.spec, status.step.index), status.step.started_at
    for metric, verdict in _decided_by(observed):
        if verdict.verdict is Verdict.NOT_ENOUGH_SAMPLES:
            since, counts = _asked_since(metric, started), kind.asks_for_pass
        else:
            since = max(started, verdict.since or verdict.at)
            counts = not (all_traffic and metric.compare is not None)
        rule = _rule(metric, verdict.verdict, observed)
        if rule is None or not counts or went_on_without(verdict, status.step):
            continue
        times = extended(verdict, status.step)
        action, after = _next(rule, times, kind, step, verdict.verdict)
        yield Absence(metric.name, verdict.verdict, verdict.message, action, after, since, status.step.index, times)


def failures(observed: Observed) -> list[FailedMetric]:
    """Return the metrics that failed, in the order of the spec."""
    return [
        FailedMetric(verdict, metric.on_fail)
        for metric, verdict in _decided_by(observed)
        if verdict.verdict is Verdict.FAIL and not observed.rolling_back
    ]


def next_due(observed: Observed, now: datetime) -> timedelta | None:
    """Return when the next patience ends, or None."""
    dues = [absence.due for absence in absences(observed)]
    dues += [failure.due for failure in failures(observed) if failure.due is not None]
    left = [due - now for due in dues if due > now]
    return min(left) if left else None


def _decided_by(observed: Observed) -> Iterator[tuple[Metric, MetricVerdict]]:
    """Yield the metrics that decide and have a verdict."""
    verdicts = {verdict.metric: verdict for verdict in observed.verdicts or ()}
    for metric in observed.spec.analysis.deciding:
        if metric.name in verdicts:
            yield metric, verdicts[metric.name]


def _rule(metric: Metric, verdict: Verdict, observed: Observed) -> OutcomeRule | Patience | None:
    """What the spec says of a verdict that stays away; None: it does not."""
    analysis = observed.spec.analysis
    match verdict:
        case Verdict.NO_DATA:
            return metric.on_no_data or analysis.on_no_data
        case Verdict.PROVIDER_DOWN:
            return metric.on_provider_down or analysis.on_provider_down
        case Verdict.NOT_ENOUGH_SAMPLES:
            return metric.on_not_enough_samples or analysis.on_not_enough_samples
    return None


def _asked_since(metric: Metric, started: datetime) -> datetime:
    """From when on a Pass that does not come is counted: where only the analysis says for how long, from when it can.

    An outcome that shows after weeks would else take back every candidate before its first episode counts.
    """
    own = metric.on_not_enough_samples is not None or metric.grace is None
    return started if own or metric.grace is None else started + metric.grace


def _next(
    rule: OutcomeRule | Patience, times: int, kind: StepKind, step: Step, verdict: Verdict
) -> tuple[Action, timedelta]:
    """What is due next, and after how long."""
    if isinstance(rule, Patience):
        timeout = kind.timeout(step) if verdict is Verdict.NOT_ENOUGH_SAMPLES else None
        return rule.action, timeout or rule.after
    given = min(times, rule.most)
    after = rule.after + given * (rule.by or timedelta())
    return (Action.EXTEND if given < rule.most else rule.last), after
