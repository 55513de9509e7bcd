"""Why Kubernetes' Job controller cannot make a training's pods: the fact `creation`, in the controller's own words.

A quota, a LimitRange or an admission policy that refuses the pods leaves no pod that could say so, and nothing in the
Job's status either. The controller tells it in Events of the Job alone. These are no cached kind, so they are listed:
only in namespaces where a Job has been without any pod for a while, with one call for all Jobs of a namespace.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from belay_api import names
from belay_api.units import parse_instant
from belay_operator.engine.errors import ApiError
from belay_operator.engine.plan import Key
from belay_operator.engine.source import Desk
from belay_operator.pods import shorten

TOPIC = "creation"
REASON = "FailedCreate"
PERIOD_S = 10.0  # between two looks, while a Job is without pods
PATIENCE = timedelta(seconds=3)  # a Job younger than this just waits for its controller
_KIND_NAME = "RLTrainingJob"
_IDLE_S = 60.0  # without a Job nothing is asked; a new one wakes us at once
# The name of a pod that was never made is another one at each try, and every change of words is a write.
_PREFIX = re.compile(r'^Error creating: (pods "[^"]*" is forbidden: )?')

log = logging.getLogger(__name__)

Name = tuple[str, str]  # namespace, RLTrainingJob


class CreationSource:
    """The poller of `creation`."""

    name = TOPIC

    def __init__(self, *, period_s: float = PERIOD_S) -> None:
        self._period_s = period_s
        self._facts: dict[Name, str] = {}

    async def run(self, desk: Desk) -> None:
        """Poll until cancelled."""
        while True:
            waiting = [job for job in desk.all("Job") if _without_pods(job)]
            by_namespace: dict[str, list[Mapping[str, Any]]] = {}
            for job in waiting:
                if desk.now() - parse_instant(job["metadata"]["creationTimestamp"]) >= PATIENCE:
                    by_namespace.setdefault(job["metadata"]["namespace"], []).append(job)
            found: dict[Name, str] = {}
            for namespace, jobs in sorted(by_namespace.items()):
                try:
                    events = await desk.events(namespace, kind="Job", reason=REASON)
                except ApiError as error:
                    log.info("Events of namespace %s cannot be listed (%s); asking again", namespace, error)
                    continue
                found |= failures(jobs, events)
            self._put(desk, found)
            await (asyncio.sleep(self._period_s) if waiting else desk.changed("Job", _IDLE_S))

    def _put(self, desk: Desk, found: Mapping[Name, str]) -> None:
        changed = [name for name in {*found, *self._facts} if found.get(name) != self._facts.get(name)]
        self._facts = dict(found)
        for name in sorted(changed):
            desk.put(TOPIC, *name, found.get(name), wake=[Key(_KIND_NAME, *name)])


def failures(jobs: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]) -> dict[Name, str]:
    """Return the newest words about each Job of which there are any, by the RLTrainingJob it belongs to.

    Args:
        events: Of one namespace, about the creation of pods.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for event in events:
        uid = event["involvedObject"].get("uid", "")
        if uid not in newest or _told_at(event) > _told_at(newest[uid]):
            newest[uid] = event
    found = {}
    for job in jobs:
        meta = job["metadata"]
        training = (meta.get("labels") or {}).get(names.TRAINING_JOB_LABEL)
        if training is not None and meta["uid"] in newest:
            words = _PREFIX.sub("", newest[meta["uid"]].get("message") or "")
            found[meta["namespace"], training] = shorten(words).rstrip(".")
    return found


def _without_pods(job: Mapping[str, Any]) -> bool:
    status = job.get("status") or {}
    ended = any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions") or ())
    return not (ended or status.get("active") or job["spec"].get("suspend") or "deletionTimestamp" in job["metadata"])


def _told_at(event: Mapping[str, Any]) -> str:
    """When an Event was last told, as RFC 3339 text in UTC, which sorts."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


SOURCE = CreationSource()
