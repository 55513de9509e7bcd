"""What the pollers learn about a rollout, and the one form in which a metric's measurements are judged.

A fact is a snapshot: it replaces the one before and never changes. `None` means "not measured", which is neither zero
nor good. Instants are the operator's clock cut to milliseconds, so that they compare equal to what status stores.
Instants of two operators are never compared for order: the clocks of their nodes may differ by minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from belay_api.wire import Statistics

WINDOW = timedelta(seconds=30)  # that errors and latency are measured over
MIN_REQUESTS = 10  # in it; a share or a p99 of fewer says nothing


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Reading:
    """What a source last measured for one metric. Compared by identity: a new measurement is a new object.

    Windows may be many; whatever is kept about a reading is kept by a weak reference and goes with it.
    """

    query: str  # what was asked, of whom: the evidence in status
    at: datetime | None  # when it was measured, or failed to be; None: it was never asked, and never will be
    value: float | None = None  # one number of the candidate, for a limit; None: nothing to measure
    windows: Statistics | None = None  # episodes of both sides, for a comparison; kept from before while it is down
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
    requests: float | None = None  # in the sliding window; None: nothing measured
    error_rate: float | None = None  # share of 5xx answers in the window; None: too few requests in it
    latency_p99: float | None = None  # seconds, in the window; None: too few requests in it
    problem: str | None = None  # which pod does not answer and why; None: all do
    trial_since: datetime | None = None  # status.analysisStartedAt under which all of the window was measured, and
    weight_since: datetime | None = None  # the weight change likewise; None: part of it was measured before
