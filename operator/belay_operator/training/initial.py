"""What a training begins with and what its gates compare with: RLPolicies of its namespace, pinned once the job starts.

    spec.initFrom ──────────────────────────▶ status.initial
    spec.gates[].performance.betterThan ────▶ status.baseline

Until all that it names is there, nothing is started.
"""

from belay_api.gates import baseline
from belay_api.init_from import InitialPolicy
from belay_api.policy import BaselinePolicy
from belay_api.training import RLTrainingJobSpec, RLTrainingJobStatus
from belay_operator.named_policy import Named

INIT_FROM, BETTER_THAN = "spec.initFrom.policy", "spec.gates: performance: betterThan"


def waits_for(spec: RLTrainingJobSpec, status: RLTrainingJobStatus) -> dict[str, str]:
    """Return the names of the RLPolicies that are still to be pinned, by the field that names each."""
    names = {}
    if spec.init_from is not None and spec.init_from.policy is not None and status.initial is None:
        names[INIT_FROM] = spec.init_from.policy
    if (beside := baseline(spec.gates)) is not None and status.baseline is None:
        names[BETTER_THAN] = beside
    return names


def pinned(spec: RLTrainingJobSpec, status: RLTrainingJobStatus, policy: Named | None) -> InitialPolicy | None:
    """Return what the seeds begin with; None: nothing, or it is not known yet."""
    asked = spec.init_from
    if status.initial is not None or asked is None:
        return status.initial
    if asked.artifact is not None:
        return InitialPolicy(uri=asked.artifact.uri, digest=asked.artifact.digest)
    found = policy.found if policy is not None else None
    return None if found is None else InitialPolicy(policy=asked.policy, uri=found.uri, digest=found.digest)


def pinned_baseline(status: RLTrainingJobStatus, policy: Named | None) -> BaselinePolicy | None:
    """Return what gates compare with; None: no RLPolicy, or it is not known yet."""
    found = policy.found if policy is not None else None
    if status.baseline is not None or policy is None or found is None:
        return status.baseline
    return BaselinePolicy(policy=policy.name, uri=found.uri, digest=found.digest)
