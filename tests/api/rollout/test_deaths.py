"""Steps of every kind and the watch, with an operator that is killed right after each of its writes.

They end as if nobody had died.

What a rollout without such steps does is in test_rollout.py, in every run.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.api.dataplane import DataPlaneThread
from tests.api.engine.kube import Kube
from tests.api.engine.process import Starter
from tests.api.faults import FaultProxy
from tests.api.rollout import test_group, test_together
from tests.api.rollout.test_approvals import say
from tests.api.rollout.test_judged_steps import held, listed, verdict
from tests.api.rollout.test_match import matching
from tests.api.rollout.test_rollout import Mortal, healthy_on, policy, rollout, status, weights
from tests.api.rollout.test_shadow import shadowed
from tests.api.rollout.test_together import step
from tests.api.rollout.test_users import by_user
from tests.in_thread import in_thread
from tests.unit.rollout.prometheus_server import PrometheusServer

from belay_api import names

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]  # some thirty lives of an operator each

Change = Callable[[Kube, Mortal], None]
SHORT = {"pause": {"duration": "1s"}}


@pytest.fixture
def mortal(kube: Kube, start: Starter, data_plane: DataPlaneThread, proxy: FaultProxy) -> Mortal:
    """An operator that dies of each write, and p1 to p3 in its namespace."""
    for name in ("p1", "p2", "p3"):
        kube.apply(policy(name))
    return Mortal(start, proxy, kube.namespace)


def matched(kube: Kube, mortal: Mortal) -> None:
    made = matching("p2")
    made["spec"]["steps"] = [made["spec"]["steps"][0], SHORT, {"setWeight": 50}, SHORT]
    kube.apply(made)


def mirrored(kube: Kube, mortal: Mortal) -> None:
    """Without a logbook nobody compares, so a person says that it is enough."""
    made = shadowed("p2")
    made["spec"]["steps"][-1] = SHORT
    kube.apply(made)
    mortal.until(lambda: status(kube).get("step", {}).get("mirror", {}).get("since"), what="it is mirrored")
    say(kube, "skip@1")


def judged(kube: Kube, mortal: Mortal) -> None:
    made = held("p2")
    made["spec"]["steps"][-1] = SHORT
    kube.apply(made)
    mortal.until(lambda: listed(kube, "jobs") and listed(kube, "configmaps"), what="its Job")
    verdict(kube, "Pass", 480)


def assigned(kube: Kube, mortal: Mortal) -> None:
    made = by_user("p2")
    made["spec"]["steps"][-1] = SHORT
    kube.apply(made)


def approved(kube: Kube, mortal: Mortal) -> None:
    made = rollout("r", "p2")
    made["spec"]["steps"] = [{"approve": {}}, *made["spec"]["steps"]]
    kube.apply(made)
    mortal.until(lambda: status(kube).get("phase") == "WaitingForApproval", what="it asks")
    say(kube, "approve@1")


def opened(kube: Kube, mortal: Mortal) -> None:
    made = rollout("r", "p2")
    in_three_days = (datetime.now(UTC) + timedelta(days=3)).strftime("%a")
    made["spec"]["windows"] = [{"days": [in_three_days], "from": "09:00", "to": "16:00", "timeZone": "UTC"}]
    kube.apply(made)
    mortal.until(lambda: "OutsideWindows" in str(status(kube).get("conditions")), what="it waits for a window")
    assert "candidate" not in status(kube)
    del made["spec"]["windows"]
    kube.apply(made)


def newest(kube: Kube, mortal: Mortal) -> None:
    made = rollout("r", "p2")
    made["spec"]["policy"] = {"latestOf": "cartpole"}
    kube.apply(made)
    kube.run("label", "rlpolicy", "p2", f"{names.FAMILY_LABEL}=cartpole")


@pytest.mark.parametrize("change", [matched, mirrored, judged, assigned, approved, opened, newest])
def test_it_is_promoted_once(kube: Kube, mortal: Mortal, change: Change) -> None:
    kube.apply(by_user("p1") if change is assigned else rollout("r", "p1"))
    mortal.until(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    change(kube, mortal)
    mortal.until(lambda: healthy_on(kube, "p2"), what="the second is promoted", timeout_s=600)
    mortal.until(lambda: not listed(kube, "jobs"), what="no Job is left")
    now = status(kube)
    assert mortal.deaths > 5
    assert [(one["policy"], one["outcome"]) for one in now["history"]] == [("p1", "Promoted"), ("p2", "Promoted")]
    assert weights(kube) == {"p2": 10_000}
    assert len(now.get("commands", [])) == (change in (approved, mirrored))
    assert [one["metadata"]["name"] for one in kube.all("httproutes")] == ["r"]
    assert sorted(one["metadata"]["name"] for one in kube.all("deployments")) == ["p1", "p2"]
    print(f"{change.__name__}: {mortal.deaths} deaths", flush=True)


def test_an_experiment_ends_once_and_stable_stays(kube: Kube, mortal: Mortal) -> None:
    kube.apply(rollout("r", "p1"))
    mortal.until(lambda: healthy_on(kube, "p1"), what="the first policy serves")
    made = rollout("r", "p1")
    compared = {"source": {"logbook": {"outcome": "return"}}, "compare": {"maxRegression": "5%"}}
    made["spec"]["analysis"]["metrics"].append({"name": "return", **compared})
    arms = [{"policy": "p2", "weight": 20}, {"policy": "p3", "weight": 20}]
    made["spec"]["policy"] = {"winnerOf": {"arms": arms, "metric": "return", "duration": "1s", "timeout": "10s"}}
    kube.apply(made)
    mortal.until(lambda: "decidedAt" in status(kube).get("experiment", {}), what="its time is over", timeout_s=600)
    mortal.until(lambda: not status(kube).get("arms") and healthy_on(kube, "p1"), what="the arms have gone")
    found = status(kube)["experiment"]
    assert mortal.deaths > 5
    assert {one["policy"]: one["outcome"] for one in found["arms"]} == {"p2": "Undecided", "p3": "Undecided"}
    assert len(found["changes"]) == 1, "both arms began together, whoever died meanwhile"
    assert weights(kube) == {"p1": 10_000}
    assert [(one["policy"], one["outcome"]) for one in status(kube)["history"]] == [("p1", "Promoted")]


def test_a_promoted_version_that_gets_worse_is_taken_back_once(kube: Kube, mortal: Mortal) -> None:
    refunds = {"p1": 1.0, "p2": 1.0}
    with in_thread(PrometheusServer(lambda query, at: refunds[query])) as server:

        def watched(serves: str) -> dict[str, Any]:
            made = rollout("r", serves)
            asked = {"address": server.url, "query": "{{version}}", "interval": "30s"}
            limited = {"name": "refunds", "source": {"prometheus": asked}, "limit": {"max": 10}}
            # Alone: beside a metric whose looks are written, no operator lives for two scrapes of the other's.
            made["spec"]["analysis"]["metrics"] = [limited]
            made["spec"]["watch"] = {"onDegraded": "Rollback"}
            return made

        kube.apply(watched("p1"))
        mortal.until(lambda: healthy_on(kube, "p1"), what="the first policy serves")
        kube.apply(watched("p2"))
        mortal.until(lambda: healthy_on(kube, "p2"), what="the second is promoted", timeout_s=600)
        refunds["p2"] = 20.0
        mortal.until(lambda: status(kube).get("phase") == "RolledBack", what="it is taken back", timeout_s=600)
    now = status(kube)
    assert now["stable"]["policy"] == "p1"
    assert weights(kube) == {"p1": 10_000}
    ends = [(one["policy"], one["outcome"]) for one in now["history"]]
    assert ends == [("p1", "Promoted"), ("p2", "Promoted"), ("p2", "RolledBack")]
    assert "Degraded" not in str(now["conditions"])
    # Who dies of the write tells it to nobody; told it is once at most.
    assert sum(one.get("count", 1) for one in kube.all("events") if one["reason"] == "StableWorse") <= 1


def test_two_that_change_together_are_promoted_once_each(kube: Kube, mortal: Mortal) -> None:
    both = tuple(test_together.OTHER)
    for name in both:
        kube.apply(test_together.rollout(name, "p1"))
    mortal.until(lambda: all(status(kube, name).get("phase") == "Healthy" for name in both), what="both serve p1")
    kube.apply(test_together.rollout("pick", "p2"))
    kube.apply(test_together.rollout("place", "p3"))
    mortal.until(lambda: all(step(kube, name) == "pause" for name in both), what="they have met", timeout_s=600)
    for name in both:
        say(kube, "resume@1", name)
    served = {"pick": "p2", "place": "p3"}
    ended = lambda name: status(kube, name).get("stable", {}).get("policy") == served[name]  # noqa: E731
    mortal.until(lambda: all(ended(name) for name in both), what="both are promoted", timeout_s=600)
    for name in both:
        history = [(one["policy"], one["outcome"]) for one in status(kube, name)["history"]]
        assert history == [("p1", "Promoted"), (served[name], "Promoted")]
        assert not status(kube, name).get("rejectedDigests")


def test_a_group_has_one_candidate_at_a_time(kube: Kube, mortal: Mortal) -> None:
    def all_serve(name: str) -> bool:
        seen = [one["status"] for one in kube.all("rlrollout")]
        assert len([one for one in seen if "candidate" in one and one.get("stable")]) <= 1
        return all(one.get("phase") == "Healthy" and one["stable"]["policy"] == name for one in seen)

    def apply_both(serves: str) -> None:
        for name in test_group.NAMES[:2]:
            made = test_group.rollout(name, serves)
            made["spec"]["steps"] = [{"setWeight": 50}, SHORT]
            kube.apply(made)

    apply_both("p1")
    mortal.until(lambda: bool(status(kube, "r2")) and all_serve("p1"), what="both serve p1")
    apply_both("p2")
    mortal.until(lambda: all_serve("p2"), what="both serve p2", timeout_s=600)
    assert [name for name in test_group.NAMES[:2] if "group" in status(kube, name)] == []
