"""Why Kubernetes' Job controller cannot make a Job's pods: the fact `creation`, in the controller's own words.

A quota, a LimitRange or an admission policy that refuses the pods leaves no pod that could say so, and nothing in the
Job's status either. The controller tells it in Events of the Job alone.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from belay_operator.job_events.event_words import PERIOD_S, EventWords, Name, Waiting, maker_of, told_at
from belay_operator.pods import shorten

TOPIC = "creation"
REASON = "FailedCreate"
PATIENCE = timedelta(seconds=3)  # a Job younger than this just waits for its controller
# The name of a pod that was never made is another one at each try, and every change of words is a write.
_PREFIX = re.compile(r'^Error creating: (pods "[^"]*" is forbidden: )?')


def failures(jobs: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]) -> dict[Name, str]:
    """Return the newest words about each Job of which there are any.

    Args:
        events: Of one namespace, about the creation of pods.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for event in events:
        uid = event["involvedObject"].get("uid", "")
        if uid not in newest or told_at(event) > told_at(newest[uid]):
            newest[uid] = event
    found = {}
    for job in jobs:
        meta = job["metadata"]
        if maker_of(job) is not None and meta["uid"] in newest:
            words = _PREFIX.sub("", newest[meta["uid"]].get("message") or "")
            found[meta["namespace"], meta["name"]] = shorten(words)
    return found


def _without_pods(job: Mapping[str, Any]) -> bool:
    status = job.get("status") or {}
    ended = any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions") or ())
    return not (ended or status.get("active") or job["spec"].get("suspend") or "deletionTimestamp" in job["metadata"])


def source(*, period_s: float = PERIOD_S) -> EventWords:
    """Return the poller of `creation`."""
    return EventWords(TOPIC, Waiting("Job", (REASON,), PATIENCE, _without_pods, failures), period_s=period_s)


SOURCE = source()
