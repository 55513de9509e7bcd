"""Traffic by the number of pods: what stands behind the Service, at every moment, whoever is how late."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.rollout.stage import KEY, Stage

from belay_api.conditions import get_condition
from belay_api.names import MANAGED_BY, MANAGED_BY_LABEL, POLICY_LABEL
from belay_api.rollout.status import RolloutPhase
from belay_operator.children import Owner
from belay_operator.engine.change import Change
from belay_operator.rollout.observe import related
from belay_operator.rollout.situations.weight_by_pods import COARSE_WEIGHT
from belay_operator.rollout.traffic import pod_ratio
from belay_operator.rollout.traffic.replicas import SERVICE_NAME_LABEL, SLICE_MAKER_LABEL, ReplicasRouter
from belay_operator.rollout.traffic.router import Acceptance, Intent

ANALYSIS = {
    "window": "10s",
    "metrics": [{"name": "latency", "source": {"serving": "latencyP99"}, "limit": {"max": "100ms", "tolerates": "1s"}}],
}
STEPS = [{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]


class Cluster(Stage):
    """A stage without a gateway: pods with addresses, and Kubernetes' own controller of EndpointSlices."""

    def __init__(self, *policies: str, replicas: int = 3, **spec: Any) -> None:
        self.replicas = replicas
        said = {"traffic": {"gatewayAPI": None, "replicas": {}}, "steps": STEPS, "analysis": ANALYSIS}
        super().__init__(*policies, **(said | {"replicas": replicas} | spec))

    def publish(self, policy: str, *, ready: int | None = None, family: str = "") -> None:
        super().publish(policy, ready=0, family=family)
        self.has_pods(policy, self.replicas if ready is None else ready)

    def has_pods(self, policy: str, number: int, *, address: str = "10.0.{policy}.{index}") -> None:
        """So many pods of a policy are ready, and no others are there."""
        for name in [name for kind, _, name in self.world.objects if kind == "Pod" and name.startswith(f"{policy}-")]:
            self.world.remove("Pod", name)
        for index in range(number):
            labels = {POLICY_LABEL: policy, MANAGED_BY_LABEL: MANAGED_BY}
            ip = address.format(policy=ord(policy), index=index + 1)
            status = {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]}
            pod = {"kind": "Pod", "metadata": {"name": f"{policy}-{index}", "labels": labels}, "status": status}
            self.world.put(pod, now=self.now)
        self.ready(policy, number)

    def accept(self) -> None:
        """The controller lists the pods that the Service selects."""
        service = self.world.objects.get(("Service", "default", "cartpole"))
        if service is None:
            return
        chosen = service["spec"]["selector"][POLICY_LABEL]
        pods = [
            pod
            for pod in self.world.in_namespace("Pod", "default")
            if pod["metadata"]["labels"][POLICY_LABEL] == chosen
        ]
        meta = {
            "name": "cartpole-x7k2p",
            "labels": service["metadata"]["labels"]
            | {SERVICE_NAME_LABEL: "cartpole", SLICE_MAKER_LABEL: "endpointslice-controller.k8s.io"},
            "ownerReferences": [{"kind": "Service", "name": "cartpole", "uid": service["metadata"]["uid"]}],
        }
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]},
            }
            for pod in pods
        ]
        self.world.put({"kind": "EndpointSlice", "metadata": meta, "endpoints": endpoints, "addressType": "IPv4"})

    def ready_pods(self, policy: str) -> int:
        """How many pods of a policy are ready."""
        return sum(
            pod["metadata"]["name"].startswith(f"{policy}-") for pod in self.world.in_namespace("Pod", "default")
        )

    @property
    def has_followed(self) -> bool:
        """Whether the controller lists the pods that the Service selects, and no others."""
        service = self.world.objects.get(("Service", "default", "cartpole"))
        listed = self.world.objects.get(("EndpointSlice", "default", "cartpole-x7k2p"))
        if service is None or listed is None:
            return False
        chosen = service["spec"]["selector"][POLICY_LABEL]
        pods = {pod["metadata"]["name"] for pod in self.world.labelled("Pod", "default", POLICY_LABEL, chosen)}
        return pods == {one["targetRef"]["name"] for one in listed["endpoints"]}

    @property
    def connections(self) -> dict[str, int]:
        """How many pods of whom get connections, as kube-proxy puts the slices together."""
        addresses = {
            endpoint["targetRef"]["name"]
            for one in self.world.labelled("EndpointSlice", "default", SERVICE_NAME_LABEL, "cartpole")
            for endpoint in one["endpoints"]
        }
        return dict(Counter(name.partition("-")[0] for name in addresses))


def on_trial(*policies: str, **spec: Any) -> Cluster:
    """`a` is stable; `b` has its first weight."""
    cluster = Cluster("a", *(policies or ("b",)), **spec)
    cluster.go()
    assert cluster.status.phase is RolloutPhase.HEALTHY
    cluster.wants("b")
    cluster.go(seconds=1)
    return cluster


def writes(cluster: Cluster) -> list[str]:
    """What is written from now on, in order; call it again for what came."""
    said, cluster.world.log = cluster.world.log, []
    return said


def test_no_pod_of_a_candidate_is_behind_the_service_before_its_first_weight() -> None:
    cluster = Cluster("a", "b", steps=[{"pause": {}}, {"setWeight": 25}, {"pause": {}}])
    cluster.go()
    cluster.wants("b")
    cluster.go(seconds=1)
    assert cluster.status.step is not None
    assert cluster.status.step.kind == "pause"
    assert cluster.connections == {"a": 3}
    cluster.command("resume@1")
    cluster.go(seconds=1)
    assert cluster.connections == {"a": 3, "b": 1}


def test_the_weight_is_the_ratio_of_pods_up_to_the_promotion() -> None:
    cluster = on_trial()
    assert cluster.connections == {"a": 3, "b": 1}
    weight = cluster.status.weight
    assert weight is not None
    assert weight.pods is not None
    assert (weight.desired, weight.applied, weight.pods.candidate, weight.pods.stable) == (25, 25, 1, 3)
    assert weight.pods.percent == 25

    cluster.command("resume@1")
    cluster.go(seconds=1)
    cluster.go(seconds=1)
    assert cluster.connections == {"a": 1, "b": 3}
    cluster.command("resume@2")
    cluster.go(seconds=1)
    assert cluster.connections == {"b": 3}
    cluster.scrape("b", rate=1.0, seconds=90)
    cluster.go(minutes=2)
    assert cluster.status.stable is not None
    assert cluster.status.stable.policy == "b"
    assert cluster.connections == {"b": 3}
    assert get_condition(cluster.status.conditions, COARSE_WEIGHT) is None


@pytest.mark.parametrize(
    ("raised", "before", "write"),
    [(0, {"a": 3, "b": 1}, "apply EndpointSlice cartpole-ipv4"), (1, {"a": 1, "b": 3}, "apply Service cartpole")],
    ids=["up to half", "above half"],
)
def test_a_rollback_is_one_write_behind_the_recorded_intent(raised: int, before: dict[str, int], write: str) -> None:
    cluster = on_trial()
    for number in range(raised):
        cluster.command(f"resume@{number}")
        cluster.go(seconds=1)
    assert cluster.connections == before
    writes(cluster)
    cluster.command("abort@1")
    cluster.passes()
    done = writes(cluster)
    assert done[:2] == ["status RLRollout cartpole", write]
    assert set(done[2:]) <= {"status RLRollout cartpole"}
    cluster.accept()
    assert "b" not in cluster.connections, "and nothing else is needed"
    cluster.passes()
    assert cluster.connections == {"a": 3}
    status = cluster.status
    assert status.rollback is not None
    assert status.rollback.weight_zero_at is not None
    assert status.rollback.drained_at is None, "connections that are kept stay with their pod"
    cluster.later(seconds=40)
    cluster.passes()
    assert cluster.status.rollback is not None
    assert cluster.status.rollback.endpoints_closed_at is not None, "which ends at the deadline"


def test_a_weight_that_pods_cannot_give_is_told_with_what_would() -> None:
    cluster = on_trial(steps=[{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}], replicas=2)
    assert cluster.connections == {"a": 2, "b": 1}
    status = cluster.status
    assert status.weight is not None
    assert status.weight.pods is not None
    assert (status.weight.desired, status.weight.pods.percent) == (5, 33.3)
    told = get_condition(status.conditions, COARSE_WEIGHT)
    assert told is not None
    assert "asks for 5 %" in told.message
    assert "spec.replicas: 16" in told.message
    assert status.step is not None
    assert status.step.kind == "pause", "it is told, and nothing is held up"
    assert cluster.told.count("TooFewPods") == 1

    cluster.command("resume@1")
    cluster.go(seconds=1)
    assert cluster.connections == {"a": 2, "b": 2}
    assert get_condition(cluster.status.conditions, COARSE_WEIGHT) is None


def test_pods_that_come_and_go_move_the_ratio_with_them() -> None:
    cluster = on_trial(replicas=4, steps=[{"setWeight": 50}, {"pause": {}}])
    assert cluster.connections == {"a": 4, "b": 4}
    cluster.has_pods("a", 2)
    cluster.accept()
    cluster.passes()
    assert cluster.connections == {"a": 2, "b": 2}, "a share is not raised because stable is short of pods"
    cluster.has_pods("a", 0)
    cluster.accept()
    cluster.passes()
    assert cluster.connections == {}, "a candidate does not become all that answers by that"
    cluster.has_pods("a", 4)
    cluster.accept()
    cluster.passes()
    assert cluster.connections == {"a": 4, "b": 4}


def test_addresses_of_version_six_have_a_slice_of_their_own() -> None:
    cluster = Cluster("a", "b")
    for policy in "ab":
        cluster.has_pods(policy, 3, address="fd00::{policy}:{index}")
    cluster.go()
    cluster.wants("b")
    cluster.go(seconds=1)
    made = cluster.world.objects["EndpointSlice", "default", "cartpole-ipv6"]
    assert made["addressType"] == "IPv6"
    assert [one["addresses"] for one in made["endpoints"]] == [["fd00::98:1"]]


def test_a_service_of_somebody_else_is_left_alone_and_told() -> None:
    cluster = Cluster("a")
    labels = {MANAGED_BY_LABEL: MANAGED_BY}
    owner = {"kind": "RLPolicy", "name": "cartpole", "uid": "other", "controller": True}
    meta = {"name": "cartpole", "labels": labels, "ownerReferences": [owner]}
    cluster.world.put({"kind": "Service", "metadata": meta, "spec": {"selector": {POLICY_LABEL: "cartpole"}}})
    cluster.go()
    ready = get_condition(cluster.status.conditions, "Ready")
    assert ready is not None
    assert "call the rollout otherwise than any RLPolicy" in ready.message
    assert cluster.world.objects["Service", "default", "cartpole"]["spec"] == {"selector": {POLICY_LABEL: "cartpole"}}


def test_silence_of_the_controller_is_told() -> None:
    cluster = Cluster("a")
    cluster.passes()
    assert cluster.status.stable is None
    cluster.later(seconds=11)
    cluster.passes()
    ready = get_condition(cluster.status.conditions, "Ready")
    assert ready is not None
    assert ready.reason == "RouteNotAccepted"
    assert "kube-controller-manager" in ready.message


def test_steps_that_a_service_cannot_take_stand_still_and_are_told() -> None:
    """The API server refuses them in `spec.steps`; those of an RLProgression it does not see."""
    cluster = Cluster("a", "b")
    cluster.go()
    cluster.edits_steps({"shadow": {"duration": "1m"}}, {"setWeight": 50})
    cluster.wants("b")
    cluster.go(seconds=1)
    ready = get_condition(cluster.status.conditions, "Ready")
    assert ready is not None
    assert "shadow needs a gateway, and traffic.replicas has none" in ready.message
    assert cluster.connections == {"a": 3}


def test_a_pod_wakes_the_rollouts_whose_traffic_it_carries() -> None:
    cluster = on_trial()
    pod = cluster.world.get("Pod", "default", "b-0")
    assert list(related(Change("Pod", pod, pod), cluster.world)) == [KEY]
    gateway = Stage("a", "b").go()
    gateway.wants("b")
    gateway.go(seconds=1)
    assert list(related(Change("Pod", pod, pod), gateway.world)) == []


# --- at every moment --------------------------------------------------------------------------------------------------
ROUTER = ReplicasRouter(Owner("RLRollout", "default", "cartpole", "uid-1", 1), {})
WEIGHTS = st.sampled_from([0.0, 1.0, 5.0, 25.0, 50.0, 51.0, 75.0, 99.0, 100.0])
READY = st.integers(1, 6)


def of_weight(weight: float) -> Intent:
    shares = tuple((policy, share) for policy, share in (("a", 100 - weight), ("b", weight)) if share > 0)
    return Intent(shares=shares, pinned=())


def share(cluster: Cluster) -> float:
    return pod_ratio.percent("b", cluster.connections)


@settings(max_examples=150, deadline=None)
@given(WEIGHTS, WEIGHTS, READY, READY, st.lists(st.booleans(), max_size=8))
def test_on_the_way_from_one_weight_to_another_the_candidate_never_has_more_than_at_either_end(
    before: float, after: float, stable: int, candidate: int, late: list[bool]
) -> None:
    """Wherever the operator dies, and however late Kubernetes follows."""
    cluster = Cluster("a", "b")
    cluster.has_pods("a", stable)
    cluster.has_pods("b", candidate)

    def write(manifest: Mapping[str, Any]) -> None:
        cluster.world._apply(manifest, cluster.now)

    def settle(weight: float) -> None:
        for _ in range(4):
            for manifest in ROUTER.objects(of_weight(weight), ROUTER.read(cluster.world, "ab")):
                write(manifest)
            cluster.accept()
        assert ROUTER.read(cluster.world, "ab").acceptance is Acceptance.ACCEPTED

    settle(after)
    most = share(cluster)
    settle(before)
    most = max(most, share(cluster))
    heard = iter(late)
    for _ in range(4):
        for manifest in ROUTER.objects(of_weight(after), ROUTER.read(cluster.world, "ab")):
            write(manifest)
            assert share(cluster) <= most
            if next(heard, True):
                cluster.accept()
                assert share(cluster) <= most


@given(WEIGHTS, READY, READY)
def test_rounding_never_gives_more_than_is_asked_but_for_the_first_pod(
    weight: float, stable: int, candidate: int
) -> None:
    counted = pod_ratio.counts(of_weight(weight).shares, {"a": stable, "b": candidate})
    given_ = pod_ratio.percent("b", counted)
    short_of_stable = weight > 50 and counted.get("a", 0) == stable
    assert given_ <= weight or counted["b"] == 1 or short_of_stable
    assert (given_ == 0) == (weight == 0)
    assert (given_ == 100) == (weight == 100)


def test_the_advice_gives_what_it_says() -> None:
    for weight in range(1, 100):
        replicas = pod_ratio.fewest_replicas(weight)
        ready = {"a": replicas, "b": replicas}
        given_ = pod_ratio.percent("b", pod_ratio.counts(of_weight(weight).shares, ready))
        assert abs(given_ - weight) <= pod_ratio.NEAR
        fewer = {"a": replicas - 1, "b": replicas - 1}
        if replicas > 1:
            coarse = pod_ratio.percent("b", pod_ratio.counts(of_weight(weight).shares, fewer))
            assert abs(coarse - weight) > pod_ratio.NEAR
