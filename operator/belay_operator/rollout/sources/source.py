"""What a metric source is: a poller that learns, and the reading of what it learned.

A source is named by its field in `spec.analysis.metrics[].source`. Its file in this folder offers one module-level
`SOURCE`; that is all there is to adding one, but for the field's model in `belay_api`. A model with a `unit` gives
`counts`: requests and those beyond a limit, or looks and how much of them lies beyond. One that is `compared` gives
`windows` of episodes, or `looks` at a number of both sides. Limits outlive the trial: of a promoted version a `Counter`
counts on, once a minute (`at_rest.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.metric import Metric
from belay_api.rollout.status import RLRolloutStatus
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Settings
from belay_operator.engine.source import PollerContext, Source
from belay_operator.rollout.facts import Counts, Reading
from belay_operator.rollout.standing import Standing, StandingLimit


@dataclass(frozen=True, slots=True)
class Sides:
    """Who is measured, how and since when: what a reading must be about to count."""

    namespace: str
    rollout: str
    candidate: str
    stable: str | None  # None: the first version, with nothing to compare it with
    since: datetime  # status.analysisStartedAt
    analysis: AnalysisSpec  # window and grace are part of what is asked
    weight_since: datetime | None  # the last weight that was accepted; None: one is on its way

    @classmethod
    def of(cls, namespace: str, rollout: str, status: RLRolloutStatus, analysis: AnalysisSpec) -> "Sides | None":
        """Return the sides of the trial that status records; None: there is none, or no weight was accepted yet."""
        if status.candidate is None or status.analysis_started_at is None:
            return None
        return cls(
            namespace=namespace,
            rollout=rollout,
            candidate=status.candidate.policy,
            stable=status.stable.policy if status.stable else None,
            since=status.analysis_started_at,
            analysis=analysis,
            weight_since=status.weight.since if status.weight else None,
        )


class Counter(Protocol):
    """What one source counts of one promoted version, for the limits that are held to what it measures."""

    async def count(self) -> None:
        """Ask once more. Whoever does not answer says nothing, and is asked again the next time."""

    def counts(self, limit: StandingLimit) -> Counts | None:
        """Return what was counted for a limit, up to the last time; None: nothing yet."""

    def problem(self, limit: StandingLimit) -> str | None:
        """Return why the last time nobody could say anything for a limit; None: somebody did, or nothing was due."""


@dataclass(frozen=True, slots=True)
class Unanswerable:
    """How it is told that whoever is asked can never answer, until somebody changes what is asked or set up."""

    condition: str
    reason: RolloutReason
    event: EventReason
    advice: str = ""  # after the words of whoever was asked; empty: they say it


class MetricSource(Source, Protocol):
    """One poller, and what its facts say of a metric. `name` is the field in `spec.analysis.metrics[].source`."""

    @property
    def unanswerable(self) -> Unanswerable | None:
        """How readings that are `refused` are told; None: this source refuses nothing."""

    def reading(self, metric: Metric, sides: Sides, reader: Reader, settings: Settings) -> Reading | None:
        """Return what was last measured for `metric` in this trial; None: nothing yet, and no failure either."""

    def at_rest(self, context: PollerContext) -> Callable[[Standing], Counter] | None:
        """Return what makes the counter of a promoted version; None: no limit is held to what this source measures."""
