"""What the pollers learn about a rollout, as `decide` reads it.

A fact is a snapshot: it replaces the one before and never changes. `None` means "not measured", which is neither zero
nor good. Instants are the operator's clock cut to milliseconds, so that they compare equal to what status stores.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from belay_api.wire import Statistics

WINDOW = timedelta(seconds=30)  # that errors and latency are measured over
MIN_REQUESTS = 10  # in it; a share or a p99 of fewer says nothing


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class OutcomeFact:
    """What the logbook last said about one outcome. Compared by identity: a new answer is a new object.

    Its windows are many; whatever is kept about it is kept by a weak reference and goes with it.
    """

    query: str  # what was asked, for the evidence in status
    at: datetime  # when it answered, or failed to
    statistics: Statistics | None  # its last answer, kept while it is down; None: it never answered
    problem: str | None = None  # why it does not answer now; None: it does


@dataclass(frozen=True, slots=True)
class StatisticsFact:
    """One rollout's outcomes. Topic `statistics`, under the rollout's name."""

    candidate: str
    stable: str
    since: datetime  # status.analysisStartedAt when it was asked; a fact about another trial is not used
    outcomes: Mapping[str, OutcomeFact]  # by outcome; absent: no answer and no failure yet


@dataclass(frozen=True, slots=True)
class ServingFact:
    """What one policy's serving pods measured of themselves. Topic `serving`, under the policy's name."""

    at: datetime  # beginning of the last scrape
    rate_since: datetime | None  # beginning of the one before; request_rate is over what lies between; None: the first
    pods: int  # pods that were asked
    request_rate: float | None  # requests/s between the last two scrapes; None: first scrape, or a pod did not answer
    requests: float | None = None  # in the sliding window; None: nothing measured
    error_rate: float | None = None  # share of 5xx answers in the window; None: too few requests in it
    latency_p99: float | None = None  # seconds, in the window; None: too few requests in it
    problem: str | None = None  # which pod does not answer and why; None: all do
    # Two clocks are never compared: a status may be an earlier leader's, whose clock was another one. What status says
    # is repeated here once this process has counted from after it saw it; a decision asks whether the two are equal.
    trials: Mapping[str, datetime] = field(default_factory=dict)
    """status.analysisStartedAt of each rollout whose candidate this is: all of this fact was counted after it."""
    off_route: Mapping[str, datetime] = field(default_factory=dict)
    """status.rollback.weightZeroAt of each rollout that withdraws this policy: `request_rate` began after it."""
