"""Which policy serves a route, and how a change of policy is brought about or taken back."""

from typing import Annotated

from pydantic import Field

from belay_api.judging import JudgingSpec
from belay_api.model import Model, rule, rules
from belay_api.rollout.analysis import AnalysisSpec
from belay_api.rollout.common import Name
from belay_api.rollout.experiment import ExperimentSpec
from belay_api.rollout.group import GroupSpec
from belay_api.rollout.progression import ProgressionRef
from belay_api.rollout.recipes import Recipe
from belay_api.rollout.steps import Step
from belay_api.rollout.traffic import TrafficSpec
from belay_api.rollout.watch import WatchSpec
from belay_api.rollout.windows import Window
from belay_api.units import Duration, duration_default

_DECIDING = "(!has(m.dryRun) || !m.dryRun)"
_NAMES_STABLE = r"(has(m.source.prometheus) && m.source.prometheus.query.matches('\\{\\{\\s*stable\\s*\\}\\}'))"
_JUDGING = " || ".join(f"has(self.recipe.{name})" for name in Recipe.judging())
_ANALYZES = f"((has(self.steps) && self.steps.exists(s, has(s.analyze))) || (has(self.recipe) && ({_JUDGING})))"


_BY_EPISODE = (
    "(!has(self.traffic.gatewayAPI) || !has(self.traffic.gatewayAPI.assignment)"
    " || self.traffic.gatewayAPI.assignment != 'User')"
)


class PolicyRef(Model):
    """The policy that shall serve."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "[has(self.name), has(self.latestOf), has(self.winnerOf)].filter(set, set).size() == 1",
                "spec.policy has exactly one of name, latestOf and winnerOf: name one RLPolicy, follow the newest of a "
                "family, or let several compete",
            ),
            rule(
                "!has(self.allowOlder) || !self.allowOlder || has(self.latestOf)",
                "spec.policy.allowOlder belongs to latestOf: a named policy is taken whatever its age; remove it",
            ),
        )
    }

    name: Name | None = None
    """An RLPolicy of this namespace."""
    latest_of: Name | None = None
    """A family (the label `belay.dev/family`, which a training sets that publishes): of its RLPolicies the one created
    last that is Ready, was not rolled back here and is younger than stable.

    A trial that has begun is ended before a newer one is taken up."""
    winner_of: ExperimentSpec | None = None
    """The winner of an experiment (A/B/n); the stable version until there is one."""
    allow_older: bool = False
    """Whether one that is older than stable is taken as well, where stable is deleted or none is younger."""


class BakeSpec(Model):
    """What happens between the last step and the promotion, and after it."""

    duration: Duration = duration_default("1h")
    """How long the candidate has all traffic and is watched by its limits before it becomes stable."""
    keep_warm: Duration = duration_default("24h")
    """How long the version before keeps its pods after the promotion, so that going back to it is immediate."""


class RollbackSpec(Model):
    """What a rollback promises."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.keepCandidate) || self.keepCandidate.matches('[1-9]')",
                "rollback.keepCandidate is 0, and nobody could look at anything: write e.g. 30m, or remove it to let a "
                "candidate's pods go at once",
            )
        )
    }

    deadline: Duration = duration_default("30s")
    """From the recorded intent: past it, the candidate's endpoints are removed as well."""
    keep_candidate: Duration | None = None
    """How long a candidate that was taken back keeps its pods for people to look at, without any traffic but that of
    `gatewayAPI.preview`. One that was superseded, deleted or without pods is not kept. Unset: its pods go as soon as no
    request reaches them."""


class RLRolloutSpec(Model):
    """Which policy serves a route, and how a change is brought about."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                f"!{_ANALYZES} || (has(self.analysis.metrics) && self.analysis.metrics.exists(m, {_DECIDING}))",
                "an analyze step needs something to judge by: add analysis.metrics without dryRun or remove the step; "
                f"the recipes {' and '.join(Recipe.judging())} analyze at each weight",
            ),
            rule(
                "!has(self.analysis) || !has(self.analysis.anchor) || self.analysis.anchor != 'Serve'"
                f" || (({_ANALYZES} || has(self.progression)) && has(self.analysis.metrics)"
                f" && self.analysis.metrics.exists(m, has(m.compare) && {_DECIDING}))",
                "analysis.anchor: Serve needs an analyze step and a metric with compare and without dryRun, or nothing "
                "would be held against the anchor: add them, or use Approve",
            ),
            rule(
                "!has(self.watch) || !has(self.watch.onDegraded) || self.watch.onDegraded != 'Rollback'"
                " || !has(self.bake) || !has(self.bake.keepWarm) || self.bake.keepWarm.matches('[1-9]')",
                "watch.onDegraded: Rollback goes back to the version before, and none is kept warm: set bake.keepWarm, "
                "e.g. 24h",
            ),
            rule(
                "!has(self.watch) || !has(self.watch.onDegraded) || self.watch.onDegraded != 'Rollback'"
                " || (has(self.analysis) && has(self.analysis.metrics)"
                " && self.analysis.metrics.exists(m, (has(m.compare) && has(m.source.logbook)"
                f" || has(m.limit) && !{_NAMES_STABLE}) && {_DECIDING}))",
                "watch.onDegraded: Rollback needs a metric to be watched by, without dryRun, that compares an outcome "
                "of the logbook or has a limit on what is measured of one version alone: add one to analysis.metrics",
            ),
            rule(
                "!has(self.policy.winnerOf) || (has(self.analysis) && has(self.analysis.metrics)"
                " && self.analysis.metrics.exists(m, m.name == self.policy.winnerOf.metric && has(m.compare)"
                f" && has(m.source.logbook) && {_DECIDING}))",
                "policy.winnerOf.metric names none of analysis.metrics that compares an outcome of the logbook without "
                "dryRun: add it there, e.g. one with compare: {maxRegression: 5%}",
            ),
            rule(
                "[has(self.steps) && self.steps.size() > 0, has(self.recipe), has(self.progression)]"
                ".filter(x, x).size() <= 1",
                "spec.recipe and spec.progression stand for a list of steps, and spec.steps is one: keep one of them",
            ),
            rule(
                "!has(self.traffic.replicas) || !has(self.steps) || self.steps.all(s, !has(s.match) && !has(s.shadow))",
                "a Service neither reads headers nor mirrors, so traffic.replicas has no steps match and shadow: write "
                "setWeight, or validate and evaluateOffline before it; or use traffic.gatewayAPI",
            ),
            rule(
                "!has(self.traffic.replicas) || !has(self.recipe) || !has(self.recipe.shadowThenCanary)",
                "a Service does not mirror, so traffic.replicas has no recipe shadowThenCanary: write recipe: "
                "{canary: {}}, or use traffic.gatewayAPI",
            ),
            rule(
                "!has(self.traffic.replicas) || !has(self.policy.winnerOf)",
                "policy.winnerOf gives several versions their shares at once, which traffic.replicas cannot: write "
                "policy.name and take one candidate after the other, or use traffic.gatewayAPI",
            ),
            rule(
                "!has(self.traffic.replicas) || !has(self.analysis) || !has(self.analysis.anchor)"
                " || self.analysis.anchor != 'Serve'",
                "analysis.anchor: Serve gives a third version a share, which traffic.replicas cannot: write Approve, "
                "or use traffic.gatewayAPI",
            ),
            rule(
                "!has(self.traffic.replicas) || !has(self.analysis) || !has(self.analysis.metrics)"
                " || self.analysis.metrics.all(m, !has(m.source.gateway))",
                "source.gateway is what a gateway counts, and traffic.replicas has none: write source: {serving: "
                "errorRate}, or use traffic.gatewayAPI",
            ),
            rule(
                f"{_BY_EPISODE} || !has(self.steps) || self.steps.all(s, !has(s.match))",
                "match gives some requests a share of their own, which gatewayAPI.assignment: User cannot: write "
                "setWeight, or leave assignment out",
            ),
            rule(
                f"{_BY_EPISODE} || !has(self.policy.winnerOf)"
                " || self.policy.winnerOf.arms.all(a, !has(a.weight) || a.weight % 10 == 0)",
                "with gatewayAPI.assignment: User an arm has tenths of the users: write 10, 20, 30, 40 or 50 for each "
                "weight of policy.winnerOf.arms",
            ),
            rule(
                f"{_BY_EPISODE} || !has(self.analysis) || !has(self.analysis.anchor)"
                " || self.analysis.anchor != 'Serve'",
                "analysis.anchor: Serve gives a third version a share, which gatewayAPI.assignment: User cannot: write "
                "Approve, or leave assignment out",
            ),
            rule(
                f"{_BY_EPISODE} || !has(self.analysis) || !has(self.analysis.metrics)"
                " || self.analysis.metrics.all(m, !has(m.maxRegret))",
                "maxRegret is a sum over all episodes, and with gatewayAPI.assignment: User only the first of each "
                "user counts: hold the metric by its margin, or leave assignment out",
            ),
            rule(
                f"{_BY_EPISODE} || !has(self.analysis) || !has(self.analysis.metrics)"
                " || self.analysis.metrics.all(m, !has(m.source.prometheus) || !has(m.compare))",
                "with gatewayAPI.assignment: User both sides of a comparison are users, and Prometheus' series are of "
                "the same ones at each look: report the outcome to the logbook, or give the metric a limit",
            ),
            rule(
                "has(self.traffic.gatewayAPI) == has(oldSelf.traffic.gatewayAPI)",
                "spec.traffic cannot change from one way to another: episodes under way would be lost; create an "
                "RLRollout of another name",
            ),
        )
    }

    policy: PolicyRef
    """The policy that shall serve; changing it starts a rollout."""
    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods of each version that has traffic; what `kubectl scale` and a HorizontalPodAutoscaler write. More hold at
    once, and fewer five minutes after the end of a trial: until then `status.replicas` says how many there are."""
    traffic: TrafficSpec
    """How requests reach the policies."""
    steps: Annotated[list[Step], Field(max_length=32)] = Field(default_factory=list)
    """How a candidate takes over; empty: at once, when ready. After the last step it has all traffic.

    A change during a rollout holds from the step under way on; one of a step already passed begins them all again."""
    recipe: Recipe | None = None
    """A ready-made list in place of `steps`; `status.progression` shows what it comes to, and a trial under way keeps
    to that."""
    progression: ProgressionRef | None = None
    """The steps of an RLProgression in place of `steps`. `status.progression` has them as they were when the trial
    under way began, and it keeps to them: an edit holds from the next trial on."""
    windows: Annotated[list[Window], Field(max_length=16)] = Field(default_factory=list)
    """When a candidate may get more traffic by itself: be taken up, have its weight raised, be promoted. Empty: always.

    While all are closed a step under way keeps its weight and is judged on. A rollback and a lower weight are never
    barred, and neither are the first version, the way back to a warm one, and what a person sends `promote` for."""
    group: GroupSpec | None = None
    """Rollouts of the namespace that do not all have a candidate at once. Unset: it waits for no other.

    The first version and the way back to a warm one wait for nobody, and what is under way is never held up."""
    judging: JudgingSpec | None = None
    """Where the Jobs of the steps `validate` and `evaluateOffline` run, and when they are given up. Unset: as
    `spec.validation`, or `spec.offlineEvaluation`, of the candidate's RLPolicy says, else by the defaults."""
    bake: BakeSpec = BakeSpec()
    """Between the last step and the promotion, and after it."""
    rollback: RollbackSpec = RollbackSpec()
    """What a rollback promises."""
    analysis: AnalysisSpec = AnalysisSpec()
    """How the candidate is judged, from its first request to its promotion."""
    watch: WatchSpec = WatchSpec()
    """How the stable version is watched from its promotion on."""
