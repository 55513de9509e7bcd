"""Traffic without a gateway: one Service of the rollout's name, and the weight is the ratio of pods behind it.

    Service ── selector ──▶ all pods of one version, the base        listed by Kubernetes, also while no operator runs
       └────── EndpointSlice of ours ──▶ some pods of the other      listed by us, one by one, only during a trial

Kubernetes lets a Service have EndpointSlices of several makers; kube-proxy puts them together. Pods are neither made
nor labelled for it: both versions have theirs anyway, and one that is in neither (before the first weight, say) is not
reached by it. At rest ours is empty, and the Service is one like any other.

Kubernetes follows a Service's selector a moment later. So what gives the candidate more comes last: above half, the
slice has stable's pods before the Service selects the candidate; on the way back the Service selects stable first, and
the slice stays until Kubernetes lists that. A rollback is one write: up to half of the traffic it empties the slice,
above it is the selector. At no moment does the candidate have more than at either end. docs/decisions/073.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from belay_api.names import FIELD_MANAGER, POLICY_LABEL, ROLLOUT_LABEL, SERVING_PORT
from belay_api.reasons import RolloutReason
from belay_operator.children import Owner, child_labels
from belay_operator.engine.foreign import is_foreign
from belay_operator.engine.kind import Reader
from belay_operator.engine.plan import Manifest, Ref
from belay_operator.policy.build import PORT_NAME, selector
from belay_operator.rollout.traffic import pod_ratio
from belay_operator.rollout.traffic.router import (
    Acceptance,
    Intent,
    ReadyPod,
    TrafficObject,
    TrafficView,
    said,
)
from belay_operator.rollout.wait import Wait

SERVICE = "Service"
SLICE = "EndpointSlice"
SLICE_VERSION = "discovery.k8s.io/v1"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
SLICE_MAKER_LABEL = "endpointslice.kubernetes.io/managed-by"
ANSWER_TIME = timedelta(seconds=10)  # Kubernetes lists a Service's pods within a second; after this its silence is told


@dataclass(frozen=True, slots=True)
class ReplicasRouter:
    """The Router for `spec.traffic.replicas`."""

    owner: Owner
    labels: Mapping[str, str]  # the installation's own

    def read(self, reader: Reader, policies: Collection[str]) -> TrafficView:
        """Return Service, EndpointSlices and ready pods, and whether Kubernetes lists the pods that are selected."""
        namespace, name = self.owner.namespace, self.owner.name
        listed = {policy: reader.labelled("Pod", namespace, POLICY_LABEL, policy) for policy in policies}
        pods = {policy: _ready(found) for policy, found in listed.items()}
        whose = {pod["metadata"]["name"]: policy for policy, found in listed.items() for pod in found}
        slices = reader.labelled(SLICE, namespace, ROLLOUT_LABEL, name)
        ours, theirs = [one for one in slices if _is_ours(one)], [one for one in slices if not _is_ours(one)]
        service = reader.get(SERVICE, namespace, name)
        behind = dict.fromkeys(pods, 0)
        for pod in {pod for one in slices for pod in _named(one)}:
            if pod in whose:
                behind[whose[pod]] += 1
        answer = Acceptance.SILENT if service is None else _answer(service, theirs, whose, pods)
        return TrafficView(
            objects=tuple(self._object(one) for one in ((service,) if service is not None else ()) + tuple(ours)),
            acceptance=answer,
            message=(
                f"no EndpointSlice lists the pods of the Service {name}; check that kube-controller-manager runs"
                if answer is Acceptance.SILENT
                else ""
            ),
            pods=pods,
            behind=behind,
        )

    def objects(self, intent: Intent | None, view: TrafficView) -> tuple[Manifest, ...]:
        """Return the Service, under the rollout's name, and the slices beside it, what gives stable more first."""
        if intent is None:
            return ()
        base, first = pod_ratio.base(intent.shares), intent.shares[0][0]
        service, slices = self._service(base), self._slices(_beside(base, intent, view), view)
        return (service, *slices) if base == first else (*slices, service)

    def trouble(self, view: TrafficView, *, in_place: bool, waited: timedelta) -> Wait | None:
        """Return that Kubernetes does not list the pods that the Service selects; None: it does."""
        if view.foreign:
            message = (
                f"the Service {self.owner.name}, by which callers would reach the rollout, belongs to another object; "
                "it is not changed. Delete or rename that, or call the rollout otherwise than any RLPolicy"
            )
            return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, message)
        acceptance = view.acceptance if in_place else Acceptance.PENDING
        left = ANSWER_TIME - waited
        if acceptance is Acceptance.SILENT and left <= timedelta():
            return Wait(RolloutReason.ROUTE_NOT_ACCEPTED, view.message)
        if acceptance is Acceptance.ACCEPTED:
            return None
        message = f"waiting for Kubernetes to list the pods of the Service {self.owner.name}"
        return Wait(RolloutReason.PROGRESSING, message, left if left > timedelta() else None)

    def _object(self, found: Mapping[str, Any]) -> TrafficObject:
        metadata = found["metadata"]
        ref = Ref(_version(found), found["kind"], metadata["namespace"], metadata["name"], metadata["uid"])
        return TrafficObject(
            ref=ref,
            spec=said(found),
            owned=self.owner.owns(found),
            foreign=is_foreign(found, self.owner.child(ref.api_version, ref.kind, ref.name, {})),
            annotations=metadata.get("annotations") or {},
            version=metadata.get("resourceVersion"),
        )

    def _service(self, base: str) -> Manifest:
        port = {"name": PORT_NAME, "port": SERVING_PORT, "targetPort": PORT_NAME, "protocol": "TCP"}
        # With an affinity whole clients would be assigned, by their address: few, and never the same on both sides.
        spec = {"type": "ClusterIP", "selector": selector(base), "ports": [port], "sessionAffinity": "None"}
        labels = child_labels({ROLLOUT_LABEL: self.owner.name}, self.labels)
        return self.owner.child("v1", SERVICE, self.owner.name, labels, spec=spec)

    def _slices(self, pods: list[ReadyPod], view: TrafficView) -> list[Manifest]:
        """Those with the pods, and those that had some: they stay, empty, since a slice never changes its family."""
        families = {_family(pod.address) for pod in pods}
        families |= {found.spec["addressType"] for found in view.objects if found.ref.kind == SLICE}
        return [self._slice(family, pods) for family in sorted(families)]

    def _slice(self, family: str, pods: list[ReadyPod]) -> Manifest:
        name = self.owner.name
        labels = {ROLLOUT_LABEL: name, SERVICE_NAME_LABEL: name, SLICE_MAKER_LABEL: FIELD_MANAGER}
        return self.owner.child(
            SLICE_VERSION,
            SLICE,
            f"{name}-{family.lower()}",
            child_labels(labels, self.labels),
            addressType=family,
            endpoints=[_endpoint(pod, self.owner.namespace) for pod in pods if _family(pod.address) == family],
            ports=[{"name": PORT_NAME, "port": SERVING_PORT, "protocol": "TCP"}],
        )


def hears(rollout: Mapping[str, Any]) -> bool:
    """Whether pods that come, go or get ready change what this rollout's traffic needs: a resource as it is stored."""
    return "replicas" in ((rollout.get("spec") or {}).get("traffic") or {})


def _beside(base: str, intent: Intent, view: TrafficView) -> list[ReadyPod]:
    """Return the pods that our slices list: those of everybody but the base, as many as their shares ask."""
    listed = view.acceptance is Acceptance.ACCEPTED and _selected(view) == base
    if base == intent.shares[0][0] and not listed:
        # Kubernetes still lists the pods of the base before: without these there would be nobody else's.
        now = {pod for found in view.objects if found.ref.kind == SLICE for pod in _named(found.spec)}
        return [pod for pod in view.pods.get(base, ()) if pod.name in now]
    counted = pod_ratio.counts(intent.shares, {policy: len(pods) for policy, pods in view.pods.items()})
    return [pod for policy, number in counted.items() if policy != base for pod in view.pods.get(policy, ())[:number]]


def _selected(view: TrafficView) -> str | None:
    """Return whose pods the Service selects; None: there is no Service."""
    services = (found.spec for found in view.objects if found.ref.kind == SERVICE)
    return next(((spec.get("selector") or {}).get(POLICY_LABEL) for spec in services), None)


def _ready(pods: Iterable[Mapping[str, Any]]) -> tuple[ReadyPod, ...]:
    """Those that answer and stay. The oldest first: which of them are listed then changes only when one goes."""
    found = []
    for pod in pods:
        meta, status = pod["metadata"], pod.get("status") or {}
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())
        if ready and status.get("podIP") and "deletionTimestamp" not in meta:
            node = (pod.get("spec") or {}).get("nodeName")
            found.append((meta["creationTimestamp"], ReadyPod(meta["name"], meta["uid"], status["podIP"], node)))
    return tuple(pod for _, pod in sorted(found, key=lambda one: (one[0], one[1].name)))


def _answer(
    service: Mapping[str, Any],
    theirs: Iterable[Mapping[str, Any]],
    whose: Mapping[str, str],
    pods: Mapping[str, tuple[ReadyPod, ...]],
) -> Acceptance:
    """Whether Kubernetes lists the ready pods of the version that the Service selects, and nobody else's."""
    slices = list(theirs)
    if not slices:
        return Acceptance.SILENT
    chosen = ((service.get("spec") or {}).get("selector") or {}).get(POLICY_LABEL)
    found = {whose.get(pod) for one in slices for pod in _named(one)}
    lacking = bool(pods.get(chosen or "")) and chosen not in found
    return Acceptance.PENDING if lacking or found - {chosen} else Acceptance.ACCEPTED


def _named(endpoint_slice: Mapping[str, Any]) -> set[str]:
    """The pods to which a slice sends connections."""
    return {
        one["targetRef"]["name"]
        for one in endpoint_slice.get("endpoints") or ()
        if (one.get("conditions") or {}).get("ready") is not False and one.get("targetRef")
    }


def _is_ours(endpoint_slice: Mapping[str, Any]) -> bool:
    return (endpoint_slice["metadata"].get("labels") or {}).get(SLICE_MAKER_LABEL) == FIELD_MANAGER


def _version(found: Mapping[str, Any]) -> str:
    return "v1" if found["kind"] == SERVICE else SLICE_VERSION


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _endpoint(pod: ReadyPod, namespace: str) -> dict[str, Any]:
    return {
        "addresses": [pod.address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod.name, "uid": pod.uid},
        **({"nodeName": pod.node} if pod.node else {}),
    }
