"""A step `shadow` on a real API server, which knows what an HTTPRoute may say."""

from typing import Any

import pytest
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.rollout.test_rollout import healthy_on, policy, rollout, status, weights


@pytest.fixture
def served(kube: Kube, start: Starter, data_plane: DataPlaneThread) -> Kube:
    """A namespace with an operator, and p1 stable."""
    start(TEST_KIND_MODULES="real").ready(timeout_s=120)
    for name in ("p1", "p2"):
        kube.apply(policy(name))
    kube.apply(rollout("r", "p1"))
    eventually(lambda: healthy_on(kube, "p1"), what="the first policy serves", timeout_s=120)
    return kube


def shadowed(name: str, *, command: str | None = None, **shadow: Any) -> dict[str, Any]:
    """The rollout with a shadow first."""
    made = rollout("r", name, pause="10m", **({"command": command} if command else {}))
    made["spec"]["steps"] = [{"shadow": {"duration": "1h", **shadow}}, *made["spec"]["steps"]]
    return made


def mirrors(kube: Kube) -> list[dict[str, Any] | None]:
    """What each rule mirrors."""
    found = kube.get("httproute", "r") or {"spec": {"rules": []}}
    filters = [[f for f in one["filters"] if f["type"] == "RequestMirror"] for one in found["spec"]["rules"]]
    return [one[0]["requestMirror"] if one else None for one in filters]


@pytest.mark.parametrize("shadow", [{}, {"percent": 25}], ids=["all", "part"])
def test_requests_are_mirrored_until_the_step_ends(served: Kube, shadow: dict[str, Any]) -> None:
    kube, part = served, {"percent": 25} if shadow else {}
    kube.apply(shadowed("p2", **shadow))
    eventually(lambda: status(kube).get("step", {}).get("mirror", {}).get("since"), what="mirrored", timeout_s=120)
    mirror = {"backendRef": {"group": "", "kind": "Service", "name": "p2", "port": 8080}, **part}
    assert mirrors(kube) == [mirror, mirror]
    assert weights(kube) == {"p1": 10_000}
    assert "weight" not in status(kube)
    written = kube.get("httproute", "r")
    assert written is not None

    kube.apply(shadowed("p2", command="skip@1", **shadow))
    eventually(lambda: weights(kube) == {"p1": 5_000, "p2": 5_000}, what="half the traffic", timeout_s=60)
    assert mirrors(kube) == [None, None, None]
    after = kube.get("httproute", "r")
    assert after is not None
    assert after["metadata"]["generation"] == written["metadata"]["generation"] + 1, "one write, and none before it"


def test_taken_back_it_is_mirrored_nothing(served: Kube) -> None:
    kube = served
    kube.apply(shadowed("p2"))
    eventually(lambda: status(kube).get("step", {}).get("mirror", {}).get("since"), what="mirrored", timeout_s=120)
    kube.apply(shadowed("p2", command="abort@1"))
    eventually(lambda: status(kube).get("phase") == "RolledBack", what="taken back", timeout_s=60)
    assert mirrors(kube) == [None, None]
    assert status(kube)["rollback"]["weightZeroAt"] <= status(kube)["rollback"]["drainedAt"]
