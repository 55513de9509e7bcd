"""How long a verdict may stay away, and what then: hold at this weight, or take the candidate back.

NoData and ProviderDown are counted from when they were first seen, or from the start of the step if that is later, at
every step. NotEnoughSamples is only counted where a verdict is asked for, in an `analyze` step. There is no way to pass
without measurements: holding ends when they come back, or by a command.

With all traffic at the candidate a comparison has no new windows, so its absence says nothing there, unless a step
asks for it; limits still do. A bake that a limit watches does not end while nothing is measured for too long.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from belay_api.reasons import RolloutReason, Verdict
from belay_api.rollout import HoldAction, Patience
from belay_api.units import format_duration
from belay_operator.rollout.judging import on_trial
from belay_operator.rollout.move import Move, Wait
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.rollback import begin


@dataclass(frozen=True, slots=True)
class Absence:
    """A verdict that stays away."""

    metric: str
    verdict: Verdict
    message: str
    action: HoldAction
    after: timedelta
    since: datetime

    @property
    def due(self) -> datetime:
        """When patience ends."""
        return self.since + self.after

    @property
    def sentence(self) -> str:
        """What is missing and for how long it was waited, for people."""
        words = f" ({self.message})" if self.message else ""
        return f"{self.metric}: {self.verdict} for {format_duration(self.after)}{words}"


def run_out(observed: Observed, now: datetime) -> Move | None:
    """Take the candidate back when a verdict has stayed away for too long and the spec says so."""
    for absence in _absences(observed):
        if absence.action is HoldAction.ROLLBACK and now >= absence.due:
            reason, message = str(absence.verdict), absence.sentence
            return begin(observed, now, reason=reason, message=message, metric=absence.metric)
    return None


def holding(observed: Observed, now: datetime) -> Wait | None:
    """Return what keeps the rollout at this weight, or None."""
    held = [a.sentence for a in _absences(observed) if a.action is HoldAction.HOLD and now >= a.due]
    if not held:
        return None
    return Wait(RolloutReason.HOLDING, f"{'; '.join(held)}. Send promote or abort, or restore the measurements")


def next_due(observed: Observed, now: datetime) -> timedelta | None:
    """Return when the next patience ends, or None."""
    left = [absence.due - now for absence in _absences(observed) if absence.due > now]
    return min(left) if left else None


def _absences(observed: Observed) -> Iterator[Absence]:
    status, analysis = observed.status, observed.spec.analysis
    if observed.looks is None or status.step is None or not on_trial(observed):
        return
    all_traffic = status.weight is not None and status.weight.desired == 100 and status.step.kind != "analyze"
    compared = {metric.name for metric in analysis.metrics if metric.compare is not None}
    patience: dict[Verdict, Patience] = {
        Verdict.NO_DATA: analysis.on_no_data,
        Verdict.PROVIDER_DOWN: analysis.on_provider_down,
    }
    for look in observed.looks:
        if look.verdict is Verdict.NOT_ENOUGH_SAMPLES and status.step.kind == "analyze":
            rule = analysis.on_not_enough_samples
            after = _timeout(observed) or rule.after
            yield Absence(look.metric, look.verdict, look.message, rule.action, after, status.step.started_at)
        elif look.verdict in patience and not (all_traffic and look.metric in compared):
            rule = patience[look.verdict]
            since = max(status.step.started_at, look.since or look.at)
            yield Absence(look.metric, look.verdict, look.message, rule.action, rule.after, since)


def _timeout(observed: Observed) -> timedelta | None:
    steps, step = observed.spec.steps, observed.status.step
    if step is None or step.index >= len(steps):
        return None
    analyze = steps[step.index].analyze
    return analyze.timeout if analyze else None
