"""What the pollers learn about a rollout, and the one form in which a metric's measurements are judged.

A fact is a snapshot: it replaces the one before and never changes. `None` means "not measured", which is neither zero
nor good. Instants are the operator's clock cut to milliseconds, so that they compare equal to what status stores.
Instants of two operators are never compared for order: the clocks of their nodes may differ by minutes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from belay_api.wire import ShadowReport, Statistics
from belay_operator.rollout.histogram import Histogram


@dataclass(frozen=True, slots=True)
class OutcomeQuery:
    """One outcome to ask the logbook about; metrics that share an outcome share the query."""

    outcome: str
    window_s: float
    grace_s: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """All that was counted of one policy since counting began, as one scrape found it."""

    number: int  # the first is 0, with nothing counted yet; they rise by one
    elapsed_s: float  # since the first
    quiet_s: float  # since the last request
    requests: float
    errors: float  # of them
    latencies: Histogram


@dataclass(frozen=True, slots=True)
class Counts:
    """The candidate's requests and those of them beyond a limit, as they grew from scrape to scrape.

    Blocks of requests are cut out of it, and how far they are counted is recorded as the number of a scrape. Numbers
    mean something within one counting only: another operator, or another trial, begins its own.
    """

    began: datetime  # tells one counting from another: at the first scrape
    scrapes: Sequence[Scrape]  # oldest first, without a gap in their numbers; the oldest ones are forgotten
    of: Callable[[Scrape], tuple[float, float]]  # requests, and those beyond the limit
    bound_s: float | None = None  # what is certain to be beyond takes longer than this; None: the limit is no duration
    weight_since: datetime | None = None  # the last weight change, as status records it, that the pods were seen under
    weight_from: int = 0  # number of the scrape after which everything was counted under that weight


@dataclass(frozen=True, slots=True)
class Look:
    """What a source says of one stretch of time; no two looks share any of it."""

    number: int  # the first is 1, and ends one interval after the candidate was first given traffic
    start: datetime
    values: Mapping[str, float]  # by version; absent: nothing, or no number, was measured of it


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Reading:
    """What a source last measured for one metric. Compared by identity: a new measurement is a new object.

    Windows may be many; whatever is kept about a reading is kept by a weak reference and goes with it.
    """

    query: str  # what was asked, of whom: the evidence in status
    at: datetime | None  # when it was measured, or failed to be; None: it was never asked, and never will be
    counts: Counts | None = None  # requests of the candidate, for a limit; None: it measures episodes, or nothing yet
    looks: Sequence[Look] | None = None  # of both sides, oldest first, for a comparison of what is no episode
    windows: Statistics | None = None  # episodes of both sides, for a comparison; kept from before while it is down
    outcome_query: OutcomeQuery | None = None  # that the windows answer; None: it measures no episodes
    problem: str | None = None  # why the source does not answer now; None: it does
    silent_since: datetime | None = None  # since when it has not answered, where that is known; None: it does
    absence: str | None = None  # it answers, and why there is no number in the answer; None: there is, or none is due
    refused: bool = False  # the absence lasts until somebody changes what is asked


@dataclass(frozen=True, slots=True)
class Silence:
    """Of a promoted version a source has said nothing for some time, which is not that there was nothing to say."""

    since: datetime
    why: str


Silences = Mapping[str, Silence | None]
"""By metric. None: it is heard of; absent: it was not asked yet."""


@dataclass(frozen=True, slots=True)
class PrometheusFact:
    """What one rollout's queries gave. Topic `prometheus`, under the rollout's name."""

    stable: str | None
    since: datetime  # status.analysisStartedAt when it was asked; a fact about another trial is not used
    # By version on trial, and by metric: hash of what it is judged by, and the answer.
    versions: Mapping[str, Mapping[str, tuple[str, Reading]]]


@dataclass(frozen=True, slots=True)
class Tally:
    """What proxies have counted of one version's pods since counting began."""

    counting: datetime  # the first of the scrapes: what tells one counting from another
    scrapes: Sequence[Scrape]  # oldest first; without latencies
    weight_from: int  # number of the first scrape that was begun after status.weight.since was known


@dataclass(frozen=True, slots=True)
class GatewayFact:
    """What one rollout's proxies count. Topic `gateway`, under the rollout's name."""

    since: datetime  # status.analysisStartedAt: all of it was counted after it
    weight_since: datetime | None  # status.weight.since; None: a weight is on its way
    at: datetime  # beginning of the last scrape
    asked: str  # whose proxies: the evidence in status
    versions: Mapping[str, Tally]
    problem: str | None  # which proxy does not answer and why; None: all do
    absence: str | None  # they answer, and why nothing is counted; None: something is
    refused: bool  # the absence lasts until somebody sets the gateway up for it


@dataclass(frozen=True, slots=True)
class StatisticsFact:
    """One rollout's outcomes. Topic `statistics`, under the rollout's name."""

    candidate: str
    stable: str
    since: datetime  # status.analysisStartedAt when it was asked; a fact about another trial is not used
    outcomes: Mapping[str, Reading]  # by outcome; absent: no answer and no failure yet
    arms: tuple[str, ...] = ()  # of an experiment: who is on trial as the candidate is

    @property
    def on_trial(self) -> tuple[str, ...]:
        """Whom the answers are about, beside stable."""
        return (self.candidate, *self.arms)


@dataclass(frozen=True, slots=True)
class ShadowFact:
    """What is known of one rollout's step `shadow`. Topic `shadow`, under the rollout's name."""

    step: str  # which step, by `shadowing.step_of`; a fact about another is not used
    candidate: str
    stable: str
    at: datetime  # when it was asked
    query: str  # what was asked, of whom: the evidence in status
    report: ShadowReport | None  # None: there is a problem
    problem: str | None  # why the logbook does not say; None: it does


@dataclass(frozen=True, slots=True)
class ServingFact:
    """What one policy's serving pods measured of themselves. Topic `serving`, under the policy's name."""

    at: datetime  # beginning of the last scrape
    rate_since: datetime | None  # beginning of the one before; request_rate is over what lies between; None: the first
    pods: int  # pods that were asked
    request_rate: float | None  # requests/s between the last two scrapes; None: first scrape, or a pod did not answer
    requests: float | None = None  # in the last half minute; None: nothing measured
    counting: datetime | None = None  # the first of the scrapes: what tells one counting from another
    scrapes: Sequence[Scrape] = ()  # of this counting; oldest first
    problem: str | None = None  # which pod does not answer and why; None: all do
    # Two clocks are never compared: a status may be an earlier leader's, whose clock was another one. What status says
    # is repeated here once this process has counted from after it saw it; a decision asks whether the two are equal.
    trials: Mapping[str, datetime] = field(default_factory=dict)
    """status.analysisStartedAt of each rollout whose candidate this is: all of this fact was counted after it."""
    weights: Mapping[str, tuple[datetime, int]] = field(default_factory=dict)
    """status.weight.since of each rollout whose candidate this is, and the first scrape that was begun after it."""
    off_route: Mapping[str, datetime] = field(default_factory=dict)
    """status.rollback.weightZeroAt of each rollout that withdraws this policy: `request_rate` began after it."""
