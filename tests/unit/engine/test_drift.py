"""When an apply is left out: only when it would change nothing."""

from typing import Any

from belay_operator.engine.drift import APPLIED_ANNOTATION, Drift, stamped
from belay_operator.engine.slim import Entry, entry_of, whole

WANTED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d", "namespace": "ns", "labels": {"a": "b"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "env": [], "cpu": "1000m"}]}}},
}


def live(manifest: dict[str, Any], version: int = 1, *, cpu: str = "1000m", **spec: Any) -> Entry:
    """The object as the API server gives it back: defaults added, empty values left out, perhaps normalised."""
    full, _ = stamped(manifest)
    meta = {**full["metadata"], "uid": "u", "resourceVersion": str(version), "managedFields": [{}]}
    template = {"spec": {"containers": [{"name": "c", "cpu": cpu, "imagePullPolicy": "Always"}], "dnsPolicy": "x"}}
    return entry_of("Deployment", {**full, "metadata": meta, "spec": {"replicas": 2, "template": template, **spec}})


def test_in_sync_after_restart_without_any_call() -> None:
    _, digest = stamped(WANTED)
    assert Drift().in_sync(WANTED, digest, live(WANTED))


def test_absent_unstamped_or_going_is_not_in_sync() -> None:
    _, digest = stamped(WANTED)
    drift = Drift()
    assert not drift.in_sync(WANTED, digest, None)
    assert not drift.in_sync(WANTED, "another digest", live(WANTED))
    going = live(WANTED)
    meta = {**going.obj["metadata"], "deletionTimestamp": "now"}
    assert not drift.in_sync(WANTED, digest, entry_of(going.obj["kind"], {**going.obj, "metadata": meta}))


def test_a_change_behind_our_back_is_seen_also_inside_the_packed_template() -> None:
    _, digest = stamped(WANTED)
    drift = Drift()
    assert drift.in_sync(WANTED, digest, live(WANTED))
    assert not drift.in_sync(WANTED, digest, live(WANTED, 2, replicas=3))
    assert not drift.in_sync(WANTED, digest, live(WANTED, 3, cpu="2"))


def test_what_others_add_is_left_to_them() -> None:
    _, digest = stamped(WANTED)
    drift = Drift()
    assert drift.in_sync(WANTED, digest, live(WANTED))
    assert drift.in_sync(WANTED, digest, live(WANTED, 2, paused=True))


def test_a_normalised_value_costs_one_apply_and_no_more() -> None:
    _, digest = stamped(WANTED)
    drift = Drift()
    normalised = live(WANTED, cpu="1")
    assert not drift.in_sync(WANTED, digest, normalised)
    drift.remember(WANTED, digest, normalised)  # the apply answered with the same
    assert drift.in_sync(WANTED, digest, normalised)
    assert drift.in_sync(WANTED, digest, live(WANTED, 2, cpu="1")), "a status change is no drift"


def test_a_field_no_longer_wanted_is_drift() -> None:
    less = {**WANTED, "spec": {"template": WANTED["spec"]["template"]}}
    _, digest = stamped(less)
    assert not Drift().in_sync(less, digest, live(WANTED)), "the live object carries the stamp of the longer manifest"


def test_the_stamp_is_stable_and_does_not_touch_the_manifest() -> None:
    full, digest = stamped(WANTED)
    assert stamped(dict(reversed(WANTED.items())))[1] == digest
    assert full["metadata"]["annotations"][APPLIED_ANNOTATION] == digest
    assert "annotations" not in WANTED["metadata"]


def test_the_template_is_packed_and_comes_back_whole() -> None:
    entry = live(WANTED)
    assert "template" not in entry.obj["spec"]
    assert entry.obj["spec"]["replicas"] == 2
    assert whole(entry)["spec"]["template"]["spec"]["containers"][0]["name"] == "c"
