"""The children of a training job, whatever runs its pods: their ConfigMap, themselves, the policy of the best seed."""

import json
import math
from collections.abc import Mapping
from typing import Any

from belay_api import names
from belay_api.content import edit_hash, frozen, spec_hash
from belay_api.policy import ArtifactSpec, LineageSpec, RLPolicySpec
from belay_api.searched import with_settings
from belay_api.training import ArtifactRef, BestSeed, PublishSpec, RLTrainingJobSpec, TrainingConfig
from belay_operator import children, job_key, named_policy
from belay_operator.trainer_pod import CONFIG_KEY, trainer_pod
from belay_operator.training.observed import Observed

EDIT_ANNOTATION = f"{names.GROUP}/edit"  # on what runs the pods: hash of the editable part of the spec it was made of
_UID_DIGITS = 8  # of ours, in names
_NAME_DIGITS = (6, 12)  # of the digest in a policy's name; more only where six are taken by other bytes


def workload_name(job: str, attempt: int, *, searching: bool = False) -> str:
    """Return the name of the object that runs an attempt's pods. Args: searching: Those of its search."""
    return f"{job}-{'s' if searching else 'a'}{attempt}"


def config_name(observed: Observed) -> str:
    """Return the name of the ConfigMap that an attempt's pods read.

    It is nobody else's: a deleted namesake's may outlast its workload for a while, and pods would read a foreign one.
    """
    name = workload_name(observed.owner.name, observed.attempt, searching=observed.searching)
    return f"{name}-{observed.owner.uid[:_UID_DIGITS]}"


def trained_spec(observed: Observed) -> RLTrainingJobSpec:
    """Return the spec that pods read: after a search, the one that its best settings make of the user's."""
    search, spec = observed.status.search, frozen(observed.spec)
    if observed.spec.search is None or observed.searching or search is None or search.best is None:
        return spec
    return with_settings(spec, search.best.settings)


def config_hash(observed: Observed) -> str:
    """Return the hash of the spec that pods read."""
    if observed.spec.search is not None:
        return spec_hash(trained_spec(observed))
    return observed.status.template_hash or spec_hash(observed.spec)


def config_map(observed: Observed) -> dict[str, Any]:
    """Return the ConfigMap with the pods' `TrainingConfig`."""
    owner = observed.owner
    config = TrainingConfig(
        namespace=owner.namespace,
        job=owner.name,
        uid=owner.uid,
        attempt=observed.attempt,
        spec=trained_spec(observed),
        config_hash=config_hash(observed),
        initial=observed.initial,
        baseline=observed.baseline,
    )
    return owner.child(
        "v1",
        "ConfigMap",
        config_name(observed),
        _labels(observed),
        # Without what is the default anyway: a trainer of another version refuses fields that it does not know.
        data={CONFIG_KEY: json.dumps(config.said(), sort_keys=True)},
    )


def keys(observed: Observed) -> tuple[dict[str, Any], ...]:
    """Return the Secret with the job's key; none where its pods have no key."""
    return job_key.secrets(observed.owner, observed.settings, {names.TRAINING_JOB_LABEL: observed.owner.name})


def workload_object(observed: Observed, api_version: str, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object that runs the attempt's pods."""
    name = workload_name(observed.owner.name, observed.attempt, searching=observed.searching)
    made = observed.owner.child(api_version, kind, name, _labels(observed), spec=spec)
    # One that exists keeps what it says of itself: it was made of the spec as it was then.
    edit = (
        edit_hash(observed.spec) if not observed.workload.exists else observed.workload.annotations.get(EDIT_ANNOTATION)
    )
    annotations = job_key.annotations(observed.owner, observed.settings)
    if edit is not None:
        annotations[EDIT_ANNOTATION] = edit
    if annotations:
        made["metadata"]["annotations"] = annotations
    return made


def is_edited(annotations: Mapping[str, str], spec: RLTrainingJobSpec) -> bool:
    """Whether what runs the pods was made of another spec; never so of one that an earlier version made.

    Args:
        annotations: Of the object.
    """
    return annotations.get(EDIT_ANNOTATION, edit_hash(spec)) != edit_hash(spec)


def pod_template(observed: Observed) -> dict[str, Any]:
    """Return the template of a pod that trains."""
    return {"metadata": {"labels": _labels(observed)}, "spec": _pod(observed)}


def policy_name(family: str, digest: str, taken: Mapping[str, str]) -> str:
    """Return the name of the policy with that digest.

    Args:
        taken: Digest by name of the policies that exist.
    """
    digits = digest.removeprefix("sha256:")
    names_ = [f"{family}-{digits[:length]}" for length in _NAME_DIGITS]
    return next((name for name in names_ if taken.get(name, digest) == digest), names_[-1])


def policy(observed: Observed, publish: PublishSpec, name: str, best: BestSeed) -> dict[str, Any]:
    """Return the RLPolicy of the best seed. It has no owner: a policy in service outlives the job that made it."""
    spec = RLPolicySpec(
        artifact=_artifact(best.artifact),
        lineage=LineageSpec(
            training_job=observed.owner.name,
            uid=observed.owner.uid,
            seed=best.seed,
            step=best.step,
            config_hash=config_hash(observed),
            image=best.image,
        ),
        serving=publish.serving,
    )
    labels = {names.FAMILY_LABEL: publish.family, names.TRAINING_JOB_LABEL: observed.owner.name}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "RLPolicy",
        "metadata": {
            "name": name,
            "namespace": observed.owner.namespace,
            "labels": children.child_labels(labels, observed.settings.labels),
        },
        "spec": spec.dump(),
    }


def _artifact(ref: ArtifactRef) -> ArtifactSpec:
    return ArtifactSpec(uri=ref.uri, digest=ref.digest)


def _labels(observed: Observed) -> dict[str, str]:
    mine = {names.TRAINING_JOB_LABEL: observed.owner.name, names.ATTEMPT_LABEL: str(observed.attempt)}
    return children.child_labels(mine, observed.settings.labels)


def _pod(observed: Observed) -> dict[str, Any]:
    return trainer_pod(
        observed.owner,
        observed.spec.runtime,
        observed.settings,
        config=config_name(observed),
        store=claim_of(observed.spec),
        artifacts={
            names.INITIAL_DIR: named_policy.claim_of(observed.initial.uri if observed.initial is not None else None),
            names.BASELINE_DIR: named_policy.claim_of(observed.baseline.uri if observed.baseline is not None else None),
        },
        grace_s=math.ceil(observed.spec.checkpoint.grace.total_seconds()),
    )


def claim_of(spec: RLTrainingJobSpec) -> str | None:
    """Return the claim that checkpoints lie on; None: they lie in the built-in store."""
    return None if spec.storage.pvc is None else spec.storage.pvc.claim
