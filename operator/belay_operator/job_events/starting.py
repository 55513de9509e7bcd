"""What keeps a Job's pods from starting and stands in no status: the fact `starting`, in the kubelet's words.

A ConfigMap or Secret that is to be mounted and does not exist leaves a pod in ContainerCreating for ever, and a pull
secret that does not exist is not named where the pull fails. The kubelet tells both in Events of the pod alone.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from belay_operator.job_events.event_words import PERIOD_S, EventWords, Name, Waiting, job_of, maker_of, told_at
from belay_operator.pods import shorten

TOPIC = "starting"
REASONS = ("FailedMount", "FailedAttachVolume", "FailedToRetrieveImagePullSecret")
PATIENCE = timedelta(seconds=10)  # what was made with the pod is mounted by then
_SUMMARY = "Unable to attach or mount volumes"  # said every two minutes beside the sentence that has the cause


def obstacles(pods: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]) -> dict[Name, str]:
    """Return what is told about waiting pods, by the Job they belong to.

    Of many sentences it is the one with the cause that was told last; a pull secret's stands alone or after it.

    Args:
        events: Of one namespace, with one of `REASONS`.
    """
    jobs = {pod["metadata"]["uid"]: (pod["metadata"]["namespace"], job_of(pod)) for pod in pods}
    newest: dict[tuple[Name, bool], Mapping[str, Any]] = {}
    for event in events:
        name = jobs.get(event["involvedObject"].get("uid", ""))
        if name is None:
            continue
        slot = name, event.get("reason") == REASONS[2]
        if slot not in newest or _weight(event) > _weight(newest[slot]):
            newest[slot] = event
    found: dict[Name, str] = {}
    for (name, _), event in sorted(newest.items(), key=lambda item: item[0]):
        words = shorten(event.get("message") or "")
        found[name] = f"{found[name]}; {words}" if name in found else words
    return found


def _weight(event: Mapping[str, Any]) -> tuple[bool, str]:
    return not (event.get("message") or "").startswith(_SUMMARY), told_at(event)


def _waits_on_its_node(pod: Mapping[str, Any]) -> bool:
    meta, status = pod["metadata"], pod.get("status") or {}
    if maker_of(pod) is None or not job_of(pod) or "deletionTimestamp" in meta:
        return False
    placed = any(c["type"] == "PodScheduled" and c["status"] == "True" for c in status.get("conditions") or ())
    return bool(placed and status.get("phase") == "Pending")


def source(*, period_s: float = PERIOD_S) -> EventWords:
    """Return the poller of `starting`."""
    return EventWords(TOPIC, Waiting("Pod", REASONS, PATIENCE, _waits_on_its_node, obstacles), period_s=period_s)


SOURCE = source()
