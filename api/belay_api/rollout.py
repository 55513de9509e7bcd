"""RLRollout: which policy serves a route, and how a change of policy is brought about or taken back."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, get_args

from pydantic import Field

from belay_api.conditions import ConditionedStatus
from belay_api.model import Model, StatusModel, alternatives, chosen, exactly_one, rule, rules
from belay_api.reasons import Verdict
from belay_api.units import Duration, Instant, Percent, duration_default

MAX_WEIGHT_CHANGES = 64  # twice the steps a spec can list; beyond it, edits of the steps begin to forget the oldest
VERSION_ROLES = ("stable", "candidate", "previous", "servedAnchor")
"""The fields of status that name a version with pods, as they are written."""
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class PolicyRef(Model):
    """The policy that shall serve."""

    name: Name
    """An RLPolicy of this namespace."""


class ParentRef(Model):
    """The Gateway a route attaches to."""

    name: Annotated[str, Field(pattern=rf"^{_SUBDOMAIN}$", max_length=253)]
    """Name of the Gateway."""
    namespace: Annotated[str, Field(pattern=rf"^{_LABEL}$", max_length=63)] | None = None
    """Its namespace; unset: this one. Its listener must allow routes from here."""
    section_name: Annotated[str, Field(pattern=rf"^{_SUBDOMAIN}$", max_length=253)] | None = None
    """One listener of it; unset: all."""


class GatewayTraffic(Model):
    """Traffic through the Gateway API: Belay owns one HTTPRoute of the rollout's name."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.path) || !(self.path.contains('//') || self.path.matches('/[.][.]?(/|$)'))",
                "gatewayAPI.path has an empty, '.' or '..' segment, and no Gateway takes such a route: leave it out",
            )
        )
    }

    parent_refs: Annotated[list[ParentRef], Field(min_length=1, max_length=8)]
    """Gateways the route attaches to."""
    hostnames: Annotated[
        list[Annotated[str, Field(pattern=rf"^(\*\.)?{_SUBDOMAIN}$", max_length=253)]], Field(max_length=16)
    ] = Field(default_factory=list)
    """Host names served; empty: all the Gateway's."""
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9/_.-]*$", max_length=512)] | None = None
    """Public path, matched exactly; unset: `/predictions/<name of the rollout>`."""


class TrafficSpec(Model):
    """How requests reach the policies."""

    gateway_api: GatewayTraffic = Field(alias="gatewayAPI")
    """Weighted HTTPRoute with pinned episodes."""


class PauseStep(Model):
    """Wait."""

    duration: Duration
    """How long."""


class AnalyzeStep(Model):
    """Wait for the verdict."""

    until: Literal["NonInferior"] = "NonInferior"
    """Every metric must pass: evidence that the candidate is not worse by as much as its allowed regression. Unset:
    NonInferior."""
    timeout: Duration | None = None
    """Instead of analysis.onNotEnoughSamples.after for this step."""


@exactly_one("a step", "make one list entry of each")
class Step(Model):
    """One entry of a rollout; exactly one of its fields is set, and that field is its kind."""

    set_weight: Annotated[int, Field(ge=0, le=100)] | None = None
    """Percent of new episodes that go to the candidate."""
    pause: PauseStep | None = None
    """Wait."""
    analyze: AnalyzeStep | None = None
    """Wait for the verdict; the guard rails and Fail hold at every step, this one also asks for Pass."""

    @property
    def kind(self) -> str:
        """The step's kind as status names it: the one field that is set."""
        return chosen(self)

    @classmethod
    def kinds(cls) -> list[str]:
        """Return every kind a spec can list."""
        return alternatives(cls)


class BakeSpec(Model):
    """What happens between the last step and the promotion, and after it."""

    duration: Duration = duration_default("1h")
    """How long the candidate has all traffic and is watched by its limits before it becomes stable."""
    keep_warm: Duration = duration_default("24h")
    """How long the version before keeps its pods after the promotion, so that going back to it is immediate."""


class RollbackSpec(Model):
    """What a rollback promises."""

    deadline: Duration = duration_default("30s")
    """From the recorded intent: past it, the candidate's endpoints are removed as well."""


class Unit(StrEnum):
    """What a measurement is in, and its limit is written in."""

    DURATION = "a duration"
    SHARE = "a share"
    NUMBER = "a plain number"


class ServingMeasure(StrEnum):
    """What the serving pods measure of themselves."""

    LATENCY_P99 = "latencyP99"
    ERROR_RATE = "errorRate"

    @property
    def unit(self) -> Unit:
        """What it is measured in."""
        return Unit.DURATION if self is ServingMeasure.LATENCY_P99 else Unit.SHARE


class LogbookSource(Model):
    """Outcomes of episodes, as recorded in the logbook."""

    outcome: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=63)]
    """`return`, `length`, `violations` and `success`, or a custom outcome the client reports."""


@exactly_one("a metric's source", "list a metric of its own for each")
class MetricSource(Model):
    """Where a metric comes from; exactly one field is set. The type of one that measures a number has a `unit`."""

    logbook: LogbookSource | None = None
    """Outcomes of episodes; compared with stable."""
    serving: ServingMeasure | None = None
    """`latencyP99` (a duration) or `errorRate` (a share of requests), of the candidate's pods; held to a limit."""

    @property
    def kind(self) -> str:
        """The one field that is set."""
        return chosen(self)

    @property
    def unit(self) -> Unit | None:
        """What its measurement is in, for a limit; None: it tells of episodes instead, to compare."""
        source = next(value for _, value in self if value is not None)
        unit: Unit | None = getattr(source, "unit", None)
        return unit


_MEASURED = [
    alias
    for alias, field in zip(alternatives(MetricSource), MetricSource.model_fields.values(), strict=True)
    if any(hasattr(kind, "unit") for kind in get_args(field.annotation))
]
_EPISODES = [alias for alias in alternatives(MetricSource) if alias not in _MEASURED]


def _any_source(of: list[str]) -> str:
    """Return the CEL of whether a metric has one of these sources."""
    return " || ".join(f"has(self.source.{name})" for name in of)


def _named(sources: list[str]) -> str:
    return " or ".join(f"source.{name}" for name in sources)


class RangeOrigin(StrEnum):
    """Where an end of the range comes from that a comparison's errors hold for."""

    DECLARED = "Declared"
    """`compare.range`."""
    OUTCOME = "Outcome"
    """What the outcome is: `success` is 0 or 1, `length` and `violations` are not below 0."""
    TASK = "Task"
    """The limits of the reward and the cap on timesteps, on which the artifacts of both policies agree."""
    SEEN = "Seen"
    """Everything seen before, in training and here, and some room beyond."""


class OutcomeRange(Model):
    """Between what every outcome lies; an end that is not set is not known."""

    model_config = {
        "json_schema_extra": rules(
            rule("has(self.low) || has(self.high)", "a range has at least one end: set low, high or both"),
            rule(
                "!has(self.low) || !has(self.high) || self.low < self.high",
                "range.low is not below range.high, and no outcome could lie between them: exchange them",
            ),
        )
    }

    low: float | None = None
    """No outcome is below."""
    high: float | None = None
    """No outcome is above."""


class Compare(Model):
    """The candidate against the concurrent stable; exactly one of the two margins is set."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "has(self.maxRegression) != has(self.maxIncrease)",
                "compare has one margin: maxRegression (more is better) or maxIncrease (less is better)",
            ),
            rule(
                "!has(self.maxRegression) || self.maxRegression.matches('[1-9]')",
                "compare.maxRegression is 0, and nobody can show that: state the smallest fall that matters, e.g. 5%",
            ),
        )
    }

    to: Literal["stable"] = "stable"
    """The concurrent stable version. Unset: stable."""
    max_regression: Percent | None = None
    """More is better: allowed fall of the mean, as a share of stable's."""
    max_increase: Annotated[float, Field(gt=0)] | None = None
    """Less is better (a 0/1 outcome or a count): allowed rise of the mean, in the outcome's own unit."""
    range: OutcomeRange | None = None
    """Between what every outcome lies, if you know it. The stated errors then hold for any shape of outcomes; without
    it they hold down to the range that status shows. One that lies outside is said, and nothing is decided by it."""


_LimitText = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|%)?$", max_length=16)]


LONGEST_LATENCY = timedelta(seconds=60)
"""The largest limit on a latency: serving pods tell answers apart up to this, and a slower one from those within it."""


class Limit(Model):
    """A guard rail for the candidate alone: `max` holds for 99 % of requests (latencyP99), or is the share of them that
    may fail (errorRate)."""

    model_config = {
        "json_schema_extra": rules(
            rule("has(self.max) != has(self.min)", "a limit has one bound: set max"),
            rule(
                "!has(self.min)",
                "limit.min is not taken: nobody is worse for being faster or failing less. Write max instead; for an "
                "outcome that must not fall, use source.logbook with compare.maxRegression",
            ),
            rule(
                # Not by `minimum`: the API server rounds it down to 0 where a whole number is written.
                "!has(self.falseRollbacksPerDay) || self.falseRollbacksPerDay >= 0.0001",
                "limit.falseRollbacksPerDay is below 0.0001, once in 10,000 days: write e.g. 0.01",
            ),
            rule(
                "!has(self.tolerates) || self.tolerates.matches('^([0-9.]+(m|s|ms))+$')"
                " && duration(self.tolerates) >= duration('1s') && duration(self.tolerates) <= duration('60s')",
                "limit.tolerates is 1s to 60s: what goes wrong within that time counts once; write e.g. 5s",
            ),
        )
    }

    max: _LimitText | None = None
    """Not above: a duration up to 60s (`100ms`) for latencyP99, a share (`5%`) for errorRate."""
    min: _LimitText | None = None
    """Not taken."""
    false_rollbacks_per_day: Annotated[float, Field(gt=0, le=1)] = 0.01
    """How often in a day of requests a candidate exactly on the limit may be rolled back: 0.01 is once in 100 days. One
    that keeps it clearly never is. Less finds a breach later: ten times less, by about a fifth."""
    tolerates: Duration = duration_default("5s")
    """1s to 60s: whatever goes wrong within this time counts once, be it one request or ten thousand. At least a few
    times as long as a usual hiccup. A total outage is found after two to four of these where 1 % may lie beyond, after
    three to seven where 5 % may."""


_NOT_SERVING = "!has(self.limit) || !has(self.source.serving) || !has(self.limit.max)"
_LATENCY = "self.source.serving == 'latencyP99'"


class Metric(Model):
    """One thing the candidate is judged by."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "has(self.compare) != has(self.limit)",
                "a metric is judged one way: set either compare or limit",
            ),
            rule(
                f"!has(self.compare) || {_any_source(_EPISODES)}",
                f"compare needs episodes: use {_named(_EPISODES)}, or set limit instead of compare",
            ),
            rule(
                f"!has(self.limit) || {_any_source(_MEASURED)}",
                f"limit needs a measurement: use {_named(_MEASURED)}, or set compare instead of limit",
            ),
            rule(
                f"{_NOT_SERVING} || self.limit.max.endsWith({_LATENCY} ? 's' : '%')",
                "limit needs the unit of its measurement: write e.g. 100ms for latencyP99, 5% for errorRate",
            ),
            rule(
                f"{_NOT_SERVING} || !({_LATENCY}) || self.limit.max.matches('[1-9]')",
                "limit is 0, and no measurement could tell a good candidate from a bad one: write e.g. max: 100ms",
            ),
            rule(
                f"{_NOT_SERVING} || !({_LATENCY}) || !self.limit.max.endsWith('s')"
                " || duration(self.limit.max) <= duration('60s')",
                "limit is longer than the 60s up to which serving pods tell latencies apart, and no candidate could "
                "break it: write e.g. max: 10s",
            ),
            rule(
                f"{_NOT_SERVING} || !self.limit.max.endsWith('%') || double(self.limit.max.replace('%', '')) < 100.0",
                "limit is 100% or more, and no error rate could tell a good candidate from a bad one: write e.g. 5%",
            ),
            rule(
                "!has(self.compare) || !has(self.source.logbook) || !(has(self.compare.maxIncrease)"
                " ? self.source.logbook.outcome == 'success' : self.source.logbook.outcome == 'violations')",
                "compare takes back the better candidate: of success more is better, use maxRegression; of violations "
                "less is better, use maxIncrease",
            ),
            rule(
                "!has(self.compare) || !has(self.source.logbook) || !has(self.compare.maxRegression)"
                " || !(self.source.logbook.outcome in ['success', 'length'])"
                " || double(self.compare.maxRegression.replace('%', '')) < 100.0",
                "compare.maxRegression is 100% or more of an outcome that is never negative, and no candidate could "
                "fail it: write e.g. 5%",
            ),
        )
    }

    name: Name
    """Unique within the rollout."""
    source: MetricSource
    """Where it comes from."""
    compare: Compare | None = None
    """Judge by statistics against stable."""
    limit: Limit | None = None
    """Judge by a guard rail: the share of requests beyond it."""


class HoldAction(StrEnum):
    """What to do when measurements stay away for too long. There is no way to pass without any."""

    HOLD = "Hold"
    ROLLBACK = "Rollback"


class Patience(Model):
    """How long a verdict may stay away, and what then."""

    after: Duration
    """Counted from the start of the step, or from the last measurement if that is later."""
    action: HoldAction
    """`Hold`: stay at this weight and say so; `Rollback`."""


def _patience(after: str, action: HoldAction) -> Patience:
    return Patience.model_validate({"after": after, "action": action})


class AnchorUse(StrEnum):
    """What keeps allowed regressions from adding up. The anchor is the last version a person approved."""

    APPROVE = "Approve"
    """A person is asked after `approveAfter` versions."""
    SERVE = "Serve"
    """The anchor gets pods and part of stable's traffic while a candidate is on trial, and each Pass also needs a Pass
    against it, with the same margin. A person is asked only while it cannot be served."""


class AnalysisSpec(Model):
    """How the candidate is judged."""

    model_config = {
        "json_schema_extra": rules(
            *(
                rule(
                    f"!has(self.{name}) || self.{name}.matches('[1-9]')",
                    f"analysis.{name} is 0, and no episode would count: write e.g. 1m",
                )
                for name in ("window", "grace")
            ),
        )
    }

    window: Duration = duration_default("1m")
    """Episodes are compared only with those that started in the same window of this length, and under the same weight.
    Shorter: less of what changes in the world within it counts as a difference. One with episodes of one side only says
    nothing of their outcomes."""
    grace: Duration = duration_default("1m")
    """An episode counts if it ended within this time of its own start, else it is missing. At least the longest
    episode; every verdict lags by it."""
    false_rollback_rate: Annotated[float, Field(gt=0, le=0.25)] = 0.01
    """Chance that a candidate that is not worse is rolled back by statistics: over the whole rollout, all compared
    metrics together, however often it looks."""
    metrics: Annotated[
        list[Metric],
        Field(
            max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = Field(default_factory=list)
    """What the candidate is judged by."""
    approve_after: Annotated[int, Field(ge=0, le=1000)] = 2
    """Versions promoted by their verdicts since a person last approved one; before a further candidate somebody must
    send the command `approve`, because each may be worse than the one before by what is allowed. 0: never."""
    anchor: AnchorUse = AnchorUse.APPROVE
    """`Approve`: a person is asked after `approveAfter` versions. `Serve`: the last version a person approved is served
    beside each candidate, with `replicas` pods and at most half of what the candidate leaves, and a Pass of a
    comparison also needs a Pass against it with the same margin; a person is asked only where it cannot be served. Its
    RLPolicy must be kept for that."""
    on_no_data: Patience = _patience("10m", HoldAction.HOLD)
    """Nothing measured for one side."""
    on_provider_down: Patience = _patience("15m", HoldAction.HOLD)
    """The logbook or the pods do not answer."""
    on_not_enough_samples: Patience = _patience("24h", HoldAction.ROLLBACK)
    """An analyze step that never gets its verdict."""


class RLRolloutSpec(Model):
    """Which policy serves a route, and how a change is brought about."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.steps) || !self.steps.exists(s, has(s.analyze))"
                " || (has(self.analysis.metrics) && size(self.analysis.metrics) > 0)",
                "an analyze step needs something to judge by: add analysis.metrics or remove the step",
            ),
            rule(
                "!has(self.analysis) || !has(self.analysis.anchor) || self.analysis.anchor != 'Serve'"
                " || (has(self.steps) && self.steps.exists(s, has(s.analyze)) && has(self.analysis.metrics)"
                " && self.analysis.metrics.exists(m, has(m.compare)))",
                "analysis.anchor: Serve needs an analyze step and a metric with compare, or nothing would be held "
                "against the anchor: add them, or use Approve",
            ),
            rule(
                "self.traffic == oldSelf.traffic",
                "spec.traffic is immutable: episodes under way would be lost; create an RLRollout of another name",
            ),
        )
    }

    policy: PolicyRef
    """The policy that shall serve; changing it starts a rollout."""
    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods of each version that has traffic."""
    traffic: TrafficSpec
    """How requests reach the policies."""
    steps: Annotated[list[Step], Field(max_length=32)] = Field(default_factory=list)
    """How a candidate takes over; empty: at once, when ready. After the last step it has all traffic.

    A change during a rollout holds from the step under way on; one of a step already passed begins them all again."""
    bake: BakeSpec = BakeSpec()
    """Between the last step and the promotion, and after it."""
    rollback: RollbackSpec = RollbackSpec()
    """What a rollback promises."""
    analysis: AnalysisSpec = AnalysisSpec()
    """How the candidate is judged, from its first request to its promotion."""


class RolloutPhase(StrEnum):
    """The rollout in one word, for people; programs read conditions."""

    PENDING = "Pending"
    """No policy has ever been promoted."""
    HEALTHY = "Healthy"
    """The policy of the spec serves all traffic, and nothing is wrong with it."""
    DEGRADED = "Degraded"
    """The policy of the spec is stable, and Ready says what is wrong, such as no ready replica or a refused route."""
    PREPARING = "Preparing"
    PROGRESSING = "Progressing"
    BAKING = "Baking"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    WAITING_FOR_APPROVAL = "WaitingForApproval"


class VersionStatus(StatusModel):
    """One side of a rollout."""

    policy: str
    """Name of the RLPolicy."""
    digest: str
    """Digest of its artifact when it was taken up."""
    since: Instant
    """When it was taken up (candidate) or promoted (stable)."""
    lost_at: Instant | None = None
    """When its pods were found gone together with its RLPolicy; unset: they are not."""


class AnchorStatus(VersionStatus):
    """The last version a person approved: the first one, or by the command `approve` or `promote`."""

    promotions: int = 0
    """Versions promoted by their verdicts since then."""


class ServedAnchorStatus(VersionStatus):
    """The anchor while it has pods for the sake of a trial."""

    on_route: bool = False
    """Whether it gets part of stable's share of new episodes while the candidate has some; not without ready pods."""
    changed_at: Instant
    """When that was decided last."""
    until: Instant | None = None
    """When its pods go: no trial needs it any more, and the episodes it began end. Unset: a trial needs it."""


class TrialsStatus(StatusModel):
    """How often one digest was put to the test."""

    digest: str
    """Of the candidate's artifact."""
    count: int
    """Trials begun, and changes of what a trial under way is judged by."""
    judged_by: str
    """Hash of what the last of them is judged by: the compared metrics with their margins, and how episodes count."""


class WarmStatus(StatusModel):
    """A former stable version that keeps its pods."""

    policy: str
    """Name of the RLPolicy."""
    digest: str
    """Digest of its artifact."""
    until: Instant
    """When its pods go."""


class StepStatus(StatusModel):
    """The step under way."""

    index: int
    """Position in spec.steps; the number of steps when the last one is done."""
    kind: str
    """The field of the spec's step; or `bake`, `first` (the first version) or `promote` (all traffic at once)."""
    started_at: Instant
    """When it began."""
    passed_hash: str | None = None
    """Of the steps before it, as they were when it began. Where spec.steps says otherwise now, they begin again."""
    failed_metric: str | None = None
    """The metric that failed in this step without a rollback, because no other version could take over."""


class WeightStatus(StatusModel):
    """The candidate's share of new episodes, in percent."""

    desired: float
    """What the step asks for: a raise is recorded with the Gateway's answer, all else before the route is touched."""
    applied: float | None = None
    """What the Gateway has accepted at the route's latest generation."""
    since: Instant | None = None
    """When it had accepted it. Only what was measured after this counts for Pass."""
    anchor: float | None = None
    """The anchor's share of new episodes, out of stable's, as the Gateway has accepted it; unset: none."""
    observed: float | None = None
    """Share of requests the serving pods saw; absent while nothing was measured."""


class AcceptedWeight(StatusModel):
    """A weight of the trial."""

    percent: float
    """The candidate's share of new episodes."""
    anchor: float | None = None
    """The anchor's share of new episodes; unset: none."""
    asked_at: Instant
    """When the step that asks for it began, or the anchor's share was decided: since then it may have been in force."""
    at: Instant
    """When the Gateway had accepted it: one of weightChanges."""


class SampleStatus(StatusModel):
    """One side of a comparison."""

    episodes: int
    """Episodes that count."""
    mean: float | None = None
    """Mean outcome over them."""
    missing: int = 0
    """Episodes that did not end within grace of their start."""
    late: int | None = None
    """Of the missing, those that were reported all the same, after grace; unset: none."""


class LimitStatus(StatusModel):
    """The evidence on a limit, and up to where requests are counted in it."""

    bound: float | None = None
    """Of a latency: requests that took longer than this, in seconds, are beyond; unset: those that failed. It is the
    smallest bound of the pods' histogram that is not below the limit, so that beyond is certain."""
    share: float | None = None
    """Of the requests judged last (those of `tolerates`), the share beyond; unset: none were judged yet."""
    requests: int = 0
    """Judged at the present weight."""
    beyond: int = 0
    """Of them, beyond."""
    against: float
    """Evidence that more lie beyond than the limit allows, since the candidate's first weight; 1 fails."""
    in_favour: float
    """How far the evidence is that it is kept, at the present weight; 1 passes. It says that fewer lie beyond than five
    times what the limit allows, or 5 %."""
    stakes: list[float]
    """`against` by stake, smallest first: each finds breaches of another size soonest."""
    weight: float = 0
    """Percent: the weight that the last requests judged were under; 0: none yet."""
    weight_since: Instant | None = None
    """When that weight was accepted."""
    counting: Instant
    """When the operator began to count: `scrape` belongs to this, and another operator counts anew."""
    scrape: int
    """Number of the scrape up to which requests are judged."""


class AnchorVerdict(StatusModel):
    """The same metric against the anchor. It withholds Pass and fails nobody."""

    policy: str
    """Name of the anchor's RLPolicy."""
    verdict: Verdict
    """Pass, NoData, ProviderDown or NotEnoughSamples."""
    message: str = ""
    """The verdict as a sentence."""
    withholds: bool | None = None
    """True: the metric would pass but for this."""
    anchor: SampleStatus | None = None
    """The anchor's episodes at the present weight."""
    difference: float | None = None
    """Candidate minus anchor, per window, weighted by the candidate's counts."""
    interval: Annotated[list[float], Field(max_length=2)] | None = None
    """Bounds of the difference, valid at every look: [low, high]."""
    pass_above: float | None = None
    """The lower bound above this passes (below it, where less is better)."""


class CovariateStatus(StatusModel):
    """What was known of an episode before the policy acted, and is taken off its outcome: stable's critic of the first
    observation."""

    explains: float
    """The share of the outcome's variance that it takes away, 0 to 1, by the windows so far."""


class MetricVerdict(StatusModel):
    """The last look at one metric, with its evidence. Running numbers are written at most every few seconds."""

    metric: str
    """Name in spec.analysis.metrics."""
    definition: str | None = None
    """Hash of what the metric measured and was judged by; a metric defined otherwise under its name begins anew."""
    verdict: Verdict
    """Pass, Fail, NoData, ProviderDown or NotEnoughSamples."""
    message: str = ""
    """The verdict as a sentence."""
    candidate: SampleStatus | None = None
    """The candidate's episodes."""
    stable: SampleStatus | None = None
    """Stable's episodes of the same windows."""
    difference: float | None = None
    """Candidate minus stable, per window, weighted by the candidate's counts."""
    interval: Annotated[list[float], Field(max_length=2)] | None = None
    """Bounds of the difference, valid at every look: [low, high]."""
    fail_below: float | None = None
    """The upper bound below this fails (above it, where less is better)."""
    pass_above: float | None = None
    """The lower bound above this passes (below it, where less is better)."""
    range: Annotated[list[float], Field(max_length=2)] | None = None
    """Of a comparison: the stated errors hold while every outcome lies between, [low, high]: as declared, certain from
    the task, or taken from what was seen before."""
    range_from: Annotated[list[RangeOrigin], Field(max_length=2)] | None = None
    """Where either end of it comes from, [low, high]: Declared, Outcome, Task or Seen."""
    anchor: AnchorVerdict | None = None
    """Of a comparison: the candidate against the anchor, while that is served; the last look of it afterwards."""
    covariate: CovariateStatus | None = None
    """Of a comparison: set while outcomes are judged less what stable's critic expected of them; unset: as they are."""
    grace_too_short: bool | None = None
    """True: most of the time more than 1 % of the reported episodes were late, not shown to be on the candidate's side
    alone. So nothing is decided, and no step ends."""
    limit: LimitStatus | None = None
    """Of a limit: how far the evidence is."""
    query: str | None = None
    """What was asked, of whom."""
    since: Instant | None = None
    """When this verdict was first reached."""
    evidence_since: Instant | None = None
    """The weight change after which everything was measured that counts for Pass; unset: no such evidence yet."""
    at: Instant
    """When the numbers were measured."""


class RollbackStatus(StatusModel):
    """A rollback, as far as it is proven."""

    reason: str
    """`Verdict`, `Command`, `PolicyNotReady`, `NoData`, `ProviderDown` or `NotEnoughSamples`; or one that says nothing
    against the candidate, whose digest is then not rejected: `Superseded`, `PodsGone` or `PolicyDeleted`."""
    message: str
    """For people: what was seen."""
    metric: str | None = None
    """The metric that failed."""
    policy: str
    """The candidate that is withdrawn."""
    decided_at: Instant
    """When the intent was recorded: before anything else was touched."""
    weight_zero_at: Instant | None = None
    """When the Gateway had accepted the route without the candidate."""
    drained_at: Instant | None = None
    """When the candidate's pods were seen without requests, or had no endpoints left."""
    endpoints_closed_at: Instant | None = None
    """When the deadline passed and the candidate's endpoints were removed; they may return with `weightZeroAt`."""


class CommandStatus(StatusModel):
    """A command that was seen; each id is executed once."""

    id: str
    """From the annotation."""
    action: str
    """From the annotation."""
    at: Instant
    """When."""
    message: str | None = None
    """Why it was refused; absent: it was carried out."""


class HistoryEntry(StatusModel):
    """A rollout that ended."""

    policy: str
    """The candidate."""
    digest: str
    """Its digest."""
    outcome: Literal["Promoted", "RolledBack", "Withdrawn"]
    """How it ended; `Withdrawn`: by something that says nothing against it, so that its digest may be tried again."""
    started_at: Instant
    """When the candidate was taken up."""
    ended_at: Instant
    """When it ended."""
    message: str = ""
    """Why, for people."""


class RLRolloutStatus(ConditionedStatus):
    """What is true of the rollout now; written before anything else is touched."""

    phase: RolloutPhase | None = None
    """The rollout in one word."""
    stable: VersionStatus | None = None
    """The last promoted version; the target of any rollback."""
    candidate: VersionStatus | None = None
    """The version on trial."""
    previous: WarmStatus | None = None
    """The stable before, kept warm."""
    anchor: AnchorStatus | None = None
    """The last version a person approved."""
    served_anchor: ServedAnchorStatus | None = None
    """The anchor while it has pods for the sake of a trial (`analysis.anchor: Serve`)."""
    step: StepStatus | None = None
    """The step under way."""
    weight: WeightStatus | None = None
    """The candidate's share of new episodes."""
    pinned: list[str] = Field(default_factory=list)
    """Policies with a rule of their own on the route, in its order; of one that no longer serves, stable answers."""
    analysis_started_at: Instant | None = None
    """When the candidate first had a weight; only episodes that started later are compared."""
    weight_changes: Annotated[list[Instant], Field(max_length=MAX_WEIGHT_CHANGES)] = Field(default_factory=list)
    """When the Gateway had accepted each weight of this trial, oldest first: no window of episodes spans one."""
    weight_history: Annotated[list[AcceptedWeight], Field(max_length=MAX_WEIGHT_CHANGES)] = Field(default_factory=list)
    """Which weight each of weightChanges brought. Those that an earlier version of Belay recorded are not known."""
    verdicts: list[MetricVerdict] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["metric"]},
    )
    """The last look at each metric."""
    rollback: RollbackStatus | None = None
    """The rollback under way, or the last one."""
    rejected_digests: list[str] = Field(default_factory=list)
    """Digests that were rolled back; not tried again until the command retry. At most 20, newest last."""
    trials: list[TrialsStatus] = Field(default_factory=list)
    """How often each digest was put to the test: the first time has nine tenths of the stated errors, all further ones
    share the rest. At most 20, newest last."""
    commands: list[CommandStatus] = Field(default_factory=list)
    """Commands seen; at most 10, the one seen last at the end."""
    history: list[HistoryEntry] = Field(default_factory=list)
    """Rollouts that ended; at most 10, newest last."""

    def versions(self) -> "list[VersionStatus | WarmStatus]":
        """Return every version with pods, in the order of VERSION_ROLES."""
        named = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        return [named[role] for role in VERSION_ROLES if named[role] is not None]
