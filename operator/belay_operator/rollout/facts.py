"""What the pollers learn about a rollout, and the one form in which a metric's measurements are judged.

A fact is a snapshot: it replaces the one before and never changes. `None` means "not measured", which is neither zero
nor good. Instants are the operator's clock cut to milliseconds, so that they compare equal to what status stores.
Instants of two operators are never compared for order: the clocks of their nodes may differ by minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from belay_api.wire import Statistics

WINDOW = timedelta(seconds=30)  # that errors and latency are measured over
MIN_REQUESTS = 10  # in it; a share or a p99 of fewer says nothing


@dataclass(frozen=True, slots=True)
class Question:
    """One outcome to ask the logbook about; metrics that share an outcome share the question."""

    outcome: str
    window_s: float
    grace_s: float


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Reading:
    """What a source last measured for one metric. Compared by identity: a new measurement is a new object.

    Windows may be many; whatever is kept about a reading is kept by a weak reference and goes with it.
    """

    query: str  # what was asked, of whom: the evidence in status
    at: datetime | None  # when it was measured, or failed to be; None: it was never asked, and never will be
    value: float | None = None  # one number of the candidate, for a limit; None: nothing to measure
    windows: Statistics | None = None  # episodes of both sides, for a comparison; kept from before while it is down
    question: Question | None = None  # that the windows answer; None: it measures no episodes
    problem: str | None = None  # why the source does not answer now; None: it does
    nothing: str = "there is nothing to measure"  # what it means that there is neither a value nor a problem
    since: datetime | None = None  # the weight change, as status records it, after which a value was measured


@dataclass(frozen=True, slots=True)
class StatisticsFact:
    """One rollout's outcomes. Topic `statistics`, under the rollout's name."""

    candidate: str
    stable: str
    since: datetime  # status.analysisStartedAt when it was asked; a fact about another trial is not used
    outcomes: Mapping[str, Reading]  # by outcome; absent: no answer and no failure yet


@dataclass(frozen=True, slots=True)
class ServingFact:
    """What one policy's serving pods measured of themselves. Topic `serving`, under the policy's name."""

    at: datetime  # beginning of the last scrape
    rate_since: datetime | None  # beginning of the one before; request_rate is over what lies between; None: the first
    pods: int  # pods that were asked
    request_rate: float | None  # requests/s between the last two scrapes; None: first scrape, or a pod did not answer
    window_since: datetime | None = None  # beginning of the sliding window; None: nothing measured
    requests: float | None = None  # in the sliding window; None: nothing measured
    error_rate: float | None = None  # share of 5xx answers in the window; None: too few requests in it
    latency_p99: float | None = None  # seconds, in the window; None: too few requests in it
    problem: str | None = None  # which pod does not answer and why; None: all do
    # Two clocks are never compared: a status may be an earlier leader's, whose clock was another one. What status says
    # is repeated here once this process has counted from after it saw it; a decision asks whether the two are equal.
    trials: Mapping[str, datetime] = field(default_factory=dict)
    """status.analysisStartedAt of each rollout whose candidate this is: all of this fact was counted after it."""
    weights: Mapping[str, datetime] = field(default_factory=dict)
    """status.weight.since of each rollout whose candidate this is: all of the window was counted after it."""
    off_route: Mapping[str, datetime] = field(default_factory=dict)
    """status.rollback.weightZeroAt of each rollout that withdraws this policy: `request_rate` began after it."""
