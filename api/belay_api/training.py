"""RLTrainingJob: what is trained, on what budget, with which seeds; and what came of it."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from belay_api import adversary
from belay_api.adversary import AdversarySpec
from belay_api.algorithms import FROM_DATASET, AlgorithmSpec
from belay_api.attempts import MOST_ATTEMPTS, AttemptRecord, Evictions
from belay_api.cleanup import CleanupSpec, CleanupStatus
from belay_api.clock import ClockStatus
from belay_api.conditions import ConditionedStatus
from belay_api.cost import CostSpec, JobCost, SeedCost, WorkerCost
from belay_api.dataset import DatasetSpec, Floor, OfflineEstimate
from belay_api.edits import edit_rules
from belay_api.environment import CostStatus, EnvironmentSpec, EvaluationVectorSpec
from belay_api.findings import MOST_FINDINGS, Finding, JobFinding
from belay_api.gates import Gates, Validation
from belay_api.init_from import InitFromSpec, InitialPolicy
from belay_api.model import Model, StatusModel, rule, rules
from belay_api.outcomes import RandomReturn
from belay_api.policy import ArtifactDigest, ArtifactUri, BaselinePolicy, ServingSpec
from belay_api.runtime import RuntimeSpec
from belay_api.search import SearchSpec, SearchStatus, check
from belay_api.tracking import TrackingSpec
from belay_api.units import Duration, Instant, duration_default

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


MOST_EPISODES = 10_000  # of an evaluation


class NormalizeSpec(Model):
    """What is brought to a common scale by running statistics, one set per seed. They are part of checkpoint and
    policy, and stand still in evaluations and in service. With `dataset` they are those of its episodes, and rewards
    are divided by their mean size."""

    observation: bool | None = None
    """Observations to mean 0 and variance 1, cut at 10 standard deviations; unset: the preset's."""
    reward: bool | None = None
    """Rewards divided by the standard deviation of the discounted return, cut at 10, in training alone: what is
    reported are the environment's own returns. Unset: the preset's."""


class BudgetSpec(Model):
    """How much each seed may use, and how long the job may take."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.deadline) || self.deadline.matches('[1-9]')",
                "budget.deadline is above 0, such as 2h: leave it out for none",
            )
        )
    }

    steps: Annotated[int, Field(ge=1, le=10_000_000_000)]
    """Environment timesteps per seed, rounded up to the algorithm's next update; with `dataset`, gradient steps."""
    deadline: Duration | None = None
    """Wall-clock limit of the whole job, of its search, seeds and gates together, after which it has failed;
    `status.clock` says how much is used up. From when its first pod may run, waiting for a node counts and a pause does
    not. Unset: none."""


class SeedsSpec(Model):
    """How often the training is repeated, and how many repetitions must succeed."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.required) || self.required <= self.count",
                "seeds.required is larger than seeds.count: lower it or raise seeds.count",
            ),
            rule(
                "!has(self.parallelism) || self.parallelism > 0",
                "seeds.parallelism is at least 1: to have all pods save and go, set spec.suspend to true",
            ),
        )
    }

    count: Annotated[int, Field(ge=1, le=1000)] = 1
    """Seeds trained, each as one index of one Job."""
    parallelism: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Seeds at work at once; unset: all. May change while they train: `kubectl scale` writes it."""
    required: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Seeds that must succeed; unset: all."""
    first: Annotated[int, Field(ge=0, le=2_000_000_000)] = 0
    """Seed of index 0; index i trains with first + i."""


class StopLossSpec(Model):
    """When a seed is given up: as one that fails for good, whatever retries are left."""

    after: Annotated[int, Field(ge=0)]
    """Timesteps that every seed gets."""
    return_: float = Field(alias="return")
    """Mean return that one evaluation must have reached by then, or at a later one."""


class EvaluationSpec(Model):
    """How a policy under training is measured: greedy, in a separate environment, on held-out seeds."""

    environment: EnvironmentSpec | None = None
    """Only beside `dataset`: where its policies are played. Unset: nowhere, and no return is told; checkpoints are
    judged by held-out episodes."""
    every: Annotated[int, Field(ge=1)] = 10_000
    """Timesteps between evaluations; one more happens at the end. The checkpoint with the best one is published."""
    episodes: Annotated[int, Field(ge=1, le=MOST_EPISODES)] = 20
    """Episodes per evaluation."""
    final_episodes: Annotated[int, Field(ge=1, le=MOST_EPISODES)] = 100
    """Episodes in which the published checkpoint is measured once more, from starts that chose nothing. Theirs is the
    reported return: the best of many evaluations of the same starts is higher than the policy is worth."""
    first_seed: Annotated[int, Field(ge=0, le=2_000_000_000)] = 1_000_000
    """Reset seed of the first evaluation episode; episode i uses first_seed + i, the same at every evaluation. The
    last measurement begins 10,000 further on. Training begins at seeds of its own, whatever stands here."""
    vector: EvaluationVectorSpec = EvaluationVectorSpec()
    """Parallel copies for evaluation."""
    target: float | None = None
    """A seed ends at the first evaluation with this mean return or more, under the attack where there is an
    `adversary`; unset: with its budget."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """A seed ends after so many evaluations in a row that were no better than the best before them; unset: with its
    budget."""
    stop_loss: StopLossSpec | None = None
    """When a seed that learns nothing is given up, by the same returns; unset: never."""


class CheckpointSpec(Model):
    """What a killed seed resumes from."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.grace) || !self.grace.contains('d') && duration(self.grace) >= duration('10s')"
                " && duration(self.grace) <= duration('1h')",
                "checkpoint.grace is from 10s to 1h: shorter, nothing could be saved; longer, no node could be drained",
            )
        )
    }

    every: Annotated[int, Field(ge=1)] = 10_000
    """Timesteps between checkpoints, rounded up to the algorithm's next update."""
    keep: Annotated[int, Field(ge=1, le=100)] = 2
    """Newest checkpoints kept per seed; the newest intact one is resumed from."""
    environment: bool = True
    """Whether the environment is part of the checkpoint, so that a resumed seed goes on in the very same episodes and
    ends with the same bits. False for one that holds what does not outlive its process, such as a simulator: resumed
    seeds then begin new episodes."""
    grace: Duration = duration_default("60s")
    """How long a pod that is asked to go may take to save: a collection that does not end within an eighth of it is
    dropped and begun anew by the next pod."""


class PvcStorage(Model):
    """A claim of the job's namespace that training and serving pods mount."""

    claim: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
    """Name of the PersistentVolumeClaim; ReadWriteMany, or one node."""


class StorageSpec(Model):
    """Where checkpoints and artifacts live; empty: the built-in store of the logbook."""

    pvc: PvcStorage | None = None
    """Use a volume instead of the built-in store."""


class FailureSpec(Model):
    """What a failure costs. Disruptions (drain, preemption) never count; evictions for want of memory or disk do."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.stallTimeout) || !self.stallTimeout.contains('d')"
                " && duration(self.stallTimeout) >= duration('1s')",
                "failure.stallTimeout is at least 1s, and in seconds, minutes or hours, such as 10m: no seed could "
                "take a timestep in less",
            )
        )
    }

    retries_per_seed: Annotated[int, Field(ge=0, le=100)] = 3
    """Restarts of one seed after failures of its own, and after its pods were evicted for want of memory or disk; it
    resumes from its checkpoint."""
    stall_timeout: Duration = duration_default("30m")
    """A pod that does not finish a timestep or an update for so long ends as failed, tells where it stood, and the seed
    resumes from its checkpoint: an environment that waits for something holds its GPU for ever otherwise."""


_FAMILY_LENGTH = 39  # with `-` and the 12 digits of a crowded family still the name of an RLPolicy: crd.NAME_LIMIT


class PublishSpec(Model):
    """What becomes of the best seed."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                f"size(self.family) <= {_FAMILY_LENGTH} && self.family.matches('^[a-z]')",
                f"publish.family must begin with a letter and have at most {_FAMILY_LENGTH} characters: its RLPolicies "
                "are called after it, with digits of a digest",
            )
        )
    }

    family: Name
    """Family of the RLPolicy made on success; its name is `<family>-<first 6 of the digest>`."""
    serving: ServingSpec = ServingSpec()
    """How that policy is served."""


_FROZEN = ("normalize", "algorithm", "evaluation", "storage")
_FROZEN_IF_SET = ("environment", "dataset", "adversary", "search", "initFrom", "tracking", "gates", "publish")
_TEXTS = ("description", "tags")
_EDITABLE: dict[str, type[Model]] = {
    "budget": BudgetSpec,
    "checkpoint": CheckpointSpec,
    "runtime": RuntimeSpec,
    "failure": FailureSpec,
}


class RLTrainingJobSpec(Model):
    """One training, repeated over seeds. What decides the result is frozen once it is created. `suspend`,
    `seeds.parallelism`, `cost` and `cleanup` may change at any time; where and how long its pods run, and how often
    they save, while it is suspended."""

    model_config = {
        "json_schema_extra": rules(
            *(
                rule(
                    f"self.{name} == oldSelf.{name}",
                    f"spec.{name} is frozen: results would not be comparable; create an RLTrainingJob of another name",
                )
                for name in _FROZEN
            ),
            rule(
                "has(self.environment) != has(self.dataset)",
                "a training learns from exactly one of environment and dataset: set one and leave the other out; an "
                "environment that policies learned from a dataset are played in is evaluation.environment",
            ),
            rule(
                f"has(self.dataset) == ({' || '.join(f'has(self.algorithm.{name})' for name in FROM_DATASET)})",
                f"{', '.join(FROM_DATASET[:-1])} and {FROM_DATASET[-1]} learn from a dataset, and all other algorithms "
                "in an environment: change algorithm, or what it learns from",
            ),
            rule(
                "has(self.dataset) || !has(self.evaluation.environment)",
                "evaluation.environment is where policies learned from a dataset are played: others are played in "
                "environment, so leave it out",
            ),
            rule(
                "!has(self.dataset) || has(self.evaluation.environment)"
                " || !has(self.evaluation.target) && !has(self.evaluation.stopLoss)",
                "evaluation.target and evaluation.stopLoss are returns, and without evaluation.environment there is "
                "none: set it, or leave them out",
            ),
            rule(
                "!has(self.dataset) || !has(self.evaluation.environment) || !has(self.dataset.actions)",
                "dataset.actions: which actions there are is for evaluation.environment to say: leave one of them out",
            ),
            rule(
                "!has(self.initFrom) || has(self.environment)",
                "initFrom begins a training in an environment, and a dataset is learned from anew: leave initFrom out",
            ),
            rule(
                "!has(self.adversary) || has(self.environment)",
                "adversary attacks what an environment shows, and a dataset is as it was logged: leave adversary out",
            ),
            rule(
                f"!has(self.adversary) || {adversary.RULE}",
                f"adversary: no attack is known on the policy of {', '.join(adversary.UNATTACKED[:-1])} and "
                f"{adversary.UNATTACKED[-1]}: leave it out, or take another algorithm",
            ),
            rule(
                "!has(self.gates) || has(self.environment) || has(self.evaluation.environment)",
                "gates are played: name evaluation.environment, to play them in, or leave gates out",
            ),
            rule(
                "!has(self.search) || has(self.environment) || has(self.evaluation.environment)",
                "a search compares returns: name evaluation.environment, to play trials in, or leave search out",
            ),
            rule(
                "!has(self.search) || !has(self.algorithm.custom)",
                "a search tries the settings of Belay's own algorithms, and algorithm.custom has none that it knows: "
                "leave search out",
            ),
            *(one for part, model in _EDITABLE.items() for one in edit_rules(part, model)),
            rule(
                "self.seeds.count == oldSelf.seeds.count && self.seeds.first == oldSelf.seeds.first"
                " && has(self.seeds.required) == has(oldSelf.seeds.required)"
                " && (!has(self.seeds.required) || self.seeds.required == oldSelf.seeds.required)",
                "spec.seeds is frozen but for parallelism: results would not be comparable; create an RLTrainingJob of "
                "another name",
            ),
            *(
                rule(
                    f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
                    f"spec.{name} is frozen: results would not be comparable; create an RLTrainingJob of another name",
                )
                for name in _FROZEN_IF_SET
            ),
            *(
                rule(
                    f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
                    f"spec.{name} is part of every artifact, and stays: create an RLTrainingJob of another name",
                )
                for name in _TEXTS
            ),
        )
    }

    description: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """What it is for, in a sentence or a few; part of what every seed publishes, as all of the spec. Unset: nothing."""
    tags: Annotated[dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=16)] | None = None
    """Names and values to find it by, such as `team: control`; part of what every seed publishes. Unset: none."""
    environment: EnvironmentSpec | None = None
    """The task to learn in; or `dataset`."""
    dataset: DatasetSpec | None = None
    """Logged episodes to learn from, without an environment."""
    normalize: NormalizeSpec = NormalizeSpec()
    """What is scaled by running statistics."""
    algorithm: AlgorithmSpec
    """How it is learned."""
    adversary: AdversarySpec | None = None
    """Adversarial training: an attack on the observations that the policy is trained on. Unset: none."""
    init_from: InitFromSpec | None = None
    """Whose weights the seeds begin with; unset: nobody's, they begin anew."""
    budget: BudgetSpec
    """How much each seed may use, and how long the job may take."""
    seeds: SeedsSpec = SeedsSpec()
    """Repetitions."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """How the policy under training is measured."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """What a killed seed resumes from."""
    storage: StorageSpec = StorageSpec()
    """Where checkpoints and artifacts live."""
    tracking: TrackingSpec | None = None
    """Where curves go beside the logbook; unset: nowhere."""
    runtime: RuntimeSpec = RuntimeSpec()
    """Where a seed runs."""
    failure: FailureSpec = FailureSpec()
    """What a failure costs."""
    suspend: bool = False
    """True ends the pods after they saved a checkpoint; false resumes from it."""
    gates: Gates | None = None
    """What the policy of a seed must show before it can be published: the best of the seeds that pass all of them is.
    Unset: nothing."""
    publish: PublishSpec | None = None
    """Make an RLPolicy of the best seed on success; unset: only the artifact."""
    search: SearchSpec | None = None
    """Find settings first and train the seeds with the best ones; unset: with the preset's and those in `algorithm`."""
    cost: CostSpec = CostSpec()
    """What its hours cost, and how much it may cost."""
    cleanup: CleanupSpec = CleanupSpec()
    """What of it is removed, some time after its end."""

    @model_validator(mode="after")
    def _search_fits(self) -> Self:
        if self.search is not None:
            check(self.search, self.algorithm)
        return self

    @property
    def played_in(self) -> EnvironmentSpec | None:
        """Where its policies are played; None: nowhere, they are judged by logged episodes alone."""
        return self.environment if self.dataset is None else self.evaluation.environment


class SeedPhase(StrEnum):
    """Where one seed stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"
    """Ended early: enough other seeds had succeeded, or the job had failed."""


class ArtifactRef(StatusModel):
    """Where an artifact lies and what its bytes must be."""

    uri: ArtifactUri
    """`store://sha256/<hex>` or `pvc://<claim>/<path>`."""
    digest: ArtifactDigest
    """`sha256:<hex>` of the canonical manifest, which holds every file's digest."""


class SeedStatus(StatusModel):
    """One seed, as its pods and the logbook tell it."""

    index: int
    """Its place in the Indexed Job."""
    seed: int
    """What seeds its training."""
    phase: SeedPhase = SeedPhase.PENDING
    """Pending, Running, Succeeded, Failed or Stopped."""
    step: int | None = None
    """Timesteps done, as last heard."""
    return_: float | None = Field(default=None, alias="return")
    """Mean greedy return of the published checkpoint in episodes that chose nothing, once the seed succeeded."""
    selection_return: float | None = None
    """The best mean return of an evaluation, so far or at the end: it chose the checkpoint, and is higher than what the
    policy is worth."""
    estimate: OfflineEstimate | None = None
    """What held-out episodes say of the published checkpoint, where there is no simulator and so no return."""
    floor: Floor | None = None
    """How it compares with behaviour cloning; absent for `bc` itself, and for all that learn in an environment."""
    best_step: int | None = None
    """Timestep of the published checkpoint, once the seed succeeded."""
    steps_per_second: float | None = None
    """Timesteps per second of training, as last heard."""
    retries: int = 0
    """Restarts so far that counted; beyond `failure.retriesPerSeed` the seed was given up after evictions."""
    evictions: Evictions | None = None
    """Of `retries` those that the kubelet's evictions cost, which the Job does not count; absent: none did."""
    resumed_from: int | None = None
    """Timestep of the checkpoint its last pod resumed from; absent: from the beginning."""
    preset: str | None = None
    """Which environment's preset it ran with, once the seed succeeded; `default`: the one for all without their own."""
    random: RandomReturn | None = None
    """What random actions return, once the seed succeeded; absent where that was not measured."""
    costs: list[CostStatus] | None = None
    """What the published checkpoint cost by `environment.constraints`, once the seed succeeded; absent: there are
    none."""
    artifact: ArtifactRef | None = None
    """The best evaluated checkpoint, once the seed succeeded."""
    code: str | None = None
    """Digest of the modules in `runtime.code` that it trained with, once it succeeded; absent: there are none."""
    gpu: str | None = None
    """What the GPU that it trained on is called, once it succeeded; absent: it was a CPU."""
    image: str | None = None
    """The image, by digest, of the pod that published it, as its node names it; absent: it did not, or nobody says."""
    message: str | None = None
    """Why it failed, or ended early, in the trainer's words; or what its pod waits for."""
    findings: list[str] | None = None
    """Reasons of what the diagnosis finds, the first one first; absent: nothing."""
    validation: Validation | None = None
    """What came of the gates, once the seed succeeded; absent: there are none."""
    cost: SeedCost | None = None
    """What it has cost so far; absent: it never ran."""


class WorkerStatus(StatusModel):
    """One worker of the search."""

    index: int
    """Its place in the search's Job."""
    phase: SeedPhase
    """Running, Succeeded (nothing was left to do) or Failed."""
    retries: int = 0
    """Restarts so far that counted; beyond `failure.retriesPerSeed` the worker was given up after evictions."""
    evictions: Evictions | None = None
    """Of `retries` those that the kubelet's evictions cost, which the Job does not count; absent: none did."""


class BestSeed(StatusModel):
    """Of the seeds that passed all gates, the one whose published checkpoint has the highest return, or estimate where
    there are no returns; the lowest index wins a tie."""

    seed: int
    """Its seed."""
    return_: float | None = Field(default=None, alias="return")
    """Its mean return; absent: nobody has played it. It is the highest of all seeds', and that a little too high: of
    four seeds that are worth the same by one standard error of such a mean, a tenth of the episodes' spread."""
    estimate: OfflineEstimate | None = None
    """What held-out episodes say of it, where nobody has played it."""
    floor: Floor | None = None
    """How it compares with behaviour cloning, where it was learned from a dataset."""
    step: int | None = None
    """Timestep of its checkpoint."""
    random: RandomReturn | None = None
    """What random actions return in the same environment, to compare; absent where that was not measured."""
    costs: list[CostStatus] | None = None
    """What it cost by `environment.constraints`; absent: there are none."""
    artifact: ArtifactRef
    """Its artifact."""
    image: str | None = None
    """The image, by digest, of the pod that published it; absent: nobody says."""


class Aggregate(StatusModel):
    """The training's result over the seeds that succeeded."""

    seeds: int
    """How many seeds went in."""
    mean: float | None = None
    """Mean over seeds of their returns; absent: nobody has played them."""
    std: float | None = None
    """Standard deviation over seeds of these: how far one training is from another. Absent with one seed."""
    stderr: float | None = None
    """Standard error of `mean`: `std` over the square root of `seeds`. Of few seeds it is no half of an interval: with
    five, a 95 % t-interval of the mean reaches 2.8 of them to either side."""
    iqm: float | None = None
    """Interquartile mean over seeds: robust against one lucky or broken seed."""
    ci95: list[float] | None = None
    """95 % percentile bootstrap interval of the interquartile mean: [low, high]. Unset with fewer than five seeds:
    theirs would miss the true value far more often than it says."""
    best: BestSeed
    """The seed that is published."""


class Progress(StatusModel):
    """How far the job is; written at most every few seconds."""

    percent: int
    """Timesteps done over timesteps asked for, all seeds, 0 to 100. While it searches: trials."""
    steps_per_second: float | None = None
    """Sum over running seeds."""
    eta: Duration | None = None
    """Time left at that rate; absent while unknown or beyond ten years."""


class TrainingPhase(StrEnum):
    """The job in one word, for people; programs read conditions."""

    PENDING = "Pending"
    SEARCHING = "Searching"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class RLTrainingJobStatus(ConditionedStatus):
    """What is true of the job now."""

    phase: TrainingPhase | None = None
    """Pending, Searching, Running, Suspended, Succeeded or Failed."""
    attempt: int | None = None
    """Which life of the pods this is; part of the child Job's name."""
    algorithm: str | None = None
    """Which algorithm learns."""
    template_hash: str | None = None
    """Hash of the frozen spec the Job was built from."""
    search: SearchStatus | None = None
    """How far the search is, and what it found; absent: there is none, or no pod of it has told anything."""
    searched_at: Instant | None = None
    """When the search ended: from then on seeds train with the settings in `search.best`."""
    search_workers: list[WorkerStatus] | None = Field(
        default=None, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["index"]}
    )
    """Workers of the search that have ended, or were tried again; absent: none has or was."""
    search_costs: list[WorkerCost] | None = Field(
        default=None, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["index"]}
    )
    """What each place of the search has cost; absent: none has run."""
    initial: InitialPolicy | None = None
    """What the seeds begin with, pinned when the job started; absent: they begin anew, or nothing is known yet."""
    baseline: BaselinePolicy | None = None
    """What `betterThan` of the gates compares with, pinned when the job started; absent: with no RLPolicy, or nothing
    is known yet."""
    seeds: list[SeedStatus] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["index"]},
    )
    """One entry per index."""
    running: int | None = None
    """Seeds at work now, for the scale subresource; while it searches, places of the search."""
    aggregate: Aggregate | None = None
    """The result over seeds, once enough succeeded."""
    progress: Progress | None = None
    """How far the job is."""
    findings: Annotated[list[JobFinding], Field(max_length=MOST_FINDINGS)] | None = Field(
        default=None, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["reason"]}
    )
    """What the diagnosis finds, over all seeds; the three to look at first. Absent: nothing."""
    cost: JobCost | None = None
    """What the job has cost so far; absent: it never ran."""
    history: Annotated[list[AttemptRecord], Field(max_length=MOST_ATTEMPTS)] | None = Field(
        default=None, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["pod"]}
    )
    """The attempts that ended last, and as many of those at work as there is room for; by their start."""
    clock: ClockStatus | None = None
    """How much of `budget.deadline` is used up; absent: no pod has been allowed to run."""
    published_policy: str | None = None
    """Name of the RLPolicy made of the best seed."""
    started_at: Instant | None = None
    """When the Job of the seeds first had a running pod."""
    finished_at: Instant | None = None
    """When the job succeeded or failed for good."""
    cleanup: CleanupStatus | None = None
    """What becomes of what it left behind; absent: that stays, or the job is not over."""


class TrainingConfig(Model):
    """What a training pod reads from `names.JOB_FILE`: the spec's sub-tree and who it belongs to."""

    namespace: str
    """Namespace of the RLTrainingJob."""
    job: str
    """Name of the RLTrainingJob."""
    uid: str
    """Its uid: checkpoints of an earlier job of the same name are not resumed from."""
    attempt: int
    """Which life of the pods this is."""
    spec: RLTrainingJobSpec
    """The frozen spec; `suspend` and most of `runtime` mean nothing inside the pod."""
    config_hash: str
    """Hash of the spec, for the artifact's lineage."""
    initial: InitialPolicy | None = None
    """What the seeds begin with; None: nothing."""
    baseline: BaselinePolicy | None = None
    """The policy that `betterThan` of the gates names; None: none does."""


class TrainingReport(Model):
    """A pod's last word, as JSON of at most 4,096 bytes in its termination message."""

    outcome: Literal["Succeeded", "BadConfiguration", "Diverged", "GivenUp", "Interrupted", "Error"]
    """Succeeded (exit 0), BadConfiguration (3), Diverged or GivenUp (4); Interrupted by SIGTERM after a save; Error:
    retry."""
    index: int
    """Completion index."""
    seed: int
    """Seed."""
    step: int = 0
    """Timesteps done."""
    return_: float | None = Field(default=None, alias="return")
    """Mean greedy return of the published checkpoint in episodes that chose nothing."""
    selection_return: float | None = None
    """Mean return at the evaluation that chose it."""
    estimate: OfflineEstimate | None = None
    """What held-out episodes say of the published checkpoint, where there is no simulator and so no return."""
    floor: Floor | None = None
    """How it compares with behaviour cloning; absent for `bc` itself, and for all that learn in an environment."""
    best_step: int | None = None
    """Timestep of the published checkpoint."""
    random: RandomReturn | None = None
    """What random actions return; None: not measured."""
    costs: list[CostStatus] | None = None
    """What the published checkpoint cost by `environment.constraints`; None: there are none."""
    artifact: ArtifactRef | None = None
    """The published checkpoint."""
    steps_per_second: float | None = None
    """Timesteps per second of training over this pod's life, evaluation and checkpoints included."""
    resumed_from: int | None = None
    """Timestep of the checkpoint this pod resumed from."""
    preset: str | None = None
    """Which environment's preset it ran with; `default`: the one for all without their own."""
    code: str | None = None
    """Digest of the modules in `runtime.code`: `git:<commit>` or `sha256:<hex>` of the files."""
    gpu: str | None = None
    """What the GPU that it trained on is called; None: it was a CPU."""
    weights_sha256: str | None = None
    """Hash of all final weights, target networks included, to compare runs bit for bit."""
    message: str = ""
    """What went wrong, for people."""
    findings: list[Finding] = Field(default_factory=list)
    """What the diagnosis finds at the end, the first one first."""
    validation: Validation | None = None
    """What came of the gates; None: there are none."""
    search: SearchStatus | None = None
    """How far the search was when this pod of it ended; None: the pod trained a seed."""
    model_config = {"extra": "ignore"}
