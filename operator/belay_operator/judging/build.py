"""The objects of a question: the ConfigMap and the key that its pod mounts, and the Job."""

import json
import math
from collections.abc import Mapping
from typing import Any

from belay_api import names
from belay_operator import children, job_key
from belay_operator.children import Owner
from belay_operator.engine.plan import Ref, Settings
from belay_operator.judging.question import Question
from belay_operator.named_policy import claim_of
from belay_operator.trainer_pod import CONFIG_KEY, CONTAINER, trainer_pod

API_VERSION, KIND = "batch/v1", "Job"
COMMAND = "judge"  # of belay_trainer
_DIGITS = 8  # of the question's hash, and of a uid, in names
_GRACE_S = 30  # nothing is saved: a pod that is asked to go leaves its last word and goes
_NO_TIME = 1  # second: Kubernetes takes no 0
_OF = {"RLRollout": "r"}  # what Jobs of other kinds than an RLPolicy have in their names


def job_name(owner: Owner, question: Question) -> str:
    """Return the name of the question's Job: another question has another Job."""
    letter = "v" if question.validation is not None else "o"
    # An RLPolicy and an RLRollout of one name may ask the same.
    return f"{owner.name}-{_OF.get(owner.kind, '')}{letter}{question.hash[:_DIGITS]}"


def secrets(owner: Owner, settings: Settings) -> tuple[dict[str, Any], ...]:
    """Return the Secret with the key that its pods show the logbook; none where they have none."""
    return job_key.secrets(owner, settings, {})


def config_map(
    owner: Owner, question: Question, settings: Settings, labels: Mapping[str, str], *, gone_with: Ref | None = None
) -> dict[str, Any]:
    """Return the ConfigMap with the pod's `JudgingConfig`.

    Args:
        gone_with: The Job that it is deleted with; None: the owner. Who asks for years leaves none behind so.
    """
    # Without what is the default anyway: a trainer of another version refuses fields that it does not know.
    content = json.dumps(question.config(owner).said(), sort_keys=True)
    all_labels = children.child_labels(labels, settings.labels)
    made = owner.child("v1", "ConfigMap", _config_name(owner, question), all_labels, data={CONFIG_KEY: content})
    if gone_with is not None:
        holder = {"apiVersion": gone_with.api_version, "kind": gone_with.kind, "name": gone_with.name}
        made["metadata"]["ownerReferences"] = [{**holder, "uid": gone_with.uid, "controller": True}]
    return made


def job(owner: Owner, question: Question, settings: Settings, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the Job. Args: labels: Of it and its pod; one of them wakes the owner when the pod changes."""
    asked, all_labels = question.asked, children.child_labels(labels, settings.labels)
    pod = trainer_pod(
        owner,
        asked.runtime,
        settings,
        config=_config_name(owner, question),
        command=[COMMAND],
        artifacts={
            names.INITIAL_DIR: claim_of(question.artifact.uri),
            names.AGAINST_DIR: None if question.against is None else claim_of(question.against.artifact.uri),
            names.BASELINE_DIR: None if question.baseline is None else claim_of(question.baseline.uri),
        },
        grace_s=_GRACE_S,
    )
    spec: dict[str, Any] = {
        "backoffLimit": asked.retries,
        "podFailurePolicy": _POD_FAILURE_POLICY,
        "podReplacementPolicy": "Failed",
        "template": {"metadata": {"labels": all_labels}, "spec": pod},
    }
    if asked.deadline is not None:
        spec["activeDeadlineSeconds"] = max(1, math.ceil(asked.deadline.total_seconds()))
    return owner.child(API_VERSION, KIND, job_name(owner, question), all_labels, spec=spec)


def job_without_time(
    owner: Owner, question: Question, settings: Settings, labels: Mapping[str, str], *, held: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the Job as it is, but that its time is up: so it ends its pods and makes no other. Hardly more may change.

    Args:
        held: Its spec.
    """
    spec = {**held, "activeDeadlineSeconds": _NO_TIME}
    all_labels = children.child_labels(labels, settings.labels)
    return owner.child(API_VERSION, KIND, job_name(owner, question), all_labels, spec=spec)


def is_without_time(spec: Mapping[str, Any]) -> bool:
    """Whether a Job's spec is what `job_without_time` makes of it."""
    return bool(spec.get("activeDeadlineSeconds") == _NO_TIME)


def _exits(action: str, code: int) -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [code]}}


_POD_FAILURE_POLICY = {
    "rules": [
        _exits("FailJob", names.EXIT_BAD_CONFIG),  # first match wins: a refusal is none of a node that is drained
        _exits("Ignore", names.EXIT_INTERRUPTED),  # deleted by hand, say, which Kubernetes calls no disruption
        # An eviction by the kubelet carries the same condition, and is counted by `standing`.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
}


def _config_name(owner: Owner, question: Question) -> str:
    """It is nobody else's: a deleted namesake's may outlast its Job for a while, and pods would read a foreign one."""
    return f"{job_name(owner, question)}-{owner.uid[:_DIGITS]}"
