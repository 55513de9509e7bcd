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
GOOD = [*sorted((CASES / "good").glob("*.yaml")), *sorted((ROOT / "examples").rglob("*.yaml"))]
BAD = sorted((CASES / "bad").glob("*.yaml"))
FROZEN = sorted((CASES / "frozen").glob("*.yaml"))
assert GOOD, "no case files"
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


def test_defaults_are_in_the_schema(kube: Kube) -> None:
    [thing] = belay_objects(CASES / "good" / "training_minimal.yaml")
    kube.run("create", "-f", "-", stdin=json.dumps(thing))
    spec = json.loads(kube.run("get", "rltj/least", "-o", "json"))["spec"]
    assert spec["seeds"] == {"count": 1, "first": 0}
    assert spec["evaluation"] == {"every": 10000, "episodes": 20, "firstSeed": 1000000}
    assert spec["failure"] == {"retriesPerSeed": 3}
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
