"""Messages on the wire: serving protocol and logbook API, version 1. All JSON, camelCase, batch first.

Serving (any runtime): `POST /predictions/policy` with a `Prediction` or a list of them; see handlers/README.md.

Logbook, every path below `/v1`; callers inside the cluster send their projected service account token (audience
`belay-logbook`) as Bearer, which must belong to a service account of that namespace; outside ones an API key as Bearer.
Training pods prove in `names.PROOF_HEADER` that they have their job's key, see `job_keys.py`: progress and checkpoints
are their job's, and only they upload. The operator's own service account may read and write every namespace.

    POST   /namespaces/{ns}/progress                 Batch[RunProgress] -> BatchResult         training pods
    GET    /progress?since=CURSOR&wait=SECONDS       -> ProgressPage                           operator, long-poll
    GET    /namespaces/{ns}/curves/{uid}?metric=return&points=200
                                                     -> Curves                                 people, by the CLI
    POST   /namespaces/{ns}/starts                   Batch[EpisodeStart] -> BatchResult        serving pods
    POST   /namespaces/{ns}/outcomes                 Batch[EpisodeOutcome] -> BatchResult      clients
    GET    /namespaces/{ns}/statistics?versions=A,B&rollout=R&outcome=return&window=60&grace=60&since=RFC3339
                                      &cuts=RFC3339,RFC3339&wait=S&etag=E
                                                     -> Statistics                             operator, long-poll
    POST   /namespaces/{ns}/shadows                  Batch[ShadowDecision] -> BatchResult      serving pods, sealed
    GET    /namespaces/{ns}/shadows?rollout=R&step=S&candidate=A&stable=B
                                                     -> ShadowReport                           operator
    HEAD   /namespaces/{ns}/blobs/{hex}              -> 200 + Upload-Offset (complete: Content-Length) or 404
    PATCH  /namespaces/{ns}/blobs/{hex}              append from Upload-Offset; 409 + Upload-Offset when it differs;
                                                     201 when complete and the sha256 fits, 422 when it does not
    GET    /namespaces/{ns}/blobs/{hex}              bytes, Range allowed
    GET    /namespaces/{ns}/checkpoints/{uid}/{index}           -> CheckpointList, newest step first
    PUT    /namespaces/{ns}/checkpoints/{uid}/{index}/{step}    CheckpointRef; the blob must be complete
    DELETE /namespaces/{ns}/checkpoints/{uid}/{index}/{step}
    POST   /namespaces/{ns}/journals/{uid}           JournalLines -> JournalPage without lines  pods of a search
    GET    /namespaces/{ns}/journals/{uid}?from=N    -> JournalPage: lines N, N + 1, …
    DELETE /namespaces/{ns}/journals/{uid}
    GET    /jobs                                     -> KeptJobs                               operator
    GET    /writable                                 -> 204, or 503 and why nothing can be recorded    operator
    DELETE /namespaces/{ns}/jobs/{uid}               what only the job's own pods use          operator
    GET    /healthz, /readyz, /metrics               open

Sizes travel in the header `Upload-Length` of the first PATCH. A request as a whole is refused only when nothing in it
can be taken: 400 (malformed), 401 (no or unknown credentials), 403 (not yours; or every receipt forged), 404, 413, 422.
"""

from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, field_validator

from belay_api.findings import MOST_FINDINGS, Finding
from belay_api.model import Model
from belay_api.search import SearchStatus
from belay_api.units import Instant

API_PREFIX = "/v1"
MAX_BATCH = 10_000

Item = TypeVar("Item", bound=Model)


# --- serving ----------------------------------------------------------------------------------------------------------
class Prediction(Model):
    """One observation to act on. Unknown keys are refused: a misspelt `episode` would lose the episode."""

    observation: Any
    """Nested lists of numbers in the shape of the policy's observation space; of a dict an object with the same keys,
    of a tuple a list of its parts."""
    episode: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Id of the episode, chosen by the client; unset: the decision belongs to none and cannot be judged."""
    step: Annotated[int, Field(ge=0)] | None = None
    """Timestep within the episode; 0 starts it. Unset with an episode: 0."""
    deterministic: bool = True
    """True: the best action; false: sampled, where the policy has more than one for an observation (`belay_heads`)."""
    mask: list[int | bool] | None = None
    """Which actions are allowed now, 0 or 1 for each: needed by a policy that was trained with masks, and taken by no
    other. Of several choices at once those of the first, then those of the second, and so on."""
    state: str | None = None
    """What the answer to the episode's decision before this one had as `state`, unchanged. Unset: the policy remembers
    nothing of the episode, as at its beginning. One that another version gave is answered 409."""


class Action(Model):
    """One answer. The same position in the list as its observation."""

    action: Any
    """A number for Discrete, else nested lists in the shape of the action space."""
    policy: str
    """Name of the RLPolicy that acted."""
    receipt: str | None = None
    """Proof of this decision; absent without an episode."""
    state: str | None = None
    """Of a policy that remembers: send it back with the episode's next decision. What it holds is the policy's own."""
    fallback: bool = False
    """True: not the policy but a safe default acted (set by the client library)."""


class ErrorBody(Model):
    """The one shape of every error, of the serving pods (per item) and of the logbook."""

    status: int
    """HTTP status."""
    message: str
    """Which field, seen and wanted, and what to do."""
    field: str | None = None
    """Path of the field at fault, e.g. `items[3].observation`."""


class ErrorAnswer(Model):
    """An error as it is answered."""

    error: ErrorBody


# --- logbook ----------------------------------------------------------------------------------------------------------
class Batch(Model, Generic[Item]):
    """Several messages at once; each is taken or refused for itself."""

    items: Annotated[list[Item], Field(max_length=MAX_BATCH)]


class Refusal(Model):
    """One message that was not taken."""

    index: int
    """Its place in the batch."""
    error: ErrorBody


class BatchResult(Model):
    """What became of a batch."""

    accepted: int
    """Taken, those already known included."""
    refused: list[Refusal] = Field(default_factory=list)
    """The others."""


class SeedProgress(Model):
    """How far the training of one seed is, and how well it does."""

    job: str
    """Name of the RLTrainingJob."""
    uid: str
    """Its uid."""
    index: int
    """Completion index."""
    seed: int
    """Seed."""
    attempt: int = 1
    """Attempt of the job."""
    step: Annotated[int, Field(ge=0)]
    """Timesteps done."""
    total: int
    """Timesteps asked for."""
    best_return: float | None = None
    """Best mean evaluation return so far."""
    steps_per_second: float | None = None
    """Timesteps per second of training."""
    resumed_from: int | None = None
    """Timestep of the checkpoint the pod resumed from."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """The algorithm's own numbers at this step."""
    findings: Annotated[list[Finding], Field(max_length=MOST_FINDINGS)] | None = None
    """What the diagnosis finds now, the first one first; None: nothing."""
    obstacle: Annotated[str, Field(max_length=1024)] | None = None
    """What stands between the pod and its store; it goes on by itself once that is gone. None: nothing."""
    search: SearchStatus | None = None
    """How far the search is, told by one of its pods: then `index` is the pod's, and steps are trials. None: a seed."""


class RunEvaluation(Model):
    """What an evaluation during training gave."""

    step: Annotated[int, Field(ge=0, lt=1 << 63)]
    """Timestep of the policy that was evaluated."""
    mean: float
    """Mean return."""
    std: float
    """Standard deviation of the returns over episodes."""
    episodes: Annotated[int, Field(ge=1, lt=1 << 63)]
    """Greedy episodes."""


class RunProgress(SeedProgress):
    """A training pod's heartbeat. A repeated or older step changes nothing, unless a later pod of the seed tells it, or
    another obstacle. One of step 0 with an obstacle is of a pod that waits to begin: it does not know yet how far its
    seed is, so what was told of that stays."""

    life: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Any text that the process chose anew when it began: tells its heartbeats from those of the seed's earlier pods,
    which may have begun at the same checkpoint. None: they are told apart by `attempt` and `resumed_from` alone."""
    evaluations: Annotated[list[RunEvaluation], Field(max_length=100)] = Field(default_factory=list)
    """Evaluations to add to the curve; one that was told before changes nothing."""


class RunProgressRecord(SeedProgress):
    """The newest heartbeat of a seed as recorded. What only the curves need of it stays out: the operator reads all."""

    namespace: str
    """Namespace of the job."""
    at: Instant
    """When the logbook received it."""


class ProgressPage(Model):
    """The newest heartbeat of every run that changed since the cursor; of very many, the first ones."""

    items: list[RunProgressRecord]
    cursor: str
    """Give it back as `since`; opaque."""


class Curve(Model):
    """How one metric of one seed went, in the order of timesteps. The three lists are equally long."""

    index: int
    """Completion index."""
    steps: list[int]
    """Timesteps."""
    at: list[Instant]
    """When the logbook heard of each."""
    values: list[float]


class Curves(Model):
    """The answer about one metric of a training."""

    metric: str
    metrics: list[str]
    """All that the training has told of."""
    items: list[Curve]
    """By index; an index that has told nothing of the metric is not there."""


class EpisodeStart(Model):
    """The receipt of an episode's first decision, told by the serving pod that made it."""

    receipt: str


class EpisodeOutcome(Model):
    """What became of an episode. Of each outcome the first report counts: what a further one repeats changes nothing,
    and what only that one tells (a purchase a week later) has the time at which it arrived."""

    receipt: str
    """Receipt of the episode's first decision: says which version, when and for which rollout."""
    outcomes: Annotated[dict[str, float], Field(min_length=1, max_length=64)]
    """By name: `return` (undiscounted), `length` (timesteps), `violations` (count), `success` (0 or 1), or custom."""
    moved: bool = False
    """True: the episode was taken over by another version; it counts for neither side."""

    @field_validator("outcomes")
    @classmethod
    def _binary(cls, outcomes: dict[str, float]) -> dict[str, float]:
        if (success := outcomes.get("success", 0.0)) not in (0.0, 1.0):
            raise ValueError(f"success is {success:g}, wanted 0 or 1; report a share under another name")
        return outcomes


class LevelStatistics(Model):
    """Sufficient statistics of those counted episodes of which a critic expected alike."""

    level: int
    """Which fifth of the critic's values, 0 (worst) to 4."""
    count: int
    """At least 1."""
    mean: float
    m2: float
    min: float
    max: float


class CovariateStatistics(Model):
    """What was foreseen of the counted episodes, before their first action."""

    baseline: str
    """Hex digest of the artifact whose critic judged their first observations."""
    levels: list[LevelStatistics]
    """Ascending; those with episodes. Together they hold every counted episode."""


class WindowStatistics(Model):
    """Sufficient statistics of one version's episodes that started in one window, at least `grace` ago."""

    start: Instant
    """Start of the window; windows are aligned to the epoch, and another begins wherever the caller cuts."""
    count: int
    """Episodes that ended (were reported) within grace of their start and carry the outcome."""
    missing: int
    """Episodes that did not."""
    late: int = 0
    """Of the missing, those that were reported with the outcome, but after grace: not lost. Many of them in most
    windows mean that grace is shorter than an episode."""
    mean: float | None = None
    """Mean outcome of the counted; None: count is 0."""
    m2: float = 0.0
    """Sum of squared deviations from the mean."""
    min: float | None = None
    max: float | None = None
    covariate: CovariateStatistics | None = None
    """None: a counted episode is without, or judged by another critic than the rest."""


class EarlierStatistics(Model):
    """Sufficient statistics of the last episodes that started before the first window and count, at most 100."""

    count: int
    """At least 1."""
    mean: float
    m2: float
    min: float
    max: float
    covariate: CovariateStatistics | None = None
    """As in a window."""


class VersionStatistics(Model):
    """One version's windows, oldest first."""

    version: str
    windows: list[WindowStatistics]
    moved: int = 0
    """Episodes that counted for neither side."""
    longest: float | None = None
    """Longest time in seconds from an episode's start to the report that told the outcome, or else to its first:
    `grace` should exceed it."""
    earlier: EarlierStatistics | None = None
    """What is known from before `since`; None: nothing, or the logbook is of an older version."""


class Statistics(Model):
    """The answer to one look."""

    outcome: str
    at: Instant
    """The logbook's clock at the look; episodes that started before `at - grace` were counted."""
    etag: str
    """Changes when the numbers do; give it back to wait for news."""
    versions: list[VersionStatistics]


class NotCompared(StrEnum):
    """Why a decision cannot be compared with the other side's of the same request."""

    SAMPLED = "Sampled"
    """It was drawn (`deterministic: false`): two draws differ by chance."""
    STATE = "State"
    """It needs a memory of the episode, and the request carries none that this version can read."""
    SPACE = "Space"
    """The two versions have other action spaces."""
    LARGE = "Large"
    """An action has too many numbers to tell of."""


class ShadowDecision(Model):
    """What one version decided about one request of a step `shadow`, told by the pod that decided."""

    rollout: Annotated[str, Field(max_length=253)]
    """Whose route the request came through."""
    step: Annotated[str, Field(max_length=16)]
    """Which step of it, as the route says."""
    candidate: Annotated[str, Field(max_length=63)]
    """Whose decisions answer nobody in it."""
    version: Annotated[str, Field(max_length=63)]
    """Who decided."""
    request: Annotated[str, Field(min_length=1, max_length=128)] | None
    """The gateway's id of the request; None: it sends none, so nothing can be joined."""
    item: Annotated[int, Field(ge=0, lt=MAX_BATCH)] = 0
    """Place in the request's list."""
    depth: Annotated[int, Field(ge=0, le=32)] = 0
    """The pod tells of ids of this depth and more."""
    seconds: Annotated[float, Field(ge=0)]
    """What deciding took, without the wait for it."""
    status: int
    """As the item is answered; of a mirror, as it would be."""
    episode: Annotated[str, Field(max_length=128)] | None = None
    """As the client calls it."""
    space: Annotated[str, Field(max_length=16)] = ""
    """Tells one action space from another."""
    choice: Annotated[str, Field(max_length=64)] | None = None
    """The action of a space of choices, as text."""
    numbers: Annotated[list[float], Field(max_length=64)] | None = None
    """The action of a space of numbers, flat: from 0 to 1 between the space's bounds (`ranged`), or as it is."""
    ranged: bool = False
    """Whether every number has bounds."""
    not_compared: NotCompared | None = None
    """None: it can be compared."""


class ShadowCell(Model):
    """How often the two sides chose so."""

    stable: str
    candidate: str
    pairs: int


class ShadowEpisodes(Model):
    """Episodes of which the pairs differ alike."""

    difference: float
    """The mean over an episode's pairs, in thousandths, 0 to 1."""
    count: int


class ShadowSide(Model):
    """One side's decisions."""

    told: int
    """Decisions that its pods told of."""
    failed: int = 0
    """Of those joined with the other side's, the ones answered with an error."""
    p50: float | None = None
    """Seconds, over those joined; None: there is none."""
    p99: float | None = None


class ShadowReport(Model):
    """What is known of a step `shadow`."""

    stable: ShadowSide
    candidate: ShadowSide
    unnamed: int = 0
    """Decisions about requests without an id; nothing can be joined with them."""
    asked: int = 0
    """Of stable's decisions, those that the candidate's pods would have told of as well, had they got the request."""
    answered: int = 0
    """Of `asked`, those that they told of."""
    pairs: int = 0
    """Decisions of both sides that can be compared. Where stable acts and the candidate fails, they differ in full."""
    not_compared: dict[NotCompared, int] = Field(default_factory=dict)
    """Of those joined, by why they cannot be."""
    scale: Annotated[str, Field(pattern="^(choice|range|std)$")] | None = None
    """What a difference is: 1 where the choice is another one; the mean share of the action's range; the mean number of
    standard deviations of stable's actions, up to `STD_CAP`, as a share of that. None: there is no pair."""
    difference: float | None = None
    """Mean over episodes."""
    episodes: list[ShadowEpisodes] = Field(default_factory=list)
    """All episodes with pairs. Pairs without an episode are one each minute, for who sent them cannot be told apart."""
    cells: list[ShadowCell] = Field(default_factory=list)
    """Of choices: the most frequent first, at most 64."""


STD_CAP = 5.0
"""Standard deviations from which on a difference is not told to be larger."""


class CheckpointRef(Model):
    """A checkpoint in the built-in store."""

    step: int
    """Timestep."""
    sha256: str
    """Hex digest of the blob."""
    size: int
    """Bytes."""


class CheckpointList(Model):
    """A seed's checkpoints, newest step first."""

    items: list[CheckpointRef]


class JournalLines(Model):
    """Lines to append to the journal of a search, all of them or none."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    """Any text of the caller's for these very lines: sent again they change nothing."""
    lines: Annotated[list[Annotated[str, Field(max_length=65536)]], Field(min_length=1, max_length=1000)]
    """What they say is the caller's."""


class JournalPage(Model):
    """Lines of a journal in the order in which they were appended, which is the same for everybody."""

    lines: list[str]
    """At most 1,000: ask again from `next` on."""
    next: int
    """Number of the line after the last of these; numbers begin at 0."""
    end: int
    """Number of the line that will be appended next."""


class KeptJob(Model):
    """A training job of which the logbook keeps what only its own pods use."""

    namespace: str
    """Of the RLTrainingJob."""
    uid: str
    """Its uid."""


class KeptJobs(Model):
    """All jobs with checkpoints, or of which a pod has shown the key, by namespace and uid."""

    items: list[KeptJob]


class ApiKey(Model):
    """One entry of the logbook's key file: a JSON list of these, in the Secret that `logbook.apiKeysSecret` names."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a key written here by mistake must not reach the log

    name: str
    """For logs and audits."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
    """Hex digest of the key itself, which nobody stores."""
    namespace: str
    """The namespace it may write outcomes to and read statistics of."""
    role: Literal["client"] = "client"
    """What it may do."""
