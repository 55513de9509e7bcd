"""A canary without a gateway: real policies, real pods, and kube-proxy in between."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.steady import Steady

from belay_demo.kube import Namespace

ROLLOUT = "plain"
SPEC: dict[str, Any] = {
    "replicas": 1,
    "traffic": {"replicas": {}},
    "steps": [{"setWeight": 50}, {"pause": {}}],
    "bake": {"duration": "1s", "keepWarm": "1h"},
    "rollback": {"deadline": "5s"},
}


@pytest.fixture(scope="module")
def asked(gateway: Namespace, published: dict[str, dict[str, Any]]) -> Iterator[Steady]:
    """Serve `a` to callers that keep their connections."""
    for name in "ab":
        policy = {"apiVersion": "belay.dev/v1alpha1", "kind": "RLPolicy", "metadata": {"name": name}}
        gateway.apply(policy | {"spec": published[name]})
    rollout = {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "metadata": {"name": ROLLOUT}}
    gateway.apply(rollout | {"spec": {"policy": {"name": "a"}, **SPEC}})
    gateway.wait("a to serve", lambda: _status(gateway).get("phase") == "Healthy", timeout_s=240)
    url = f"http://{ROLLOUT}.{gateway.name}.svc:8080/predictions/policy"
    steady = Steady(gateway, ROLLOUT, url=url, asking={"episode": "e"})
    steady.start()
    yield steady
    steady.stop()
    gateway.kubectl("delete", "rlr", ROLLOUT, "--wait")
    gateway.kubectl("delete", "rlp", "a", "b", "--ignore-not-found", "--wait")


@pytest.mark.timeout(900)
def test_new_connections_follow_the_weight_and_kept_ones_end_with_the_rollback(
    gateway: Namespace, asked: Steady
) -> None:
    assert asked.who_answers({}) == ["a"]
    gateway.patch("rlr", ROLLOUT, {"spec": {"policy": {"name": "b"}}})
    gateway.wait("half of it", lambda: _status(gateway).get("weight", {}).get("pods"), timeout_s=240)
    # One of twenty connections after the other: all go to one of two pods once in 500,000 times.
    gateway.wait("both to answer", lambda: asked.who_answers({}) == ["a,b"], timeout_s=30)
    assert asked.settled()["by"].keys() == {"a"}, "a connection stays where it began"

    gateway.kubectl("annotate", "rlr", ROLLOUT, "belay.dev/command=abort@1", "--overwrite")
    gateway.wait("out of the Service", lambda: _status(gateway).get("rollback", {}).get("weightZeroAt"), timeout_s=60)
    gateway.wait("kube-proxy to know", lambda: asked.who_answers({}) == ["a"], timeout_s=10)
    assert asked.who_answers({}) == ["a"]
    gateway.wait("taken back", lambda: _status(gateway).get("phase") == "RolledBack", timeout_s=60)


def _status(here: Namespace) -> dict[str, Any]:
    return here.status("rlr", ROLLOUT)
