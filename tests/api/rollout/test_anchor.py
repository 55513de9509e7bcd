"""The anchor beside a trial, on a real API server: its pods, its part of the route, and the operator dying."""

from typing import Any

import pytest
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube, eventually
from tests.api.engine.process import Starter
from tests.api.faults import FaultProxy
from tests.api.rollout.test_rollout import Mortal, healthy_on, policy, rollout, status, weights

COMPARED = {"name": "return", "source": {"logbook": {"outcome": "return"}}, "compare": {"maxRegression": "10%"}}


def spec(name: str, *, command: str | None = None, **changes: Any) -> dict[str, Any]:
    """A rollout that compares; there is no logbook here, so an analyze step waits."""
    made = rollout("r", name, command=command)
    made["spec"] |= changes
    made["spec"]["analysis"]["metrics"].append(COMPARED)
    return made


def serving(name: str, *, command: str | None = None) -> dict[str, Any]:
    made = spec(name, command=command, steps=[{"setWeight": 50}, {"analyze": {}}])
    made["spec"]["analysis"]["anchor"] = "Serve"
    return made


def pods(kube: Kube, name: str) -> int:
    """How many the policy's Deployment asks for."""
    return int((kube.get("deployment", name) or {"spec": {"replicas": 0}})["spec"]["replicas"])


@pytest.mark.long
@pytest.mark.timeout(900)  # some fifty lives of an operator
def test_served_and_let_go_though_the_operator_dies_after_every_write(
    kube: Kube, start: Starter, data_plane: DataPlaneThread, proxy: FaultProxy
) -> None:
    mortal = Mortal(start, proxy, kube.namespace)
    for name in ("p1", "p2", "p3"):
        kube.apply(policy(name))
    bake = {"duration": "1s", "keepWarm": "1s"}
    kube.apply(spec("p1", bake=bake))
    mortal.until(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    kube.apply(spec("p2", bake=bake))
    mortal.until(lambda: healthy_on(kube, "p2"), what="the second is promoted by its limits")
    mortal.until(lambda: pods(kube, "p1") == 0, what="the first is not kept warm any more")
    assert status(kube)["anchor"] | {"promotions": 1} == status(kube)["anchor"]

    kube.apply(serving("p3"))
    mortal.until(lambda: weights(kube) == {"p2": 2_500, "p3": 5_000, "p1": 2_500}, what="all three")
    mortal.until(lambda: status(kube).get("weight", {}).get("anchor") == 25, what="accepted")
    assert pods(kube, "p1") == 1
    kube.apply(serving("p3", command="abort@1"))
    mortal.until(lambda: status(kube).get("phase") == "RolledBack", what="taken back")
    assert weights(kube) == {"p2": 10_000}
    mortal.until(lambda: "servedAnchor" not in status(kube) and pods(kube, "p1") == 0, what="let go")
    assert status(kube)["anchor"]["policy"] == "p1"
    assert status(kube)["stable"]["policy"] == "p2"
    # An operator that dies after it has recorded that it is let go has not written the route yet.
    wanted = {"p1": "p2", "p2": "p2", "p3": "p2"}
    mortal.until(lambda: _places(kube) == wanted, what="every rule is there, and leads to what serves")
    assert mortal.deaths > 10


def test_what_would_hold_nothing_against_the_anchor_is_refused(kube: Kube) -> None:
    for changes in ({"steps": [{"setWeight": 50}]}, {"analysis": {**serving("p1")["spec"]["analysis"], "metrics": []}}):
        refused = serving("p1")
        refused["spec"] |= changes
        with pytest.raises(
            AssertionError, match="analysis.anchor: Serve needs an analyze step|needs something to judge"
        ):
            kube.apply(refused)
    limits = serving("p1")
    limits["spec"]["analysis"]["metrics"].pop()
    with pytest.raises(AssertionError, match="analysis.anchor: Serve needs an analyze step and a metric with compare"):
        kube.apply(limits)
    kube.apply(serving("p1"))
    eventually(lambda: kube.get("rlrollout", "r"), what="it is taken")


def _places(kube: Kube) -> dict[str, str]:
    rules = (kube.get("httproute", "r") or {})["spec"]["rules"]
    return {rule["matches"][0]["headers"][0]["value"]: rule["backendRefs"][0]["name"] for rule in rules[1:]}
