"""The key of a training job, or of what else has pods of the trainer: the Secret that holds it, and how it is mounted.

It follows from the installation's master key and its owner's uid, so each pass asks for the same Secret. It is made and
neither read nor changed: the operator has no right to read Secrets of any name, which would open every Secret of the
cluster to it. What has the name already is therefore taken for ours. A key that is not ours opens nothing at the
logbook, which derives the right one itself.

A Job made by an earlier version has no key in its template, and a template cannot change. Whether a Job has one is
written on the Job.
"""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

from belay_api import names
from belay_api.job_keys import job_key
from belay_operator import children
from belay_operator.engine.plan import Settings

KEY_ANNOTATION = f"{names.GROUP}/key-secret"  # on the Job: the Secret that its pods mount; absent: they have no key
_UID_DIGITS = 8  # of ours, in names
_DIR, _, _KEY = names.JOB_KEY_FILE.rpartition("/")
_MODE = 0o440  # the group is the pod's `fsGroup`


def secret_name(owner: children.Owner) -> str:
    """Return the name of a job's Secret; a deleted namesake's may outlast it for a while, and is another one."""
    return secret_of(owner.name, owner.uid)


def secret_of(job: str, uid: str) -> str:
    """Return the same for the job of that name and uid."""
    return f"{job}-{uid[:_UID_DIGITS]}-key"


def secrets(owner: children.Owner, settings: Settings, labels: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    """Return the Secret with the key; none where pods have none. Args: labels: Of the Secret, beside those of all."""
    if settings.receipt_master is None:
        return ()
    key = job_key(settings.receipt_master, owner.namespace, owner.uid)
    data = {_KEY: base64.b64encode(key).decode()}
    all_labels = children.child_labels(labels, settings.labels)
    return (owner.child("v1", "Secret", secret_name(owner), all_labels, type="Opaque", immutable=True, data=data),)


def annotations(owner: children.Owner, settings: Settings) -> dict[str, str]:
    """Return what a Job says of its pods' key."""
    return {} if settings.receipt_master is None else {KEY_ANNOTATION: secret_name(owner)}


def settings_of(annotations: Mapping[str, str], settings: Settings) -> Settings:
    """Return the settings for a workload that exists: where its pods have no key, they are given none."""
    keyed = KEY_ANNOTATION in annotations
    return settings if keyed else dataclasses.replace(settings, receipt_master=None)


def volumes(owner: children.Owner, settings: Settings) -> list[dict[str, Any]]:
    """Return the volume that `mounts` mounts. It is not optional: a pod never starts without the key it should have."""
    if settings.receipt_master is None:
        return []
    items = [{"key": _KEY, "path": _KEY}]
    return [{"name": "key", "secret": {"secretName": secret_name(owner), "items": items, "defaultMode": _MODE}}]


def mounts(settings: Settings) -> list[dict[str, Any]]:
    """Return where the trainer finds the key."""
    return [] if settings.receipt_master is None else [{"name": "key", "mountPath": _DIR, "readOnly": True}]
