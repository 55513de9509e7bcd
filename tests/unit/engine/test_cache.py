"""The cache at every order in which watches, lists and answers can tell the same story."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay_api import names
from belay_operator.engine import slim
from belay_operator.engine.cache import Cache
from belay_operator.engine.indexes import FAMILY, PARTNER, POLICY
from belay_operator.engine.slim import unreadable


def pod(name: str, version: int, *, uid: str = "u", owner: str | None = None, **labels: str) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "namespace": "ns",
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "labels": {f"belay.dev/{key.replace('_', '-')}": value for key, value in labels.items()},
        "managedFields": [{"manager": "kubelet"}],
    }
    if owner:
        meta["ownerReferences"] = [{"kind": "Job", "name": "j", "uid": owner, "controller": True}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
        "status": {"phase": "Running"},
    }


def changes(cache: Cache) -> list[tuple[str | None, str | None]]:
    """Versions before and after each change that the cache tells, as it tells them."""
    told: list[tuple[str | None, str | None]] = []

    def version(side: Mapping[str, Any] | None) -> str | None:
        return None if side is None else side["metadata"]["resourceVersion"]

    cache.listen(lambda change: told.append((version(change.before), version(change.after))))
    return told


def test_what_is_kept_and_what_is_dropped() -> None:
    cache = Cache()
    raw = pod("p", 5)
    raw["spec"]["containers"].append({"name": "d", "image": "i", "resources": {"requests": {"cpu": "1"}, "limits": {}}})
    containers = [{"name": "c", "ready": True, "imageID": "i", "user": {"linux": {"uid": 1}}}]
    raw["status"] |= {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": containers}
    cache.put("Pod", raw)
    kept = cache.get("Pod", "ns", "p")
    assert kept is not None
    left = [{"name": "c", "ready": True, "imageID": "i"}]
    assert kept["status"] == {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": left}
    assert len(raw["status"]["containerStatuses"][0]) == 4, "the raw object stays as it is"
    assert kept["spec"] == {"nodeName": "n", "containers": [{"resources": {"requests": {"cpu": "1"}}}]}
    assert "managedFields" not in kept["metadata"]


def test_echoes_and_older_versions_are_no_news() -> None:
    cache = Cache()
    told = changes(cache)
    assert cache.put("Pod", pod("p", 5))
    assert not cache.put("Pod", pod("p", 5))
    assert not cache.put("Pod", pod("p", 4))
    assert cache.put("Pod", pod("p", 6))
    assert told == [(None, "5"), ("5", "6")]


def test_a_change_shows_both_sides_and_a_successor_is_a_deletion_and_an_addition() -> None:
    cache = Cache()
    told = changes(cache)
    cache.put("Pod", pod("p", 5))
    cache.put("Pod", pod("p", 7, uid="successor"))
    cache.remove("Pod", "ns", "p", version=8)
    assert told == [(None, "5"), ("5", None), (None, "7"), ("7", None)]


def test_a_late_answer_does_not_raise_the_dead() -> None:
    cache = Cache()
    cache.put("Pod", pod("p", 5))
    assert cache.remove("Pod", "ns", "p", version=7)
    assert not cache.put("Pod", pod("p", 6))
    assert cache.get("Pod", "ns", "p") is None
    assert cache.put("Pod", pod("p", 8, uid="successor"))
    assert not cache.remove("Pod", "ns", "p", version=7), "the late deletion of its predecessor"


def test_prune_spares_what_is_newer_than_the_list() -> None:
    cache = Cache()
    for name, version in [("kept", 3), ("gone", 4), ("newer", 12)]:
        cache.put("Pod", pod(name, version))
    assert cache.prune("Pod", [("ns", "kept")], version=10) == [("ns", "gone")]
    assert cache.get("Pod", "ns", "newer") is not None
    assert cache.prune("Pod", [], version=20, namespace="other") == []


def test_indexes_follow_every_change() -> None:
    cache = Cache()
    cache.put("Pod", pod("p", 1, owner="job-1", policy="x"))
    assert [one["metadata"]["name"] for one in cache.owned("Pod", "job-1")] == ["p"]
    assert len(cache.labelled("Pod", "ns", names.POLICY_LABEL, "x")) == 1
    cache.put("Pod", pod("p", 2, owner="job-2", training_job="y"))
    assert cache.owned("Pod", "job-1") == []
    assert cache.labelled("Pod", "ns", names.POLICY_LABEL, "x") == []
    assert len(cache.labelled("Pod", "ns", names.TRAINING_JOB_LABEL, "y")) == 1
    cache.remove("Pod", "ns", "p", version=3)
    assert cache.owned("Pod", "job-2") == []
    assert cache.in_namespace("Pod", "ns") == []
    assert not any((cache._by_owner, cache._by_label, cache._by_namespace)), "no empty sets left behind"


def test_what_an_object_owns_is_found_whether_it_controls_it_or_not() -> None:
    cache = Cache()
    shared = pod("p", 1, owner="job-1")
    shared["metadata"]["ownerReferences"].append({"kind": "RLRollout", "name": "r", "uid": "rollout-1"})
    cache.put("Pod", shared)
    for uid in ("job-1", "rollout-1"):
        assert [one["metadata"]["name"] for one in cache.owned("Pod", uid)] == ["p"]


def test_a_pod_template_is_kept_for_whoever_asks_for_the_whole() -> None:
    cache = Cache()
    meta = {"namespace": "ns", "name": "d", "uid": "u", "resourceVersion": "1"}
    spec = {"replicas": 1, "template": {"metadata": {"labels": {"a": "b"}}}}
    cache.put("Deployment", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    whole = cache.whole("Deployment", "ns", "d")
    assert whole is not None
    assert whole["spec"] == spec
    assert cache.whole("Deployment", "ns", "none") is None


def test_a_rollout_is_found_by_the_family_that_it_follows() -> None:
    def rollout(version: int, policy: dict[str, str]) -> dict[str, Any]:
        meta = {"namespace": "ns", "name": "r", "uid": "u", "resourceVersion": str(version)}
        return {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "metadata": meta, "spec": {"policy": policy}}

    cache = Cache()
    cache.put("RLRollout", rollout(1, {"latestOf": "hopper"}))
    assert [len(cache.indexed(FAMILY, "RLRollout", "ns", family)) for family in ("hopper", "walker", "")] == [1, 0, 0]
    cache.put("RLRollout", rollout(2, {"name": "hopper"}))
    assert cache.indexed(FAMILY, "RLRollout", "ns", "hopper") == []
    cache.remove("RLRollout", "ns", "r", version=3)
    assert not cache._by_index, "no empty sets left behind"


def test_a_rollout_is_found_by_each_policy_it_names() -> None:
    def rollout(version: int, wanted: str = "a", **status: Any) -> dict[str, Any]:
        meta = {"namespace": "ns", "name": "r", "uid": "u", "resourceVersion": str(version)}
        sides = {role: {"policy": policy} for role, policy in status.items()}
        return {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "metadata": meta, "status": sides} | {
            "spec": {"policy": {"name": wanted}}
        }

    cache = Cache()
    cache.put("RLRollout", rollout(1, stable="a", candidate="b", rollback="b"))
    assert [len(cache.indexed(POLICY, "RLRollout", "ns", policy)) for policy in "abc"] == [1, 1, 0]
    cache.put("RLRollout", rollout(2, "d", stable="b", previous="a"))
    assert [len(cache.indexed(POLICY, "RLRollout", "ns", policy)) for policy in "abcd"] == [1, 1, 0, 1]
    cache.put("RLRollout", rollout(3, "c"))
    assert [len(cache.indexed(POLICY, "RLRollout", "ns", policy)) for policy in "abc"] == [0, 0, 1]
    cache.remove("RLRollout", "ns", "r", version=4)
    assert not cache._by_index, "no empty sets left behind"


def test_a_rollout_is_found_by_whom_it_waits_for_in_the_steps_it_goes_by() -> None:
    def rollout(version: int, **more: Any) -> dict[str, Any]:
        meta = {"namespace": "ns", "name": "r", "uid": "u", "resourceVersion": str(version)}
        return {"apiVersion": "belay.dev/v1alpha1", "kind": "RLRollout", "metadata": meta, **more}

    def found() -> list[int]:
        return [len(cache.indexed(PARTNER, "RLRollout", "ns", name)) for name in ("reranker", "ranker")]

    cache, steps = Cache(), [{"setWeight": 10}, {"together": {"with": ["reranker"]}}]
    cache.put("RLRollout", rollout(1, spec={"steps": steps}))
    assert found() == [1, 0]
    recorded = {"progression": {"steps": [{"together": {"with": ["ranker"]}}]}}
    cache.put("RLRollout", rollout(2, spec={"steps": steps}, status=recorded))
    assert found() == [0, 1], "those of an RLProgression, once they are recorded"


def test_an_unknown_index_is_an_error_not_an_empty_answer() -> None:
    with pytest.raises(KeyError, match="no index"):
        Cache().indexed("colour", "RLRollout", "ns", "red")


def test_a_label_without_index_is_an_error_not_an_empty_answer() -> None:
    with pytest.raises(KeyError, match="not indexed"):
        Cache().labelled("Pod", "ns", "app", "x")


@pytest.mark.parametrize("depth", [300, 5_000], ids=str)
def test_a_spec_nested_without_end_is_kept_as_unreadable_and_stops_no_list(depth: int) -> None:
    """The API server takes 10,000 levels, where a field is free-form; whoever may create one object must not end us."""
    kwargs: dict[str, Any] = {}
    for _ in range(depth):
        kwargs = {"a": kwargs}
    meta = {"namespace": "ns", "name": "deep", "uid": "u", "resourceVersion": "1"}
    raw = {
        "kind": "RLTrainingJob",
        "metadata": meta,
        "spec": {"environment": {"kwargs": kwargs}},
        "status": {"attempt": 1},
    }
    cache = Cache()
    assert cache.put("RLTrainingJob", raw)
    kept = cache.get("RLTrainingJob", "ns", "deep")
    assert kept is not None
    assert kept["status"] == {"attempt": 1}
    assert "levels" in (unreadable(kept) or "")
    cache.put("RLTrainingJob", {**raw, "metadata": {**meta, "resourceVersion": "2"}, "spec": {"a": 1}})
    assert unreadable(cache.get("RLTrainingJob", "ns", "deep") or {}) is None


def test_facts() -> None:
    cache = Cache()
    cache.put_fact("serving", "ns", "p", 3)
    assert cache.fact("serving", "ns", "p") == 3
    cache.put_fact("serving", "ns", "p", None)
    assert cache.fact("serving", "ns", "p") is None


HISTORY = [("put", 1, "a"), ("put", 2, "a"), ("del", 3, "a"), ("put", 4, "b"), ("put", 5, "b")]


@pytest.mark.parametrize("order", list(itertools.permutations(HISTORY)), ids=lambda _: "")
def test_every_order_of_events_ends_at_the_same_truth(order: tuple[tuple[str, int, str], ...]) -> None:
    cache = Cache()
    for what, version, uid in order:
        if what == "put":
            cache.put("Pod", pod("p", version, uid=uid))
        else:
            cache.remove("Pod", "ns", "p", version=version)
    found = cache.get("Pod", "ns", "p")
    assert found is not None
    assert (found["metadata"]["uid"], found["metadata"]["resourceVersion"]) == ("b", "5")


@given(st.permutations([*HISTORY, ("del", 6, "b"), ("put", 5, "b"), ("put", 2, "a")]))
def test_and_a_deleted_object_stays_deleted(order: list[tuple[str, int, str]]) -> None:
    cache = Cache()
    for what, version, uid in order:
        if what == "put":
            cache.put("Pod", pod("p", version, uid=uid))
        else:
            cache.remove("Pod", "ns", "p", version=version)
    assert cache.get("Pod", "ns", "p") is None


def test_only_what_is_read_is_kept_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand objects of each kind took .9 GB as Python dicts; most are not read for hours."""
    monkeypatch.setattr(slim, "UNPACKED", 10)
    monkeypatch.setattr(slim, "_RECENT", slim._Recent())
    cache = Cache()
    names = [f"p{number}" for number in range(100)]
    for number, name in enumerate(names):
        cache.put("Pod", pod(name, number + 1))
    entries = [cache.entry("Pod", "ns", name) for name in names]
    assert [entry is not None and entry._obj is not None for entry in entries] == [False] * 90 + [True] * 10

    first = cache.get("Pod", "ns", "p0")
    assert first is not None
    assert (first["status"], first["spec"]) == ({"phase": "Running"}, {"nodeName": "n"})
    assert cache.get("Pod", "ns", "p0") is first, "the same object to all who read it"
    cache.put("Pod", pod("p0", 500))
    assert entries[0] not in slim._RECENT._entries, "an old version holds no place"
    for name in names:
        assert (cache.get("Pod", "ns", name) or {})["metadata"]["name"] == name
    assert len(slim._RECENT._entries) == 10
