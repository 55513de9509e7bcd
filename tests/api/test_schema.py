"""The API server itself refuses what cannot be carried out, with one sentence that says what to do.

A case is a file: `good/*.yaml` must be accepted as it is; `bad/*.yaml` and `frozen/*.yaml` name the sentence they want.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.api.engine.kube import Kube

from belay_cluster.api import Api

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "schema"
EXAMPLES = [path for path in sorted((ROOT / "examples").rglob("*.yaml")) if "belay.dev/" in path.read_text()]
GOOD = [*sorted((CASES / "good").glob("*.yaml")), *EXAMPLES]
BAD = sorted((CASES / "bad").glob("*.yaml"))
FROZEN = sorted((CASES / "frozen").glob("*.yaml"))
assert EXAMPLES, "no examples"
assert len(GOOD) > len(EXAMPLES), "no case files"
assert BAD, "no case files"
assert FROZEN, "no case files"


@pytest.fixture(scope="module")
def kube(api: Api) -> Iterator[Kube]:
    """kubectl in one namespace for all cases: nothing here leaves more than an object behind."""
    made = Kube(api.kubeconfig, "schema")
    made.run("create", "namespace", made.namespace)
    yield made
    made.run("delete", "rl", "--all")


def case(path: Path, keys: set[str]) -> dict[str, Any]:
    """Return a case; a misspelt key is an error, not a default."""
    found = yaml.safe_load(path.read_text())
    assert keys <= set(found) <= keys | {"why"}, f"{path.name}: keys are {sorted(keys)} and why"
    return found


def belay_objects(path: Path) -> list[dict[str, Any]]:
    """Return the file's objects of our kinds, without the namespace they name."""
    found = [thing for thing in yaml.safe_load_all(path.read_text()) if thing["apiVersion"].startswith("belay.dev/")]
    for thing in found:
        thing["metadata"].pop("namespace", None)
    return found


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_is_accepted(kube: Kube, path: Path) -> None:
    for thing in belay_objects(path):
        kube.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(thing))


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client-side", "server-side"])
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_applied_again_nothing_changes(kube: Kube, path: Path, way: tuple[str, ...]) -> None:
    things = belay_objects(path)
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": things})
    answers = []
    for _ in range(2):
        words = kube.run("apply", *way, "-f", "-", stdin=listed).splitlines()
        answers.append([kube.get(thing["kind"], thing["metadata"]["name"]) or {} for thing in things])
    for thing in things:
        kube.run("delete", thing["kind"], thing["metadata"]["name"])
    first, second = ([stored["metadata"]["resourceVersion"] for stored in answer] for answer in answers)
    assert first == second
    assert way or all(line.endswith(" unchanged") for line in words), words
    for thing, stored in zip(things, answers[1], strict=True):
        # Who compares by himself takes a list as one value: Argo CD without ServerSideDiff does.
        written, found = dict(lists(thing["spec"])), dict(lists(stored["spec"]))
        assert {path: found[path] for path in written} == written


def lists(value: dict[str, Any], path: str = "spec") -> Iterator[tuple[str, list[Any]]]:
    """Yield every list by its path; not those inside of it."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from lists(inner, f"{path}.{name}")
        elif isinstance(inner, list):
            yield f"{path}.{name}", inner


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_is_refused_and_told_why(kube: Kube, path: Path) -> None:
    wanted = case(path, {"object", "want"})
    with pytest.raises(AssertionError, match=re.escape(wanted["want"])):
        kube.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(wanted["object"]))


@pytest.mark.parametrize("path", FROZEN, ids=lambda path: path.stem)
def test_what_is_frozen_stays(kube: Kube, path: Path) -> None:
    wanted = case(path, {"object", "patch", "want"})
    thing = wanted["object"]
    kube.run("create", "-f", "-", stdin=json.dumps(thing))
    name = f"{thing['kind'].lower()}/{thing['metadata']['name']}"
    with pytest.raises(AssertionError, match=re.escape(wanted["want"])):
        kube.run("patch", name, "--type=merge", "-p", json.dumps(wanted["patch"]))
    kube.run("delete", name)


def test_suspend_is_not_frozen(kube: Kube) -> None:
    [thing] = belay_objects(CASES / "good" / "training_minimal.yaml")
    kube.run("create", "-f", "-", stdin=json.dumps(thing))
    kube.run("patch", "rltj/least", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    kube.run("delete", "rltj/least")


def test_what_gets_a_job_going_may_change_while_it_is_suspended(kube: Kube) -> None:
    [thing] = belay_objects(CASES / "good" / "training_minimal.yaml")
    kube.run("create", "-f", "-", stdin=json.dumps({**thing, "spec": {**thing["spec"], "suspend": True}}))
    edit = {
        "runtime": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}], "shm": "1Gi"},
        "budget": {"deadline": "3h"},
        "failure": {"retriesPerSeed": 7, "stallTimeout": "1h"},
        "checkpoint": {"every": 77, "keep": 3, "grace": "2m"},
    }
    kube.run("patch", "rltj/least", "--type=merge", "-p", json.dumps({"spec": {**edit, "suspend": False}}))
    kube.run(
        "patch",
        "rltj/least",
        "--type=merge",
        "-p",
        '{"spec": {"cost": {"budget": 5}, "cleanup": {"afterSuccess": "1h"}}}',
    )
    kube.run("delete", "rltj/least")


def test_defaults_are_in_the_schema(kube: Kube) -> None:
    [thing] = belay_objects(CASES / "good" / "training_minimal.yaml")
    kube.run("create", "-f", "-", stdin=json.dumps(thing))
    spec = json.loads(kube.run("get", "rltj/least", "-o", "json"))["spec"]
    assert spec["seeds"] == {"count": 1, "first": 0}
    often = {"every": 10000, "episodes": 20, "finalEpisodes": 100, "firstSeed": 1000000, "vector": {}}
    assert spec["evaluation"] == often
    assert spec["checkpoint"] == {"every": 10000, "keep": 2, "environment": True, "grace": "60s"}
    assert spec["failure"] == {"retriesPerSeed": 3, "stallTimeout": "30m"}
    kube.run("delete", "rltj/least")


def test_an_autoscaler_reads_and_writes_the_scale_of_a_policy_that_nobody_has_scaled(kube: Kube) -> None:
    [thing] = belay_objects(CASES / "good" / "policy.yaml")
    kube.run("create", "-f", "-", stdin=json.dumps({**thing, "spec": {"artifact": thing["spec"]["artifact"]}}))
    path = f"/apis/belay.dev/v1alpha1/namespaces/{kube.namespace}/rlpolicies/cartpole-7f3a9c/scale"
    scale = json.loads(kube.run("get", "--raw", path))
    assert scale["spec"]["replicas"] == 1, "at 0 a HorizontalPodAutoscaler calls itself disabled"
    kube.run("scale", "rlp/cartpole-7f3a9c", "--current-replicas=1", "--replicas=5")
    serving = json.loads(kube.run("get", "rlp/cartpole-7f3a9c", "-o", "json"))["spec"]["serving"]
    assert serving["scale"] == 5
    assert "replicas" not in serving, "what a person or a rollout asks for is not overwritten"
    kube.run("delete", "rlp/cartpole-7f3a9c")


def test_one_category_lists_all_kinds(kube: Kube) -> None:
    for name in ("training_minimal", "policy"):
        for thing in belay_objects(CASES / "good" / f"{name}.yaml"):
            kube.run("create", "-f", "-", stdin=json.dumps(thing))
    shown = kube.run("get", "rl", "-o", "name").split()
    assert set(shown) == {"rltrainingjob.belay.dev/least", "rlpolicy.belay.dev/cartpole-7f3a9c"}
