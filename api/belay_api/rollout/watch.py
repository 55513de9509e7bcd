"""How a promoted version is watched."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from belay_api.model import Model, StatusModel, rule, rules
from belay_api.units import Instant


class OnDegraded(StrEnum):
    """What follows when the stable version does worse than when it was promoted, or breaks a limit."""

    ALERT = "Alert"
    """The condition Degraded and an Event. A world that has changed looks the same, and nobody is taken back for it."""
    ROLLBACK = "Rollback"
    """The same, and back to the version before while that is warm, as the command `undo` does it."""


class WatchSpec(Model):
    """How the stable version is watched after its promotion, by each metric that decides: outcomes of the logbook that
    are compared, against how they were then, and limits on what is measured of one version alone."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.falseAlarmsPerMonth) || self.falseAlarmsPerMonth >= 0.01",
                "watch.falseAlarmsPerMonth is below 0.01, once in 8 years: write e.g. 0.1",
            )
        )
    }

    on_degraded: OnDegraded = OnDegraded.ALERT
    """`Alert`, or `Rollback`: to the version before while that is warm."""
    false_alarms_per_month: Annotated[float, Field(gt=0, le=10)] = 1
    """Alarms in 30 days, at most and on average, of a version that does as badly as its metrics allow: against when it
    was promoted, or exactly at its limits. Of one that does as well as then there are practically none. Less finds a
    fall later."""


class ReferenceStatus(StatusModel):
    """How the version did when it was promoted, or in its first hundred episodes after that."""

    outcome: str | None = None
    """What was measured; unset: by a Belay that did not record it."""
    mean: float
    """Of the outcome."""
    spread: float
    """Its standard deviation."""
    episodes: int
    """So many."""
    low: float
    """The smallest outcome seen so far."""
    high: float
    """The largest outcome seen so far."""


class WatchStatus(StatusModel):
    """The stable version by one metric since its promotion. Written when something happens, and about once an hour. A
    limit is only here while it is broken."""

    metric: str
    """Name in spec.analysis.metrics."""
    definition: str
    """Hash of what the metric measures and is judged by; one defined otherwise is watched anew, against the same
    reference where it is the same outcome."""
    policy: str
    """Name of the RLPolicy that is watched."""
    reference: ReferenceStatus | None = None
    """What it is held against; unset: it has too few episodes yet, or the metric has a limit."""
    least: float | None = None
    """An alarm says that the mean is below this (above it, where less is better): the reference's mean, less 2.33 of
    its standard errors, less what the metric allows."""
    evidence: Annotated[list[float], Field(max_length=8)] = Field(default_factory=list)
    """For the other state than the one it is in, by stake; it changes when they sum to 1."""
    counted_until: Instant
    """Windows that ended by then are in the evidence."""
    degraded_since: Instant | None = None
    """When it was found worse; unset: it is not."""
    message: str = ""
    """What was seen then."""
