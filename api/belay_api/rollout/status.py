"""What is true of a rollout now."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from belay_api.conditions import ConditionedStatus
from belay_api.judging import OfflineResult, ValidationResult
from belay_api.model import StatusModel
from belay_api.reasons import Verdict
from belay_api.rollout.experiment import ExperimentStatus
from belay_api.rollout.group import GroupStatus
from belay_api.rollout.regret import RegretStatus
from belay_api.rollout.verdicts import MetricVerdict
from belay_api.rollout.watch import WatchStatus
from belay_api.units import FreeForm, Instant

MAX_WEIGHT_CHANGES = 64  # twice the steps a spec can list; beyond it, edits of the steps begin to forget the oldest
MAX_SKIPPED = 32  # as many as the steps a spec can list; beyond it the oldest is forgotten
VERSION_ROLES = ("stable", "candidate", "previous", "servedAnchor", "kept")
"""The fields of status that name a version with pods, as they are written; `arms` names several."""


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
    """The last version a person approved: the first one, by the command `approve` or `promote`, or at a step."""

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


class ServedArmStatus(VersionStatus):
    """An arm of an experiment while it has pods."""

    weight: int
    """Percent of new episodes that it gets while it is on the route."""
    on_route: bool = False
    """Whether it gets them; not without ready pods."""
    accepted: bool = True
    """Whether the gateway has accepted the route with that."""
    episodes_until: Instant | None = None
    """Until when the episodes that it began may go on with it, once it is off the route; unset: it is on the route, or
    they may not."""
    until: Instant | None = None
    """When its pods go; unset: it takes part, or the gateway has not accepted the route without it."""


class TrialsStatus(StatusModel):
    """How often one digest was put to the test."""

    digest: str
    """Of the candidate's artifact."""
    count: int
    """Trials begun, and changes of what a trial under way is judged by."""
    judged_by: str
    """Hash of what the last of them is judged by: the compared metrics with their margins, and how episodes count."""


class WarmStatus(StatusModel):
    """A version that keeps its pods for a time."""

    policy: str
    """Name of the RLPolicy."""
    digest: str
    """Digest of its artifact."""
    until: Instant
    """When its pods go."""


class ApprovalStatus(StatusModel):
    """A person's word at a step `approve`."""

    command: str
    """Id of the command."""
    step: int
    """Position of that step in spec.steps."""
    digest: str
    """Of the candidate's artifact: what was approved."""
    at: Instant
    """When."""


class PauseStatus(StatusModel):
    """A candidate that a person holds where it is."""

    command: str
    """Id of the command `pause`."""
    at: Instant
    """When."""


class SkippedStep(StatusModel):
    """A step of this candidate that a person ended before its time."""

    index: int
    """Position in spec.steps."""
    kind: str
    """The field of the spec's step."""
    command: str
    """Id of the command `skip`."""
    at: Instant
    """When."""


class JudgingStatus(StatusModel):
    """What a step with a Job remembers beside answers."""

    attempt: int = 0
    """How often the command `retry` asked again."""
    question: str | None = None
    """Hash of what was asked where the Job is over without an answer; unset: it is not."""
    reason: str | None = None
    """Why there is none: BadConfiguration, DeadlineExceeded, JobFailed or ReportLost."""
    message: str = ""
    """The same in the pod's own words, which may be gone since."""


class StepJudgement(StatusModel):
    """What the Job of a step found."""

    step: int
    """Position in spec.steps."""
    kind: str
    """`validate` or `evaluateOffline`."""
    verdict: Verdict | None = None
    """Pass, Fail, NotEnoughSamples or NoData; absent: it was held to nothing, or cannot be judged."""
    message: str
    """All of it as a sentence."""
    validation: ValidationResult | None = None
    """Of `validate`: gate by gate, and the candidate against stable."""
    offline_evaluation: OfflineResult | None = None
    """Of `evaluateOffline`: the estimate with its interval."""


class ProgressionStatus(StatusModel):
    """The steps where the spec does not list them itself."""

    source: str
    """Where they come from, such as `recipe canary` or `RLProgression ramp`."""
    generation: int | None = None
    """Of the RLProgression, as it was read; unset: it is a recipe."""
    asked: str
    """Hash of what the spec says of it. While a candidate is on trial and the spec says the same, these steps hold."""
    steps: Annotated[list[FreeForm], Field(max_length=32)]
    """The steps, as `spec.steps` would list them."""


class MirrorStatus(StatusModel):
    """Requests that are mirrored to the candidate."""

    percent: int
    """How many of those that stable answers."""
    since: Instant | None = None
    """When the gateway had accepted that; unset: not yet."""
    refused: str | None = None
    """In which words the gateway has refused it: nothing is mirrored any more. Unset: it has not."""


class ShadowLatency(StatusModel):
    """How long decisions took in the pods, without the wait for them; in seconds."""

    p50: float
    """Half took no longer."""
    p99: float
    """99 of 100 took no longer."""


class ShadowSideStatus(StatusModel):
    """One side's decisions about the requests that both decided about."""

    failed: int
    """Answered with an error."""
    latency: ShadowLatency | None = None
    """Unset: there is no such request."""


class ShadowSides(StatusModel):
    """Errors and latencies of both."""

    stable: ShadowSideStatus
    """The version that answered."""
    candidate: ShadowSideStatus
    """The version that answered nobody."""


class ShadowChoice(StatusModel):
    """How often the two sides chose so."""

    stable: str
    """Stable's action."""
    candidate: str
    """The candidate's, or `error`."""
    pairs: int
    """How often."""


class ShadowUnit(StrEnum):
    """What the difference of two decisions is."""

    DISAGREEMENT = "Disagreement"
    """Of choices: 1 where the candidate chooses otherwise."""
    SHARE_OF_RANGE = "ShareOfRange"
    """Of numbers: the mean of their differences, each as a share of its range."""
    SHARE_OF_FIVE_STD = "ShareOfFiveStd"
    """Of numbers without a range: the mean of their differences, each as a share of five standard deviations of
    stable's, and 1 at most."""


class ShadowResult(StatusModel):
    """What a step `shadow` found. Running numbers are written every few seconds at most."""

    step: int
    """Position in spec.steps."""
    stable: str
    """The version that answered."""
    verdict: Verdict | None = None
    """Pass, Fail, NoData, ProviderDown or NotEnoughSamples; absent: it is under way, or was held to nothing."""
    message: str
    """All of it as a sentence, without running numbers."""
    pairs: int = 0
    """Decisions of both sides about the same request that can be compared."""
    episodes: int = 0
    """Episodes they are of: the unit of the interval. Pairs without an episode are one each minute."""
    unit: ShadowUnit | None = None
    """What the difference is; unset: there is no pair."""
    difference: float | None = None
    """Mean over the episodes, 0 to 1."""
    interval: Annotated[list[float], Field(max_length=2)] | None = None
    """Bounds of it at `confidence`, valid at every look: [low, high]."""
    not_compared: int | None = None
    """Decisions of both sides that cannot be compared; unset: none."""
    answered: float | None = None
    """Share of the mirrored requests that the candidate's pods told a decision of; unset: nothing is known."""
    sides: ShadowSides | None = None
    """Errors and latencies of both; unset: nothing is known."""
    choices: Annotated[list[ShadowChoice], Field(max_length=16)] = Field(default_factory=list)
    """The confusion table: what stable chose and what the candidate did, the most frequent first."""
    query: str | None = None
    """What was asked, of whom."""
    at: Instant
    """When it was asked."""


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
    resumed_at: Instant | None = None
    """When a person ended a `pause` without a duration."""
    approval: ApprovalStatus | None = None
    """The last approval of this candidate, while no verdict was asked for since. What is promoted with it is the
    version that later ones are measured from."""
    judging: JudgingStatus | None = None
    """Of `validate` and `evaluateOffline`: retries, and how a Job ended that did not answer."""
    met_at: Instant | None = None
    """When the others had come, of `together`."""
    mirror: MirrorStatus | None = None
    """Of `shadow`: the requests that are mirrored. They are while this stands and no rollback is under way."""


class SegmentStatus(StatusModel):
    """Requests whose share is their own, because a step `match` says so."""

    headers: dict[str, str]
    """They have all of these: value by name."""
    weight: float
    """The candidate's share of their new episodes, in percent."""
    alone: bool
    """Whether nobody else gets the candidate. Then what `weight` and `weightHistory` say is of them, and only their
    episodes are compared; else it is of all others, and only those are."""


class SegmentRuleStatus(StatusModel):
    """The place of a segment's rules on the route. They stay: without a segment they lead where all requests go."""

    headers: dict[str, str]
    """What they match: value by name."""
    after: int
    """How many entries of `pinned` come before them."""


class PodShareStatus(StatusModel):
    """What pods give where no gateway weighs requests (`traffic.replicas`)."""

    candidate: int
    """Ready pods of the candidate behind the rollout's Service."""
    stable: int
    """Ready pods of stable behind it."""
    percent: float
    """The candidate's share of new connections by that."""


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
    pods: PodShareStatus | None = None
    """What pods give of `desired`; unset: a gateway weighs, or the weight is not in force yet."""
    segment: SegmentStatus | None = None
    """Whose share is another than everybody else's; unset: nobody's."""

    @property
    def of_everybody(self) -> float:
        """The share of those who are in no segment."""
        return 0.0 if self.segment is not None and self.segment.alone else self.desired

    @property
    def of_segment(self) -> float:
        """The share of those who are; where there is no segment, everybody's."""
        return self.desired if self.segment is None else self.segment.weight


class AcceptedWeight(StatusModel):
    """A weight of the trial."""

    percent: float
    """The candidate's share of new episodes."""
    anchor: float | None = None
    """The anchor's share of new episodes; unset: none."""
    segment: bool | None = None
    """Whether a segment had a share of its own meanwhile; unset: no."""
    asked_at: Instant
    """When the step that asks for it began, or the anchor's share was decided: since then it may have been in force."""
    at: Instant
    """When the Gateway had accepted it: one of weightChanges."""


class RollbackStatus(StatusModel):
    """A rollback, as far as it is proven."""

    reason: str
    """`Verdict`, `Command`, `Undone`, `Degraded`, `NotApproved`, `NotTogether`, `PolicyNotReady`, `NoData`,
    `ProviderDown` or `NotEnoughSamples`; or one that says nothing against the candidate, whose digest is then not
    rejected: `Superseded`, `PodsGone`, `PolicyDeleted` or `OtherTakenBack`."""
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
    reason: str | None = None
    """Why it was taken back, in one word, as status.rollback had it; unset: it was promoted."""
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
    kept: WarmStatus | None = None
    """The candidate taken back last while it keeps its pods for people to look at (`rollback.keepCandidate`): no rule
    of the route leads to it."""
    arms: list[ServedArmStatus] = Field(default_factory=list)
    """Arms of an experiment that have pods (`spec.policy.winnerOf`)."""
    experiment: ExperimentStatus | None = None
    """The experiment under way, or the last one."""
    progression: ProgressionStatus | None = None
    """The steps of the trial under way, or of the next one; unset: `spec.steps` lists them."""
    group: GroupStatus | None = None
    """Its place in `spec.group`; unset: it has none and wants none."""
    step: StepStatus | None = None
    """The step under way."""
    paused: PauseStatus | None = None
    """A person holds the candidate at its step: until the command `resume`. Unset: nobody does."""
    skipped: Annotated[list[SkippedStep], Field(max_length=MAX_SKIPPED)] = Field(default_factory=list)
    """Steps of this candidate that a person ended before their time, oldest first."""
    weight: WeightStatus | None = None
    """The candidate's share of new episodes."""
    replicas: int | None = None
    """Pods that each version is to have, for the scale subresource as well."""
    selector: str | None = None
    """Label selector of the pods that an autoscaler counts: of the version with the larger share."""
    pinned: list[str] = Field(default_factory=list)
    """Policies with a rule of their own on the route, in its order; of one that no longer serves, stable answers."""
    segment_rule: SegmentRuleStatus | None = None
    """Where the route tells the requests of a step `match` from all others; unset: it never had to."""
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
    regret: RegretStatus | None = None
    """What the candidate has cost so far, or the last one did; unset: nothing was compared."""
    watch: list[WatchStatus] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["metric"]},
    )
    """The stable version since its promotion, by each metric that is compared and decides, and each limit it breaks."""
    judgements: Annotated[list[StepJudgement], Field(max_length=32)] = Field(default_factory=list)
    """What the Jobs of the steps `validate` and `evaluateOffline` found of the candidate taken up last, in order."""
    shadow: ShadowResult | None = None
    """What the last step `shadow` found of the candidate taken up last."""
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

    @property
    def rolling_back(self) -> bool:
        """Whether a recorded rollback is not proven yet."""
        return self.rollback is not None and self.rollback.drained_at is None

    def versions(self) -> "list[VersionStatus | WarmStatus]":
        """Return every version with pods, in the order of VERSION_ROLES; arms come last."""
        named = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        return [*(named[role] for role in VERSION_ROLES if named[role] is not None), *self.arms]
