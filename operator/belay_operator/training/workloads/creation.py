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
from belay_operator.engine.source import PollerContext
from belay_operator.pods import shorten

TOPIC = "creation"
REASON = "FailedCreate"
PERIOD_S = 10.0  # between two looks, while a Job is without pods
PATIENCE = timedelta(seconds=3)  # a Job younger than this just waits for its controller
_KIND_NAME = "RLTrainingJob"
# The name of a pod that was never made is another one at each try, and every change of words is a write.
_PREFIX = re.compile(r'^Error creating: (pods "[^"]*" is forbidden: )?')

log = logging.getLogger(__name__)

Name = tuple[str, str]  # a namespace, and an object in it


class CreationSource:
    """The poller of `creation`."""

    name = TOPIC

    def __init__(self, *, period_s: float = PERIOD_S) -> None:
        self._period_s = period_s
        self._facts: dict[Name, str] = {}

    async def run(self, context: PollerContext) -> None:
        """Poll until cancelled."""
        waiting: dict[Name, Mapping[str, Any]] = {}  # Jobs without pods, by namespace and name
        with context.changes("Job") as changes:
            while True:
                for name in changes.take():
                    job = context.get("Job", *name)
                    if job is not None and _without_pods(job):
                        waiting[name] = job
                    else:
                        waiting.pop(name, None)
                self._put(context, await _ask(context, waiting.values(), known=self._facts))
                await (asyncio.sleep(self._period_s) if waiting else changes.wait())

    def _put(self, context: PollerContext, found: Mapping[Name, str]) -> None:
        changed = [name for name in {*found, *self._facts} if found.get(name) != self._facts.get(name)]
        self._facts = dict(found)
        for name in sorted(changed):
            context.put(TOPIC, *name, found.get(name), wake=[Key(_KIND_NAME, *name)])


async def _ask(
    context: PollerContext, waiting: Iterable[Mapping[str, Any]], *, known: Mapping[Name, str]
) -> dict[Name, str]:
    """Return the words about each Job that has waited for a while; one call a namespace.

    Args:
        known: What was said last; it stands where the API server does not answer.
    """
    by_namespace: dict[str, list[Mapping[str, Any]]] = {}
    for job in waiting:
        if context.now() - parse_instant(job["metadata"]["creationTimestamp"]) >= PATIENCE:
            by_namespace.setdefault(job["metadata"]["namespace"], []).append(job)
    found: dict[Name, str] = {}
    for namespace, jobs in sorted(by_namespace.items()):
        try:
            events = await context.events(namespace, kind="Job", reason=REASON)
        except ApiError as error:
            log.info("Events of namespace %s cannot be listed (%s); asking again", namespace, error)
            found |= {name: words for name, words in known.items() if name[0] == namespace}
            continue
        found |= failures(jobs, events)
    return found


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
