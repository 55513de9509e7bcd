"""What a serving Deployment and its pods say, whether its RLPolicy still exists or not."""

from collections.abc import Iterable, Mapping
from typing import Any

from belay_api import names
from belay_api.units import parse_instant
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Ref
from belay_operator.pods import PodView, pod_view


def pods_of(deployment: Mapping[str, Any], reader: Reader) -> list[PodView]:
    """Return the Deployment's pods. Older ones are those of a deleted namesake, on their way out."""
    meta = deployment["metadata"]
    made = parse_instant(meta["creationTimestamp"])
    views = map(pod_view, reader.labelled("Pod", meta["namespace"], names.POLICY_LABEL, meta["name"]))
    return [pod for pod in views if pod.created_at >= made]


def ready_pods(deployment: Mapping[str, Any], pods: Iterable[PodView]) -> int:
    """Return how many pods answer and stay.

    The Deployment's own number lags: a pod told to go still counts there for a moment, and so does one that is about to
    be told. A rollout that begins in that moment (deleted and made anew, say) would send its traffic to nobody.
    """
    counted = int((deployment.get("status") or {}).get("readyReplicas", 0))
    counted = min(counted, int((deployment.get("spec") or {}).get("replicas", 1)))
    known = list(pods)
    return min(counted, sum(pod.ready and not pod.deleting for pod in known)) if known else counted


def ref_of(obj: Mapping[str, Any]) -> Ref:
    """Return what names this very object, and no successor of its name."""
    meta = obj["metadata"]
    return Ref(obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"], meta["uid"])
