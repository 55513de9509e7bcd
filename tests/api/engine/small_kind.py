"""A kind small enough to see the engine through it: one RLTrainingJob becomes one ConfigMap and one suspended Job.

Recorded first: `status.phase` Running; the Job's completion ends it: phase Succeeded, and never a call again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api import names
from belay_operator.engine.change import Change
from belay_operator.engine.kind import Kind, Priority, Reader
from belay_operator.engine.plan import EMPTY, Key, Note, Plan, Settings


@dataclass(frozen=True)
class Observed:
    """The object and its child."""

    obj: Mapping[str, Any]
    job: Mapping[str, Any] | None
    command: str | None  # annotation `test/command`: what the test wants to happen


def observe(obj: Mapping[str, Any], reader: Reader, settings: Settings) -> Observed:
    """Read the child. Raises: ValueError on request of a test."""
    meta = obj["metadata"]
    command = (meta.get("annotations") or {}).get("test/command")
    if command == "malformed":
        raise ValueError("spec.algorithm: not understood; correct it")
    if command == "bug":
        raise RuntimeError("a bug in observe")
    job = reader.get("Job", meta["namespace"], f"{meta['name']}-a1")
    return Observed(obj, job, command)


def decide(observed: Observed, now: datetime) -> Plan:
    """Return what is missing."""
    meta = observed.obj["metadata"]
    status = observed.obj.get("status") or {}
    if status.get("phase") == "Succeeded":
        return EMPTY
    succeeded = observed.job is not None and (observed.job.get("status") or {}).get("succeeded") == 1
    phase = "Succeeded" if succeeded else "Running"
    if observed.command == "churn":
        return Plan(status={"phase": "Running", "startedAt": f"{now:%FT%T.%fZ}"})
    ready = {
        "type": "Ready",
        "status": "True" if succeeded else "False",
        "reason": phase,
        "message": "",
        "observedGeneration": meta["generation"],
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    note = (Note("TrainingSucceeded", "done"),) if succeeded else ()
    return Plan(
        status={"observedGeneration": meta["generation"], "phase": phase, "conditions": [ready]},
        apply=(_config(observed.obj), _job(observed.obj)),
        events=note,
    )


def invalid(obj: Mapping[str, Any], message: str, now: datetime) -> Plan:
    """Say what is wrong."""
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": "InvalidSpec",
        "message": message,
        "observedGeneration": obj["metadata"]["generation"],
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return Plan(status={"observedGeneration": obj["metadata"]["generation"], "conditions": [ready]})


def _owned(obj: Mapping[str, Any], name: str) -> dict[str, Any]:
    meta = obj["metadata"]
    owner = {"apiVersion": names.API_VERSION, "kind": obj["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {"name": name, "namespace": meta["namespace"], "ownerReferences": [{**owner, "controller": True}]}


def _config(obj: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{obj['metadata']['name']}-a1"
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _owned(obj, name), "data": {"job.json": "{}"}}


def _job(obj: Mapping[str, Any]) -> dict[str, Any]:
    container = {"name": "trainer", "image": "none", "resources": {"requests": {"cpu": "1000m"}}}  # normalised to "1"
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"suspend": True, "completions": 1, "template": template}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _owned(obj, f"{obj['metadata']['name']}-a1"),
        "spec": spec,
    }


def related(change: Change, reader: Reader) -> Iterable[Key]:
    return ()


KIND = Kind(
    name="RLTrainingJob",
    plural="rltrainingjobs",
    observe=observe,
    decide=decide,
    invalid=invalid,
    priority=lambda obj, reader: Priority.REST,
    related=related,
)
