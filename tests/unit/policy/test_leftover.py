"""What serves outlives its RLPolicy, and nothing outlives its need."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.strategies import crashes
from tests.unit.policy.given import DIGEST, MADE, NAME, OTHER, pod, rollout, world_of
from tests.unit.policy.simulation import Cluster
from tests.world import START, World

from belay_api import names
from belay_operator.children import Owner
from belay_operator.policy import needs
from belay_operator.policy.build import DIGEST_ANNOTATION
from belay_operator.policy.leftover import Leftover, concerned, left_of, leftovers_of, outlived
from belay_operator.policy.observe import KIND

CLOSING = {"endpointsClosedAt": "2026-05-04T09:59:00Z"}
SIDES: list[dict[str, Any]] = [
    {},
    *({"stable": {"digest": digest}} for digest in (DIGEST, OTHER)),
    *({"candidate": {"digest": digest}} for digest in (DIGEST, OTHER)),
    {"stable": {"digest": DIGEST}, "candidate": {"digest": OTHER}},
    {"stable": {"digest": OTHER}, "candidate": {"digest": DIGEST}, "rollback": {}},
    {"candidate": {"digest": DIGEST}, "rollback": CLOSING},
    {"previous": {"digest": DIGEST, "until": "2026-05-04T11:00:00Z"}},
    {"previous": {"digest": OTHER, "until": "2026-05-04T09:00:00Z"}},
    {"servedAnchor": {"digest": DIGEST}},
    {"servedAnchor": {"digest": DIGEST, "until": "2026-05-04T09:00:00Z"}},
    {"servedAnchor": {"digest": OTHER}, "stable": {"digest": DIGEST}},
]
events = st.one_of(
    st.tuples(st.just("name_it"), st.sampled_from("ab"), st.integers(1, 3), st.sampled_from(SIDES)),
    st.tuples(st.just("delete_rollout"), st.sampled_from("ab")),
    st.tuples(st.just("delete_policy")),
    st.tuples(st.just("make_policy"), st.sampled_from([DIGEST, OTHER])),
)


def needed(cluster: Cluster) -> set[str]:
    """Return the uids of the rollouts that own the Deployment and need its bytes."""
    held = cluster.child("Deployment")
    owners = {one["uid"] for one in held["metadata"]["ownerReferences"]} if held else set()
    return owners & asking(cluster)


def asking(cluster: Cluster) -> set[str]:
    """Return the uids of the rollouts that need the Deployment's bytes, also of one that never became an owner."""
    held = cluster.child("Deployment")
    if held is None:
        return set()
    digest = held["metadata"]["annotations"][DIGEST_ANNOTATION]
    rollouts = [one for key, one in cluster.world.objects.items() if key[0] == "RLRollout"]
    asked = needs.demands(NAME, rollouts)
    return {one.uid for one in asked if one.digest == digest and one.holds(START) and not one.closing}


def identity(cluster: Cluster) -> Any:
    """Return what may not change of a Deployment that is needed."""
    held = cluster.child("Deployment")
    meta = held["metadata"] if held else {}
    return held and (meta["uid"], meta["annotations"][DIGEST_ANNOTATION], held["spec"]["template"])


NEVER_AN_OWNER: list[Any] = [  # `a` asks for what is left, and nobody makes it an owner any more
    (("name_it", "b", 1, {"stable": {"digest": DIGEST}}), None),
    (("delete_policy",), None),
    (("name_it", "a", 1, {"stable": {"digest": DIGEST}}), None),
    (("name_it", "b", 1, {}), None),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(events, crashes), max_size=15))
@example(NEVER_AN_OWNER)
@example([*NEVER_AN_OWNER, (("make_policy", OTHER), None)])
def test_what_a_rollout_needs_is_neither_removed_nor_replaced(course: list[Any]) -> None:
    cluster = Cluster()
    for event, crash in course:
        before, who = identity(cluster), needed(cluster)
        getattr(cluster, event[0])(*event[1:])
        still = who & needed(cluster)
        for _ in range(3):
            cluster.look(crash)
            cluster.let_go()
        if still:
            assert identity(cluster) == before, f"{event}: {still} need it"

    for _ in range(3):
        cluster.world.settle(KIND, cluster.key)
        cluster.let_go()
    policy, deployment, service = (cluster.child(kind) for kind in ("RLPolicy", "Deployment", "Service"))
    if policy is None:
        assert (deployment is not None) == bool(asking(cluster)), "what nobody needs goes, and nothing else"
        assert deployment is not None or service is None, "the Service goes with its Deployment"
        return
    digest = policy["spec"]["artifact"]["digest"]
    other = deployment is not None and deployment["metadata"]["annotations"][DIGEST_ANNOTATION] != digest
    assert other == (cluster.condition("Ready")["reason"] == "NameInUse") == (other and bool(asking(cluster)))


def leftover(**given_: Any) -> tuple[World, Leftover]:
    """Return a world whose RLPolicy was deleted, and what it left."""
    world = world_of({"deployment": {"replicas": 2, "ready": 2}, "service": {}, **given_})
    world.settle(KIND, key_of_policy(world))
    world.remove("RLPolicy", NAME)
    left = left_of(world, "default", NAME)
    assert left is not None, "a rollout needs it"
    return world, left


def key_of_policy(world: World) -> Any:
    return Cluster(world).key


def test_what_is_left_says_what_a_rollout_must_know() -> None:
    pods = [{"report": "good", "ready": True}, {"report": "good", "ready": True, "deleting": True}]
    world, left = leftover(pods=pods, rollouts=[{"stable": True}])
    assert (left.digest, left.ready, left.open, left.succeeded) == (DIGEST, 1, True, False)
    assert [ref.kind for ref in left.refs] == ["Service", "Deployment"], "first nothing reaches the pods"
    assert left.needed(START)
    assert leftovers_of(world, Owner.of(world.objects["RLRollout", "default", "public"])) == (left,)


def test_endpoints_closed_before_the_policy_went_stay_closed() -> None:
    _, left = leftover(rollouts=[{"candidate": True, "rollback": CLOSING}])
    assert not left.open
    assert not left.needed(START), "it is being withdrawn and past its deadline: it may go"


def test_who_needs_it_no_more_deletes_it_once_nobody_does() -> None:
    world, left = leftover(rollouts=[{"stable": True}, {"name": "second", "candidate": True}])
    world.put(rollout("public"))  # its status names the policy no more
    public = Owner.of(world.objects["RLRollout", "default", "public"])
    assert outlived(leftovers_of(world, public), START) == (), "the other one needs it"
    world.remove("RLRollout", "second")
    assert outlived(leftovers_of(world, public), START) == left.refs


def test_a_version_kept_warm_goes_at_its_time() -> None:
    _, left = leftover(rollouts=[{"previous": {"until": "2026-05-04T10:00:01Z"}}])
    assert outlived([left], START) == ()
    _, left = leftover(rollouts=[{"previous": {"until": "2026-05-04T10:00:00Z"}}, {"name": "b", "stable": True}])
    assert left.needed(START)


def test_a_policy_of_the_name_sees_to_what_is_left() -> None:
    cluster = Cluster()
    cluster.name_it("a", 1, {"stable": {"digest": DIGEST}})
    cluster.world.settle(KIND, cluster.key)
    cluster.delete_policy()
    cluster.make_policy(OTHER)
    cluster.name_it("a", 1, {})
    left = left_of(cluster.world, "default", NAME)
    assert left is not None
    assert left.succeeded
    assert outlived([left], START) == ()
    cluster.world.settle(KIND, cluster.key)
    assert left_of(cluster.world, "default", NAME) is None


def test_a_policy_that_waits_for_a_strangers_finalizer_is_gone_for_those_it_serves() -> None:
    world = world_of({"deployment": {"ready": 1}, "service": {}, "rollouts": [{"stable": True}]})
    assert left_of(world, "default", NAME) is None, "it owns what serves"
    world.patch("RLPolicy", NAME, {"metadata": {"deletionTimestamp": MADE}})
    left = left_of(world, "default", NAME)
    assert left is not None
    assert not left.succeeded


def test_changes_of_what_is_left_concern_the_rollouts_that_own_it() -> None:
    world, _ = leftover(rollouts=[{"stable": True}, {"name": "second", "candidate": True}])
    deployment, service = (world.objects[kind, "default", NAME] for kind in ("Deployment", "Service"))
    assert concerned("Deployment", deployment, world) == ["public", "second"]
    assert concerned("Service", service, world) == ["public", "second"]
    assert concerned("Pod", world.put(pod()), world) == ["public", "second"]
    assert concerned("Job", world.put(pod()), world) == []
    stranger = {"metadata": {"name": "x", "namespace": "default", "labels": {names.MANAGED_BY_LABEL: "belay"}}}
    assert concerned("Deployment", stranger, world) == []
    living = world_of({"deployment": {}, "rollouts": [{"stable": True}]})
    assert concerned("Deployment", living.objects["Deployment", "default", NAME], living) == []
