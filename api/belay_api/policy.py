"""RLPolicy: one immutable version of a policy, and how it is served."""

from typing import Annotated, Literal

from pydantic import Field

from belay_api.conditions import ConditionedStatus
from belay_api.environment import MOST_CONSTRAINTS
from belay_api.judging import OfflineEvaluationSpec, OfflineResult, ValidationResult, ValidationSpec
from belay_api.model import Model, StatusModel, rule, rules
from belay_api.outcomes import KnownOutcome
from belay_api.pods import ResourceRequirements
from belay_api.units import Duration, duration_default

ArtifactUri = Annotated[str, Field(pattern=r"^(store://sha256/[0-9a-f]{64}|pvc://[a-z0-9.-]+/.+)$", max_length=1024)]
ArtifactDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class ArtifactSpec(Model):
    """Where the policy's bytes lie and what they must be."""

    uri: ArtifactUri
    """`store://sha256/<hex>` in the built-in store, or `pvc://<claim>/<path>`."""
    digest: ArtifactDigest
    """sha256 of the canonical manifest, which holds every file's digest; checked at every load."""


class PinnedPolicy(StatusModel):
    """A policy that something else needs, pinned by digest."""

    policy: str | None = None
    """Name that the RLPolicy had; absent: the artifact was named itself."""
    uri: ArtifactUri | None = None
    """Where the artifact lies; absent in a run on one machine, which is given a folder."""
    digest: ArtifactDigest
    """`sha256:<hex>` of its canonical manifest: every byte that is read of it is checked first."""

    @property
    def title(self) -> str:
        """What sentences call it."""
        return f"RLPolicy {self.policy}" if self.policy else f"the policy {self.digest[:19]}…"


class BaselinePolicy(PinnedPolicy):
    """What gates compare with, pinned by digest."""


Image = Annotated[str, Field(max_length=512)]


class LineageSpec(Model):
    """Where the policy comes from."""

    training_job: Annotated[str, Field(max_length=253)] | None = None
    """Name of the RLTrainingJob."""
    uid: Annotated[str, Field(max_length=64)] | None = None
    """Its uid."""
    seed: int | None = None
    """The seed that was published."""
    step: int | None = None
    """Timestep of the published checkpoint."""
    config_hash: Annotated[str, Field(max_length=128)] | None = None
    """Hash of the training configuration."""
    image: Image | None = None
    """The image that the pod ran which published it, by digest, as its node names it: `registry/name@sha256:<hex>`;
    `sha256:<hex>` of one that no registry had."""


class BatchSpec(Model):
    """How the server gathers requests into one forward pass."""

    size: Annotated[int, Field(ge=1, le=1024)] = 8
    """At most this many; no more than the usual number of concurrent requests per pod, or each waits out `delay`."""
    delay: Duration = duration_default("1ms")
    """Longest wait for a fuller batch, rounded to whole milliseconds."""


class ServingSpec(Model):
    """How the policy is served. It may change, and so may what is asked of the policy; its bytes may not."""

    runtime: Literal["torchserve"] = "torchserve"
    """The server inside the pods."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Image that speaks Belay's serving protocol; unset: the one the operator was installed with."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Pods to run; unset: as many as the rollouts that use the policy ask for, 0 when none does."""
    scale: Annotated[int, Field(ge=0, le=1000)] = 1
    """What `kubectl scale` and a HorizontalPodAutoscaler write: a policy that has pods gets at least this many; 0: it
    gets none. It starts no policy that nobody asks for: `replicas` does."""
    batch: BatchSpec = BatchSpec()
    """How requests are gathered."""
    timeout: Duration = duration_default("2s")
    """Longest time a request may spend in the model before its worker is restarted, rounded up to whole seconds."""
    resources: ResourceRequirements = ResourceRequirements()
    """Requests and limits of one pod; unset: requests of 250m CPU and 512Mi."""


class RLPolicySpec(Model):
    """One version of a policy."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "self.artifact == oldSelf.artifact",
                "spec.artifact is immutable: create an RLPolicy of another name for other bytes",
            ),
            rule(
                "has(self.lineage) == has(oldSelf.lineage) && (!has(self.lineage) || self.lineage == oldSelf.lineage)",
                "spec.lineage is immutable: it tells where these bytes come from",
            ),
        )
    }

    artifact: ArtifactSpec
    """The bytes."""
    lineage: LineageSpec | None = None
    """Where they come from."""
    serving: ServingSpec = ServingSpec()
    """How they are served."""
    validation: ValidationSpec | None = None
    """Gates that the policy is held to, in a Job of its own; unset: none. Others than before are asked anew."""
    offline_evaluation: OfflineEvaluationSpec | None = None
    """Logged episodes that the policy is judged by, in a Job of its own; unset: none."""


class SignatureStatus(StatusModel):
    """What goes in and what comes out, from the artifact's manifest; for people."""

    observation: str
    """E.g. `Box(4,) float32`."""
    action: str
    """E.g. `Discrete(2)`."""
    state: str | None = None
    """What a recurrent policy remembers from one decision to the next, e.g. `(2, 1, 64) float32`: each request brings
    the `state` of the answer before. Absent: it remembers nothing."""


class KnownOutcomes(StatusModel):
    """What training knows of the outcomes of an episode, from the artifact's manifest."""

    return_: KnownOutcome | None = Field(default=None, alias="return")
    """Undiscounted sum of rewards."""
    length: KnownOutcome | None = None
    """Timesteps."""
    costs: Annotated[dict[str, KnownOutcome], Field(max_length=MOST_CONSTRAINTS)] | None = None
    """Totals of the costs that the training counted, by the names in its `environment.constraints`; absent: it counted
    none."""

    def of(self, outcome: str) -> KnownOutcome | None:
        """Return what is known of an outcome of the logbook; None: nothing."""
        return {"return": self.return_, "length": self.length, **(self.costs or {})}.get(outcome)


class RLPolicyStatus(ConditionedStatus):
    """What is true of the policy now. Conditions: Verified, Loaded, Ready; Validated and EvaluatedOffline where the
    spec asks for it."""

    digest: str | None = None
    """The digest a serving pod computed and found equal to the spec's; absent until one did."""
    endpoint: str | None = None
    """In-cluster address of the policy: `http://<service>.<namespace>.svc:8080/predictions/policy`."""
    replicas: int | None = None
    """Pods that exist, for the scale subresource."""
    ready_replicas: int | None = None
    """Pods that answer."""
    desired_replicas: int | None = None
    """Pods asked for, by `serving.replicas` or by the rollouts that use the policy."""
    selector: str | None = None
    """Label selector of the pods, for the scale subresource."""
    used_by: list[str] = Field(default_factory=list)
    """Rollouts that ask for this policy."""
    signature: SignatureStatus | None = None
    """What goes in and out, once a pod read the manifest."""
    outcomes: KnownOutcomes | None = None
    """What its training knows of returns and lengths, once a pod read the manifest; rollouts compare within it."""
    imported: str | None = None
    """Of what an imported policy was made, e.g. `stable-baselines3 cartpole.zip`; absent: Belay trained it, or no pod
    read the manifest yet."""
    absent: list[str] | None = None
    """What the artifact says nothing of: `evaluation`, nobody measured the policy; `lineage`, no training of Belay made
    it; `outcomes`, rollouts find out by themselves between what its returns lie. Absent: all of it is there, or no pod
    read the manifest yet."""
    validation: ValidationResult | None = None
    """What came of the gates that were asked last and are answered; the condition Validated says whether the spec asks
    others by now."""
    offline_evaluation: OfflineResult | None = None
    """What logged episodes say, likewise; the condition is EvaluatedOffline."""
    baseline: BaselinePolicy | None = None
    """What `betterThan` of the gates compares with, pinned when it was first there; absent: with no RLPolicy, or there
    is none yet."""


class LoadReport(Model):
    """What the init container of a serving pod found, as JSON in its termination message."""

    model_config = {"extra": "ignore"}

    reason: Literal["Verified", "DigestMismatch", "ArtifactNotFound", "ArtifactInvalid", "StoreUnavailable"]
    """A PolicyReason."""
    message: str = ""
    """For people; for DigestMismatch it names the file, the digest wanted and the digest found."""
    digest: str | None = None
    """`sha256:<hex>` as computed from the bytes found; None: nothing could be read."""
    observation: str | None = None
    """See SignatureStatus."""
    action: str | None = None
    """See SignatureStatus."""
    state: str | None = None
    """See SignatureStatus."""
    outcomes: KnownOutcomes | None = None
    """See KnownOutcomes."""
    imported: str | None = None
    """See RLPolicyStatus."""
    absent: list[str] = Field(default_factory=list)
    """See RLPolicyStatus; empty: nothing is."""
