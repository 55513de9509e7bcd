"""Names that two rooms must spell alike: group, labels, annotations, environment variables, paths, ports.

A name used by one room alone belongs in that room.
"""

GROUP = "belay.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "rl"

# --- labels and annotations -------------------------------------------------------------------------------------------
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "belay"  # server-side selectors of all child kinds ask for it
FIELD_MANAGER = "belay-operator"
FAMILY_LABEL = f"{GROUP}/family"
TRAINING_JOB_LABEL = f"{GROUP}/training-job"
POLICY_LABEL = f"{GROUP}/policy"
ROLLOUT_LABEL = f"{GROUP}/rollout"
JUDGED_POLICY_LABEL = f"{GROUP}/judged-policy"
"""On Jobs and pods that judge a policy: its name. Not `POLICY_LABEL`, by which a Service finds the pods that serve."""
ATTEMPT_LABEL = f"{GROUP}/attempt"
CLOSED_LABEL = f"{GROUP}/closed"  # a Service that selects this label selects no pod: a closed endpoint
COMMAND_ANNOTATION = f"{GROUP}/command"  # "<action>@<id>", executed once per id

# --- files and environment of a training pod --------------------------------------------------------------------------
JOB_FILE = "/etc/belay/job.json"
"""A `TrainingConfig`, or a `JudgingConfig`, as JSON, mounted from a ConfigMap."""
JOB_KEY_FILE = "/etc/belay-key/key"
"""The key of its owner, 32 bytes (`job_keys.job_key`), from a Secret; absent where an earlier version made the Job. Not
below the ConfigMap's folder: a volume cannot be mounted into another one that is read-only."""
INDEX_ENV = "JOB_COMPLETION_INDEX"  # set by the Job controller
WORK_DIR = "/var/lib/belay"  # emptyDir: scratch, and checkpoints that wait for a lost store
PVC_DIR = "/store"  # where `storage.pvc` is mounted, in training (rw) and serving (ro) pods
CODE_DIR = "/code"  # where `runtime.code` is mounted, read-only; not for git, which the trainer fetches
GIT_CREDENTIALS_DIR = "/etc/belay-git"  # `username` and `password`, from the Secret in `runtime.code.git.credentials`
AGAINST_DIR = "/against"  # a claim with the artifact that a judged policy is compared with, read-only
BASELINE_DIR = "/baseline"  # a claim with the artifact that gates compare with, read-only
INITIAL_DIR = "/initial"  # a claim with an artifact, read-only: of `initFrom`, or of the policy that is judged
DATA_DIR = "/data"  # each claim of `runtime.data` read-only, by its name
TERMINATION_LOG = "/dev/termination-log"
EXIT_DONE = 0
EXIT_BAD_CONFIG = 3  # fails the job
EXIT_DIVERGED = 4  # fails that seed
EXIT_INTERRUPTED = 143  # asked to go, and saved: costs no retry. 128 + SIGTERM, as a process that the signal killed

# --- files and environment of any pod of ours -------------------------------------------------------------------------
LOGBOOK_URL_ENV = "BELAY_LOGBOOK_URL"  # http://belay-logbook.<namespace>.svc:8600; unset: no logbook
TOKEN_FILE = "/var/run/belay/token"  # projected service account token
TOKEN_AUDIENCE = "belay-logbook"
PROOF_HEADER = "x-belay-proof"
"""Request header to the logbook: that a training pod holds its job's key, see `job_keys.prove`."""
POLICY_ENV = "BELAY_POLICY"  # the version's name, as answered in `x-belay-policy`
NAMESPACE_ENV = "BELAY_NAMESPACE"

# --- serving ----------------------------------------------------------------------------------------------------------
MODEL_NAME = "policy"  # in every serving pod: POST /predictions/policy; routes rewrite their public path to it
ARTIFACT_DIR = "/models/artifact"  # the init container fills and verifies it
RECEIPT_SECRET = "belay-receipt-key"  # one per namespace, key `key`: 32 bytes, see receipts.namespace_key
RECEIPT_MASTER_SECRET = "belay-receipt-master"
"""In the system namespace, key `key`: 32 random bytes. Another name, or a policy served there would overwrite it."""
RECEIPT_KEY_FILE = "/etc/belay/receipt/key"
POLICY_HEADER = "x-belay-policy"
RECEIPT_HEADER = "x-belay-receipt"
ROLLOUT_HEADER = "x-belay-rollout"
"""Request header, set by a rollout's route over whatever the client sends: the name of the RLRollout."""
BASELINE_HEADER = "x-belay-baseline"
"""Request header, set by a rollout's route likewise: hex digest of the artifact whose critic is to be asked of the
observation of an episode's first decision."""
SHADOW_HEADER = "x-belay-shadow"
"""Request header, set by a rollout's route likewise while a step `shadow` is under way, and taken off at all other
times: whose decisions answer nobody, and in which step; see `shadowing`."""
USER_HEADER = "x-belay-user"
"""Request header, set by the client with an episode's first decision: the user's number, see `users`."""
USER_TENS_HEADER = "x-belay-user-tens"
"""Request header, set by the client likewise: the last digit but one of that number. The route of a rollout that
assigns users goes by this and the next."""
USER_ONES_HEADER = "x-belay-user-ones"
"""Request header, set by the client likewise: the last digit of that number."""
REQUEST_ID_HEADER = "x-request-id"
"""Request header, made by the gateway: the same of a request and of its mirror."""
SEAL_HEADER = "x-belay-seal"
"""Request header to the logbook: that a batch was written by a serving pod of the namespace, see `shadowing.seal`."""
SERVING_PORT = 8080
METRICS_PORT = 8083
"""The handler's own exporter, GET /metrics, Prometheus text: `belay_requests_total`, `belay_request_errors_total`
(5xx answers), `belay_request_seconds` (histogram), each with label `policy`. Probes are not counted."""
LOGBOOK_PORT = 8600
