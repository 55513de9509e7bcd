"""What holds for every course a policy's life can take, with an operator that may die between any two effects."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import crashes
from tests.unit.policy.given import CHANGED, DIGEST, NAME, pod, policy, rollout
from tests.unit.policy.simulation import LATER, Cluster
from tests.world import SETTINGS, START, World, belay_object

from belay_api import names
from belay_operator.engine.change import Change
from belay_operator.policy.observe import KIND, observe, related

CLOSED_AT = "2026-05-04T09:59:00Z"
SIDES: list[dict[str, Any]] = [
    {},
    {"stable": True},
    {"candidate": True},
    {"previous": {"until": "2026-05-04T11:00:00Z"}},
    {"previous": {"until": "2026-05-04T09:00:00Z"}},
    {"servedAnchor": {}},
    {"servedAnchor": {"until": "2026-05-04T11:00:00Z"}},
    {"servedAnchor": {"until": "2026-05-04T09:00:00Z"}},
    {"servedAnchor": {}, "previous": {"until": "2026-05-04T09:00:00Z"}},
    {"candidate": True, "rollback": {}},
    {"candidate": True, "rollback": {"endpointsClosedAt": CLOSED_AT}},
    {"rollback": {"endpointsClosedAt": CLOSED_AT, "drainedAt": CLOSED_AT}},
    {"rollback": {"endpointsClosedAt": CLOSED_AT, "drainedAt": CLOSED_AT, "weightZeroAt": CLOSED_AT}},
]
events = st.one_of(
    st.tuples(st.just("name_it"), st.sampled_from("ab"), st.integers(1, 4), st.sampled_from(SIDES)),
    st.tuples(st.just("scale"), st.one_of(st.none(), st.integers(0, 3))),
    st.tuples(st.just("roll"), st.booleans()),
    st.tuples(st.just("delete_child"), st.sampled_from(["Deployment", "Service"])),
)


def happen(cluster: Cluster, event: tuple[Any, ...]) -> None:
    if event[0] == "roll":
        cluster.roll(good=event[1])
    else:
        getattr(cluster, event[0])(*event[1:])


def wanted(cluster: Cluster) -> tuple[int, bool]:
    """Return the pods asked for and whether the policy is closed, worked out from the rules and not from the code."""
    total, closed, needed = 0, [], []
    for (kind, _, name), held in cluster.world.objects.items():
        if kind != "RLRollout":
            continue
        status = held["status"]
        warm = "previous" in status and status["previous"]["until"] > "2026-05-04T10"
        third = "servedAnchor" in status and status["servedAnchor"].get("until", "9") > "2026-05-04T10"
        if "stable" in status or "candidate" in status or warm or third:
            total += held["spec"]["replicas"]
        if "stable" in status:
            needed.append(name)
        rollback = status.get("rollback", {})
        if "endpointsClosedAt" in rollback and not {"drainedAt", "weightZeroAt"} <= set(rollback):
            closed.append(name)
    shut = any(all(other == name for other in needed) for name in closed)
    by_hand = cluster.world.objects["RLPolicy", "default", NAME]["spec"].get("serving", {}).get("replicas")
    return (0 if shut else total if by_hand is None else by_hand), shut


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(events, crashes), max_size=15), st.booleans())
def test_every_course_ends_with_the_pods_asked_for(course: list[Any], good: bool) -> None:
    cluster = Cluster()
    for event, crash in course:
        happen(cluster, event)
        cluster.look(crash)
    cluster.finish(good=good)

    pods, closed = wanted(cluster)
    deployment, service = cluster.child("Deployment"), cluster.child("Service")
    assert (deployment["spec"]["replicas"] if deployment else 0) == pods == cluster.status["desiredReplicas"]
    if service is not None:
        assert (names.CLOSED_LABEL in service["spec"]["selector"]) == closed
        assert len(service["spec"]["selector"]) == (1 if closed else 2)
    ready, verified = cluster.condition("Ready"), cluster.condition("Verified")
    if pods > 0:
        assert service is not None
        assert (ready["status"], verified["status"]) == (("True", "True") if good else ("False", "False"))
        assert cluster.condition("Loaded")["status"] == ("True" if good else "False")
        if good:
            assert cluster.status["digest"] == DIGEST
    assert (ready["reason"] == "Available") == (pods > 0 and good)


@settings(max_examples=80, deadline=None)
@given(st.lists(events, max_size=12))
def test_looking_often_or_once_finds_the_same_children(course: list[Any]) -> None:
    often, once = Cluster(), Cluster()
    for cluster, looks in ((often, True), (once, False)):
        for event in course:
            if event[0] in ("name_it", "scale"):
                happen(cluster, event)
                if looks:
                    cluster.look()
        cluster.world.settle(KIND, cluster.key)
    assert often.status["desiredReplicas"] == once.status["desiredReplicas"]
    if (child := once.child("Deployment")) is not None:
        held = often.child("Deployment")
        assert held is not None
        assert held["spec"] == child["spec"]


def test_a_changed_artifact_is_told_once() -> None:
    cluster = Cluster()
    cluster.name_it("a", 1, {"candidate": True})
    for _ in range(4):
        cluster.look()
        cluster.roll(good=False)
    assert [note.reason for _, note in cluster.world.events] == ["DigestMismatch"]


UNDER_WAY: dict[str, Any] = {
    "stable": {"policy": "one"},
    "candidate": {"policy": "two"},
    "previous": {"policy": "three", "until": "2026-05-04T11:00:00Z"},
    "rollback": {"policy": "two"},
    "history": [{"policy": "four", "outcome": "Promoted"}],
}


def under_way(**changes: Any) -> dict[str, Any]:
    """A rollout of other policies, with some of its status changed; None: without that field."""
    status = {field: value for field, value in (UNDER_WAY | changes).items() if value is not None}
    for side in ("stable", "candidate", "previous"):
        if side in status:
            status[side] = {"digest": f"sha256:{status[side]['policy']}"} | status[side]
    made = belay_object("RLRollout", "public", {"replicas": 2}, status=status)
    return made | {"metadata": made["metadata"] | {"uid": "public"}}


@pytest.mark.parametrize(
    ("status", "woken"),
    [
        ({}, []),
        ({"verdicts": [{"metric": "return", "verdict": "Pass"}], "weight": {"desired": 50}}, []),
        ({"stable": {"policy": "five"}}, ["five", "one"]),
        ({"candidate": {"policy": "one"}}, ["two"]),
        ({"candidate": None, "rollback": None}, ["two"]),
        ({"previous": None}, ["three"]),
        ({"previous": {"policy": "three", "until": "2026-05-04T12:00:00Z"}}, ["three"]),
        ({"previous": {"policy": "six", "until": "2026-05-04T12:00:00Z"}}, ["six", "three"]),
        ({"rollback": {"policy": "two", "endpointsClosedAt": CLOSED_AT}}, ["two"]),
    ],
    ids=",".join,
)
def test_a_rollout_wakes_the_policies_of_which_it_asks_something_new(status: dict[str, Any], woken: list[str]) -> None:
    before, after = under_way(), under_way(**status)
    assert [key.name for key in related(Change("RLRollout", before, after), Cluster().world)] == woken
    assert [key.name for key in related(Change("RLRollout", after, before), Cluster().world)] == woken


def test_a_rollout_that_comes_or_goes_or_scales_wakes_all_its_policies() -> None:
    here = under_way()
    going = {**here, "metadata": here["metadata"] | {"deletionTimestamp": CLOSED_AT}}
    scaled = {**here, "spec": here["spec"] | {"replicas": 7}}
    for before, after in ((None, here), (here, None), (here, going), (here, scaled)):
        change = Change("RLRollout", before, after)
        assert [key.name for key in related(change, Cluster().world)] == ["one", "three", "two"]
    assert list(related(Change("Pod", None, here), Cluster().world)) == []


def test_what_a_policy_reads_of_a_rollout_is_what_wakes_it() -> None:
    """Whatever changes between two sides of a rollout: where no policy is woken, none sees anything else."""
    for left in SIDES:
        for right in SIDES:
            worlds = [World([policy(), rollout("a", **sides)]) for sides in (left, right)]
            before, after = (world.get("RLRollout", "default", "a") for world in worlds)
            seen = [observe(world.objects["RLPolicy", "default", NAME], world, SETTINGS) for world in worlds]
            if not list(related(Change("RLRollout", before, after), worlds[0])):
                assert seen[0] == seen[1], (left, right)


def test_only_news_of_pods_on_their_way_may_be_held_back() -> None:
    cluster = Cluster()

    def debounced() -> bool:
        plan = cluster.world.plan(KIND, cluster.key, START)
        assert plan.status is not None
        cluster.look()
        return plan.debounce

    assert not debounced(), "the first status is there at once"
    cluster.name_it("a", 2, {"candidate": True})
    assert debounced()
    cluster.roll(good=True)
    assert not debounced(), "a rollout waits for ready pods"
    cluster.name_it("b", 0, {"stable": True})
    assert not debounced(), "usedBy says whose traffic the pods have"
    cluster.world.patch("Deployment", NAME, {"status": {"replicas": 3}})
    assert debounced()
    cluster.world.put(pod(2, report=CHANGED, failed_fetch=True, day=LATER))
    assert not debounced(), "a changed artifact is taken back, also while pods of the good one are ready"


def test_settings_of_the_serving_pods_reach_them_without_a_gap() -> None:
    cluster = Cluster()
    cluster.name_it("a", 2, {"stable": True})
    cluster.finish(good=True)
    cluster.world.patch("RLPolicy", NAME, {"spec": {"serving": {"batch": {"size": 32}}}})
    cluster.look()
    deployment = cluster.child("Deployment")
    assert deployment is not None
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    [server] = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "BELAY_BATCH_SIZE", "value": "32"} in server["env"]
