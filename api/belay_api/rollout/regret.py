"""What a candidate has cost so far, and what more traffic risks."""

from belay_api.model import StatusModel
from belay_api.units import Duration, Instant


class RiskStatus(StatusModel):
    """What the candidate may cost from the next higher weight to the one after it."""

    weight: float
    """The next weight, in percent."""
    time: Duration
    """How long the spec may keep it there: its pauses, the timeouts of its analyze and approve steps, and the bake. A
    step that only a person or a Job ends adds nothing."""
    episodes: int
    """Of the candidate in that time, by the pace at which episodes of all versions began of late."""
    at_most: float
    """What they lose if each loses as much as the upper bound so far says, in the outcome's unit; not below 0."""


class RegretStatus(StatusModel):
    """What the candidate has lost so far: the sum, over its episodes, of what stable had at the same time less what the
    candidate had; where less is better, the other way round. Written together with the verdicts."""

    metric: str
    """Name in spec.analysis.metrics: that of `maxRegret`, else the first that is compared and decides."""
    definition: str
    """Hash of what the metric measured and was judged by; of one that is defined otherwise this says nothing."""
    estimate: float
    """In the unit of the outcome; below 0 the candidate has gained."""
    low: float
    """At least so much was lost. The chance that this is ever wrong, at any look, is the part of `falseRollbackRate`
    that `maxRegret` has; without one it is 2.5 %."""
    high: float
    """At most so much was lost; the chance that this is ever wrong is 2.5 %."""
    episodes: int
    """Of the candidate, in windows that have some of stable. With all traffic at the candidate there are none."""
    next: RiskStatus | None = None
    """What the next higher weight risks; unset: none follows, or the pace of episodes is not known."""
    at: Instant
    """When the numbers were measured."""
