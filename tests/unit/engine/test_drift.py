"""When an apply is left out: only when it would change nothing."""

from typing import Any

from belay_operator.engine.cache import Cache
from belay_operator.engine.drift import APPLIED_ANNOTATION, BELIEVED, TIDY, Drift, stamped
from belay_operator.engine.slim import entry_of, whole

OWNER: dict[str, Any] = {
    "kind": "RLRollout",
    "metadata": {"namespace": "ns", "name": "r", "uid": "u", "resourceVersion": "1", "generation": 1},
}
WANTED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d", "namespace": "ns", "labels": {"a": "b"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "env": [], "cpu": "1000m"}]}}},
}


def live(manifest: dict[str, Any], version: int = 1, *, cpu: str = "1000m", **spec: Any) -> dict[str, Any]:
    """The object as the API server gives it back: defaults added, empty values left out, perhaps normalised."""
    full, _ = stamped(manifest)
    meta = {**full["metadata"], "uid": "u", "resourceVersion": str(version), "managedFields": [{}]}
    template = {"spec": {"containers": [{"name": "c", "cpu": cpu, "imagePullPolicy": "Always"}], "dnsPolicy": "x"}}
    return {**full, "metadata": meta, "spec": {"replicas": 2, "template": template, **spec}}


class World:
    """A cache with one owner, and what is remembered of its children; `now` is the clock."""

    def __init__(self, *children: dict[str, Any]) -> None:
        self.now = 0.0
        self.cache = Cache()
        self.cache.put("RLRollout", OWNER)
        self.drift = Drift(self.cache, lambda: self.now)
        for child in children:
            self.cache.put("Deployment", child)

    def in_sync(self, manifest: dict[str, Any] = WANTED, *, seen: dict[str, Any] | None = None) -> bool:
        if seen is not None:
            self.cache.put("Deployment", seen)
        return self.drift.in_sync(OWNER, *stamped(manifest))

    def applied(self, manifest: dict[str, Any], answer: dict[str, Any]) -> None:
        self.drift.remember(OWNER, *stamped(manifest), answer)


def test_in_sync_after_restart_without_any_call() -> None:
    assert World(live(WANTED)).in_sync()


def test_absent_unstamped_or_going_is_not_in_sync() -> None:
    assert not World().in_sync()
    stamp = {**WANTED, "metadata": {**WANTED["metadata"], "labels": {"other": "manifest"}}}
    assert not World(live(stamp)).in_sync()
    going = live(WANTED)
    going["metadata"]["deletionTimestamp"] = "now"
    assert not World(going).in_sync()


def test_a_change_behind_our_back_is_seen_also_inside_the_packed_template() -> None:
    world = World(live(WANTED))
    assert world.in_sync()
    assert not world.in_sync(seen=live(WANTED, 2, replicas=3))
    assert not world.in_sync(seen=live(WANTED, 3, cpu="2"))


def test_what_others_add_is_left_to_them() -> None:
    world = World(live(WANTED))
    assert world.in_sync()
    assert world.in_sync(seen=live(WANTED, 2, paused=True))


def test_a_normalised_value_costs_one_apply_and_no_more() -> None:
    normalised = live(WANTED, cpu="1")
    world = World(normalised)
    assert not world.in_sync()
    world.applied(WANTED, normalised)  # the apply answered with the same
    assert world.in_sync()
    assert world.in_sync(seen=live(WANTED, 2, cpu="1")), "a status change is no drift"


def test_a_field_no_longer_wanted_is_drift() -> None:
    less = {**WANTED, "spec": {"template": WANTED["spec"]["template"]}}
    assert not World(live(WANTED)).in_sync(less), "the live object carries the stamp of the longer manifest"


def test_a_child_that_is_not_cached_is_believed_for_a_while_and_only_as_long_as_its_owner_lives() -> None:
    secret: dict[str, Any] = {"kind": "Secret", "metadata": {"name": "s", "namespace": "ns"}}
    world = World()
    assert not world.in_sync(secret)
    world.applied(secret, {})
    assert world.in_sync(secret)
    assert not world.in_sync({**secret, "data": {"more": "1"}})
    world.now = BELIEVED.total_seconds()
    assert not world.in_sync(secret)

    world.applied(secret, {})
    assert world.in_sync(secret)
    again = {**OWNER, "metadata": {**OWNER["metadata"], "uid": "its successor", "resourceVersion": "2"}}
    world.cache.put("RLRollout", again)
    assert not world.in_sync(secret), "the namespace was deleted and made anew, and took the Secret with it"


def test_children_that_went_with_their_owners_do_not_fill_the_memory() -> None:
    world = World()
    for number in range(3 * TIDY):
        meta = {**WANTED["metadata"], "name": f"d{number}"}
        child = live({**WANTED, "metadata": meta}, number + 1)
        assert world.in_sync({**WANTED, "metadata": meta}, seen=child)
        world.cache.remove("Deployment", "ns", meta["name"], version=number + 1)
    assert len(world.drift._right) <= TIDY


def test_the_stamp_is_stable_and_does_not_touch_the_manifest() -> None:
    full, digest = stamped(WANTED)
    assert stamped(dict(reversed(WANTED.items())))[1] == digest
    assert full["metadata"]["annotations"][APPLIED_ANNOTATION] == digest
    assert "annotations" not in WANTED["metadata"]


def test_the_template_is_packed_and_comes_back_whole() -> None:
    entry = entry_of("Deployment", live(WANTED))
    assert "template" not in entry.obj["spec"]
    assert entry.obj["spec"]["replicas"] == 2
    assert whole(entry)["spec"]["template"]["spec"]["containers"][0]["name"] == "c"
