"""How long a verdict may stay away, and what then: hold at this weight, or take the candidate back.

NoData and ProviderDown are counted from when they were first seen, or from the start of the step if that is later, at
every step. NotEnoughSamples is only counted where a step asks for Pass. There is no way to pass without measurements:
holding ends when they come back, or by a command.

With all traffic at the candidate a comparison has no new windows, so its absence says nothing there, unless a step
asks for it; limits still do. A bake that a limit watches does not end while nothing is measured for too long.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from belay_api.reasons import Verdict
from belay_api.rollout.analysis import HoldAction, Patience
from belay_api.units import format_duration
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.stepping import kind_under_way, step_at


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


def absences(observed: Observed) -> Iterator[Absence]:
    """Yield the verdicts that stay away now, each with what the spec says of it."""
    status, analysis, kind = observed.status, observed.spec.analysis, kind_under_way(observed)
    if observed.verdicts is None or status.step is None or kind is None:
        return
    all_traffic = status.weight is not None and status.weight.desired == 100 and not kind.asks_for_pass
    compared = {metric.name for metric in analysis.metrics if metric.compare is not None}
    rules: dict[Verdict, Patience] = {
        Verdict.NO_DATA: analysis.on_no_data,
        Verdict.PROVIDER_DOWN: analysis.on_provider_down,
    }
    for verdict in observed.verdicts:
        if verdict.verdict is Verdict.NOT_ENOUGH_SAMPLES and kind.asks_for_pass:
            rule = analysis.on_not_enough_samples
            after = kind.timeout(step_at(observed.spec, status.step.index)) or rule.after
            yield Absence(verdict.metric, verdict.verdict, verdict.message, rule.action, after, status.step.started_at)
        elif verdict.verdict in rules and not (all_traffic and verdict.metric in compared):
            rule = rules[verdict.verdict]
            since = max(status.step.started_at, verdict.since or verdict.at)
            yield Absence(verdict.metric, verdict.verdict, verdict.message, rule.action, rule.after, since)


def next_due(observed: Observed, now: datetime) -> timedelta | None:
    """Return when the next patience ends, or None."""
    left = [absence.due - now for absence in absences(observed) if absence.due > now]
    return min(left) if left else None
