"""A rollout on a real API server with Belay's own kinds: promoted, taken back, and both with the operator dying."""

import json
import time
from typing import Any

import pytest
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import OperatorProcess, Starter
from tests.api.faults import Fault, FaultProxy


def policy(name: str) -> dict[str, Any]:
    digest = name.encode().hex().ljust(64, "0")[:64]
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLPolicy",
        "metadata": {"name": name},
        "spec": {"artifact": {"uri": f"store://sha256/{digest}", "digest": f"sha256:{digest}"}},
    }


def rollout(name: str, policy_name: str, *, pause: str = "1s", command: str | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "belay.dev/v1alpha1",
        "kind": "RLRollout",
        "metadata": {"name": name, "annotations": {"belay.dev/command": command} if command else {}},
        "spec": {
            "policy": {"name": policy_name},
            "replicas": 1,
            "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
            "steps": [{"setWeight": 50}, {"pause": {"duration": pause}}],
            "bake": {"duration": "1s", "keepWarm": "1h"},
            # A guard rail: its scrapes are also how a rollback sees the traffic gone.
            "analysis": {
                "window": "1m",
                "grace": "1s",
                "metrics": [{"name": "errors", "source": {"serving": "errorRate"}, "limit": {"max": "5%"}}],
            },
        },
    }


def status(kube: Kube, name: str = "r") -> dict[str, Any]:
    found = kube.get("rlrollout", name)
    return dict((found or {}).get("status") or {})


def healthy_on(kube: Kube, name: str) -> bool:
    now = status(kube)
    return now.get("phase") == "Healthy" and now.get("stable", {}).get("policy") == name


def weights(kube: Kube) -> dict[str, int]:
    route = kube.get("httproute", "r") or {"spec": {"rules": [{"backendRefs": []}]}}
    return {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"] if ref["weight"]}


def test_promoted_then_taken_back(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> None:
    start(TEST_KIND_MODULES="real").ready()
    for name in ("p1", "p2", "p3"):
        kube.apply(policy(name))
    kube.apply(rollout("r", "p1"))
    eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    assert weights(kube) == {"p1": 10_000}

    kube.apply(rollout("r", "p2"))
    eventually(lambda: weights(kube) == {"p1": 5_000, "p2": 5_000}, what="half the traffic")
    eventually(lambda: healthy_on(kube, "p2"), what="the second is promoted", timeout_s=30)
    assert weights(kube) == {"p2": 10_000}

    kube.apply(rollout("r", "p3", pause="10m"))
    eventually(lambda: weights(kube) == {"p2": 5_000, "p3": 5_000}, what="half the traffic")
    kube.apply(rollout("r", "p3", pause="10m", command="abort@1"))
    eventually(lambda: status(kube).get("phase") == "RolledBack", what="taken back")
    assert weights(kube) == {"p2": 10_000}
    now = status(kube)
    assert now["stable"]["policy"] == "p2"
    assert now["rollback"]["drainedAt"]


def test_a_malformed_rollout_stops_no_other(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> None:
    start(TEST_KIND_MODULES="real").ready()
    kube.apply(policy("p1"))
    kube.apply(rollout("other", "no-such-policy"))
    kube.apply(rollout("r", "p1"))
    eventually(lambda: healthy_on(kube, "p1"), what="the good one serves")
    other = eventually(lambda: status(kube, "other").get("conditions"), what="the other says why it does not")
    assert next(c for c in other if c["type"] == "Ready")["reason"] == "PolicyNotFound"


class Mortal:
    """An operator that is killed right after each of its writes and started again: every effect is its last."""

    def __init__(self, start: Starter, proxy: FaultProxy, namespace: str) -> None:
        self._start, self._proxy, self._namespace = start, proxy, namespace
        self.deaths = 0
        self._live: OperatorProcess | None = None

    def live(self) -> None:
        """Make sure that one lives; its next write will be its last."""
        if self._live is not None and self._live.returncode is None:
            return
        self.deaths += self._live is not None
        self._proxy.clear()
        victim = self._start(kubeconfig=self._proxy.kubeconfig, TEST_KIND_MODULES="real", BELAY_BURST="1000")
        self._proxy.inject(
            Fault(
                method="PATCH|PUT|DELETE",
                # Not the Secret: each process applies it once anew, and dying of that every time is no progress.
                path=f"/namespaces/{self._namespace}/(?!secrets)",
                times=1,
                call=lambda seen: victim.kill(),
                call_when="after",
            )
        )
        self._live = victim

    def until(self, true: Any, *, what: str, timeout_s: float = 300) -> None:
        """Live and die until `true()`."""
        end = time.monotonic() + timeout_s
        while not true():
            self.live()
            assert time.monotonic() < end, f"not within {timeout_s} s and {self.deaths} deaths: {what}"
            time.sleep(0.2)


@pytest.mark.timeout(900)  # some forty lives of an operator
def test_killed_after_every_single_write_it_ends_the_same(
    kube: Kube, start: Starter, data_plane: DataPlaneThread, proxy: FaultProxy
) -> None:
    """A crash between any two effects loses nothing and doubles nothing: not a weight, not an entry of history."""
    mortal = Mortal(start, proxy, kube.namespace)
    for name in ("p1", "p2", "p3"):
        kube.apply(policy(name))
    kube.apply(rollout("r", "p1"))
    mortal.until(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    kube.apply(rollout("r", "p2"))
    mortal.until(lambda: healthy_on(kube, "p2"), what="the second is promoted")
    kube.apply(rollout("r", "p3", pause="10m"))
    mortal.until(lambda: weights(kube) == {"p2": 5_000, "p3": 5_000}, what="half the traffic")
    kube.apply(rollout("r", "p3", pause="10m", command="abort@1"))
    mortal.until(lambda: status(kube).get("phase") == "RolledBack", what="taken back")

    now = status(kube)
    assert mortal.deaths > 10
    assert weights(kube) == {"p2": 10_000}
    assert now["stable"]["policy"] == "p2"
    assert [(entry["policy"], entry["outcome"]) for entry in now["history"]] == [
        ("p1", "Promoted"),
        ("p2", "Promoted"),
        ("p3", "RolledBack"),
    ]
    assert [command["id"] for command in now["commands"]] == ["1"]
    assert sorted(found["metadata"]["name"] for found in kube.all("httproutes")) == ["r"]
    assert sorted(found["metadata"]["name"] for found in kube.all("deployments")) == ["p1", "p2", "p3"]
    print(json.dumps({"deaths": mortal.deaths}))
