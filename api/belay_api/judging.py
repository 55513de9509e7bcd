"""What is asked of a policy that exists, whoever made it, and what came of it: gates that are played, and a judgement
by logged episodes of another policy.

Each is one Job. It is asked once of the same bytes: what came of it stays with the digest, and with a hash of all that
was asked, until something else is.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from belay_api.environment import EnvironmentSpec, EvaluationVectorSpec
from belay_api.gates import LONGEST, MOST_GATES, GateOutcome, Gates
from belay_api.model import Model, StatusModel, rule, rules
from belay_api.reasons import Verdict
from belay_api.runtime import RuntimeSpec
from belay_api.units import Duration, Instant, Percent, duration_default

Address = Annotated[str, Field(max_length=1024)]


class Estimator(StrEnum):
    """What estimates a return from logged episodes; docs/guides/judge-offline.md says what each assumes."""

    WDR = "wdr"
    DR = "dr"
    WPDIS = "wpdis"
    WIS = "wis"
    PDIS = "pdis"
    IS = "is"
    FQE = "fqe"


class JudgingSpec(Model):
    """What both have: where the Job's pod runs, and when it is given up."""

    runtime: RuntimeSpec = RuntimeSpec()
    """Where the pod runs and what it finds there, as a training pod's."""
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    """Pods that may take the place of one that failed by itself, or was evicted for want of memory or disk. Disruptions
    (drain, preemption) never count."""
    deadline: Duration | None = None
    """Wall-clock limit of the Job, waiting for a node included; unset: none."""


STALL_RULE = rule(
    "!has(self.stallTimeout) || !self.stallTimeout.contains('d') && duration(self.stallTimeout) >= duration('1s')",
    "stallTimeout is at least 1s, and in seconds, minutes or hours, such as 10m: no timestep is certain to take less",
)


class PlaySpec(Model):
    """How a policy is played to see what it shows."""

    environment: EnvironmentSpec | None = None
    """Where it is played; `reward` and `vector` mean nothing here. Unset: where it was trained, or measured when it was
    imported."""
    vector: EvaluationVectorSpec = EvaluationVectorSpec()
    """Parallel copies of the environment."""
    stall_timeout: Duration = duration_default("30m")
    """A pod that does not finish a timestep for so long ends as failed, and tells where it stood."""

    model_config = {"json_schema_extra": rules(STALL_RULE)}


class GatesSpec(JudgingSpec, PlaySpec):
    """What a pod is asked to play. The policy is played in episodes that nobody used before, through the network that
    serving pods load."""

    gates: Gates | None = None
    """What it must show; unset: what its training asked of it."""


class ValidationSpec(GatesSpec):
    """Gates of a policy that exists. It is played in episodes that nobody used before, through the network that serving
    pods load."""

    gates: Gates
    """What it must show."""
    required: bool = False
    """Whether a policy that is not in use is only served once it has passed: no pod of it is asked for before. One that
    has pods, or that a rollout has promoted, keeps them, whatever comes of gates that are asked of it later. False: the
    verdict is told, and stops nothing."""


class LoggedEpisodesSpec(Model):
    """Logged episodes to judge by."""

    path: Annotated[str, Field(min_length=1, max_length=1024)]
    """A Parquet or HDF5 file, or the folder of a Minari dataset, as the pod sees it: `/data/<name>/...` is in the claim
    of `runtime.data`. What has to be in it: `docs/reference/dataset.md`. Not the one that the policy learned from."""


class LogSpec(Model):
    """Which logged episodes are asked of a policy, and how."""

    dataset: LoggedEpisodesSpec
    """The episodes."""
    estimator: Estimator | None = None
    """The only one to be asked; unset: all, and of those that count the first of `wdr`, `dr`, `wpdis`, `wis`, `pdis`
    and `is` speaks."""
    actions: Literal["greedy", "sampled"] = "greedy"
    """How the policy would be served: its best action, or a drawn one."""
    discount: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Of the next timestep's reward."""
    confidence: Annotated[float, Field(gt=0.5, le=0.999)] = 0.95
    """Of every interval."""
    seed: Annotated[int, Field(ge=0, le=2_000_000_000)] = 0
    """Of all that is drawn."""
    min_effective_samples: Annotated[int, Field(ge=20)] | None = None
    """Episodes of the policy's own that the logged ones must be worth at least, beside a third of their number; unset:
    20, fewer of which are never enough."""
    max_regression: Percent | None = None
    """The policy returns less than the logged one by at most this share of the size of that return, with `confidence`.
    Unset: what it returns is told, and held to nothing."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.maxRegression) || !has(self.estimator) || self.estimator != 'fqe'",
                "maxRegression: fqe alone rests on a model, which is advice and no proof: leave one of the two out",
            )
        )
    }


class OfflineEvaluationSpec(JudgingSpec, LogSpec):
    """What logged episodes of another policy say of this one; none of its own is played."""


def asked(validation: GatesSpec | None, offline_evaluation: OfflineEvaluationSpec | None) -> JudgingSpec:
    """Return the one of the two that is set. Raises: ValueError where neither is."""
    found = validation if validation is not None else offline_evaluation
    if found is None:
        raise ValueError("neither validation nor offlineEvaluation is set")
    return found


class Reports(StatusModel):
    """Where a report lies in the built-in store, for people and for programs; without a logbook nowhere."""

    html: Address
    """A page with its pictures inside."""
    json_: Address = Field(alias="json")
    """The same for programs."""
    markdown: Address
    """The same as text."""


class Judgement(StatusModel):
    """What both results begin with."""

    digest: str
    """`sha256:<hex>` of the artifact it is about."""
    question: str
    """Hash of that and of all that was asked."""
    at: Instant | None = None
    """When its Job was done."""
    reports: Reports | None = None
    """Where the report lies; absent: there is no logbook that could keep it."""


class Between(StatusModel):
    """A number and between what it lies, with the confidence that was asked for."""

    value: float
    """The number."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def words(self) -> str:
        """Return it for a sentence."""
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


class ComparedResult(StatusModel):
    """What came of playing two policies from the same starts."""

    policy: Annotated[str, Field(max_length=253)]
    """Name of the RLPolicy that it was compared with."""
    digest: str
    """`sha256:<hex>` of that one's artifact."""
    episodes: int
    """Of each."""
    difference: Between | None = None
    """Mean return less that of the other, over pairs of episodes from one start; absent: nothing could be compared."""
    other: float | None = None
    """Mean return of the other; absent: it could not be played."""
    verdict: Verdict | None = None
    """Pass where the mean return is at least what `maxRegression` allows, with the confidence asked for, Fail where it
    is below, NotEnoughSamples between the two, NoData where no share of a return about 0 means anything; absent: it
    was held to nothing."""
    message: Annotated[str, Field(max_length=LONGEST)]
    """All of it in words."""


class ValidationResult(Judgement):
    """What came of the gates."""

    verdict: Verdict
    """Pass where every gate passed, and the comparison if it is held to something; else Fail, NotEnoughSamples or
    NoData, the gravest there is."""
    environment: Annotated[str, Field(max_length=253)]
    """Id of the environment it was played in."""
    gates: Annotated[list[GateOutcome], Field(max_length=MOST_GATES)]
    """One by one, in the order of the spec."""
    compared: ComparedResult | None = None
    """What came of playing another policy from the same starts; absent: none was. Only a rollout's step asks for it."""


class OfflineResult(Judgement):
    """What logged episodes say."""

    judged: bool
    """Whether they can tell what the policy returns."""
    reason: Annotated[str, Field(max_length=1024)] | None = None
    """Why they cannot; absent: they can."""
    estimator: str | None = None
    """The one that speaks; absent: none does."""
    return_: Between | None = Field(default=None, alias="return")
    """Mean discounted return of the policy by that estimator; absent: it cannot be judged."""
    logged: Between
    """Mean discounted return of the logged episodes themselves."""
    margin: Between | None = None
    """The policy's return less the least that `maxRegression` allows; absent: nothing is held to anything."""
    verdict: Verdict | None = None
    """Pass where `margin` is at least 0 with the confidence asked for, Fail where it is below, NotEnoughSamples between
    the two; absent: nothing is held to anything, or the policy cannot be judged."""
    effective_episodes: float | None = None
    """Episodes of the policy's own that the logged ones are worth, to that estimator."""
    episodes: int
    """Logged ones."""
    dataset: str | None = None
    """`sha256:<hex>` of the file as it was read, or of the names and digests of all files in the folder. What lies
    under `path` may change and asks nothing new: another path does."""
