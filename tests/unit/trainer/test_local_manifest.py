"""The YAML that kubectl takes, read without an API server: what is wrong is told as it would tell it, or better."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from belay_api.crd import RESOURCES, definition
from belay_trainer.errors import BadConfiguration
from belay_trainer.local.manifest import read_manifest
from belay_trainer.local.rules import TWINS, twin

ROOT = Path(__file__).parents[3]
EXAMPLES = [
    path
    for path in sorted((ROOT / "examples").rglob("*.yaml"))
    if any(one and one.get("kind") == "RLTrainingJob" for one in yaml.safe_load_all(path.read_text()))
]
assert len(EXAMPLES) >= 5, "no examples: this test would pass by testing nothing"

JOB = """
apiVersion: belay.dev/v1alpha1
kind: RLTrainingJob
metadata: {name: cartpole, namespace: demo}
spec:
  environment: {id: CartPole-v1}
  algorithm: {ppo: {}}
  budget: {steps: 3000}
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(text)
    return path


def _with(**spec: Any) -> str:
    body = yaml.safe_load(JOB)
    body["spec"] |= spec
    return yaml.safe_dump(body)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_trained_here(path: Path) -> None:
    manifest = read_manifest(path)
    assert manifest.spec.budget.steps > 0


def test_what_is_said_and_what_is_default(tmp_path: Path) -> None:
    manifest = read_manifest(_write(tmp_path, JOB))
    assert (manifest.name, manifest.namespace) == ("cartpole", "demo")
    assert (manifest.spec.seeds.count, manifest.unchecked, manifest.unused) == (1, (), ())


BAD = {
    "a misspelt field": (
        {"budget": {"stpes": 3000}},
        ["spec.budget.stpes is no field: did you mean steps?", "spec.budget.steps is missing"],
    ),
    "Python's spelling": (
        {"evaluation": {"final_episodes": 10}},
        ["spec.evaluation.final_episodes is no field: did you mean finalEpisodes?"],
    ),
    "a setting of another algorithm": ({"algorithm": {"dqn": {"n_epochs": 3}}}, ["spec.algorithm.dqn.n_epochs"]),
    "words of the library": (
        {"algorithm": {"ppo": {"n_envs": 8, "lr": 1e-3, "total_timesteps": 10}}},
        [
            "spec.algorithm.ppo.n_envs is no field: that is spec.environment.vector.count",
            "spec.algorithm.ppo.lr is no field: that is learning_rate",
            "spec.algorithm.ppo.total_timesteps is no field: that is spec.budget.steps",
        ],
    ),
    "a misspelt algorithm": ({"algorithm": {"poo": {}}}, ["spec.algorithm.poo is no field: did you mean ppo?"]),
    "nothing near": ({"budget": {"xyz": 1, "steps": 2}}, ["spec.budget.xyz is no field; there are steps, deadline"]),
    "a number in quotes": ({"seeds": {"count": "3"}}, ["spec.seeds.count is '3', wanted a number without quotes"]),
    "a number for a duration": ({"checkpoint": {"grace": 60}}, ["spec.checkpoint.grace is 60, wanted text"]),
    "a duration that is none": ({"budget": {"steps": 1, "deadline": "soon"}}, ["spec.budget.deadline", "no duration"]),
    "below a bound": ({"budget": {"steps": 0}}, ["spec.budget.steps is 0", "greater than or equal to 1"]),
    "two algorithms": ({"algorithm": {"ppo": {}, "dqn": {}}}, ["spec.algorithm", "exactly one of ppo"]),
    "no algorithm": ({"algorithm": {}}, ["spec.algorithm", "exactly one of ppo"]),
    "the old form": ({"algorithm": {"name": "ppo"}}, ["algorithm.name and algorithm.hyperparameters are no more"]),
    "more required than there are": (
        {"seeds": {"count": 2, "required": 3}},
        ["spec.seeds: seeds.required is larger than seeds.count"],
    ),
    "rewards between nothing": (
        {"environment": {"id": "CartPole-v1", "rewardRange": {"low": 1, "high": 0}}},
        ["spec.environment.rewardRange: rewardRange.low is above"],
    ),
    "rewards without an end": (
        {"environment": {"id": "CartPole-v1", "rewardRange": {}}},
        ["spec.environment.rewardRange: rewardRange has at least one end"],
    ),
    "a gate of two kinds": (
        {"gates": [{"performance": {"minReturn": 1}, "latency": {"p99": "1ms"}}]},
        ["spec.gates[0]:", "a gate has exactly one of performance"],
    ),
    "a gate without a limit": ({"gates": [{"performance": {}}]}, ["spec.gates[0].performance:", "set minReturn"]),
    "a rule inside a list": (
        {"gates": [{"edgeCases": {"minReturn": 1, "starts": [{"name": "leaning"}]}}]},
        ["spec.gates[0].edgeCases.starts[0]: an edge case says how it begins"],
    ),
    "a cost called return": (
        {"environment": {"id": "CartPole-v1", "constraints": [{"name": "heat"}, {"name": "return"}]}},
        ["spec.environment.constraints[1]: a constraint cannot be called return"],
    ),
    "a draw of two kinds": (
        {"environment": {"id": "CartPole-v1", "randomize": {"gravity": {"uniform": [1, 2], "log": [1, 2]}}}},
        ["spec.environment.randomize.gravity: a draw has exactly one of"],
    ),
    "a draw upside down": (
        {"environment": {"id": "CartPole-v1", "randomize": {"gravity": {"uniform": [2, 1]}}}},
        ["spec.environment.randomize.gravity.uniform: a uniform draw has two ends"],
    ),
    "too little grace": ({"checkpoint": {"grace": "5s"}}, ["spec.checkpoint: checkpoint.grace is from 10s to 1h"]),
    "a day of grace": ({"checkpoint": {"grace": "1d"}}, ["spec.checkpoint: checkpoint.grace is from 10s to 1h"]),
    "no patience at all": ({"failure": {"stallTimeout": "5ms"}}, ["failure.stallTimeout is at least 1s"]),
    "a family that is no name": (
        {"publish": {"family": "7up"}},
        ["spec.publish: publish.family must begin with a letter"],
    ),
    "two faults at once": (
        {"seeds": {"cuont": 3}, "evaluation": {"evry": 5}},
        ["spec.seeds.cuont is no field: did you mean count?", "spec.evaluation.evry is no field: did you mean every?"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_fault_is_told_with_its_field(tmp_path: Path, case: str) -> None:
    spec, wanted = BAD[case]
    with pytest.raises(BadConfiguration) as caught:
        read_manifest(_write(tmp_path, _with(**spec)))
    assert [part for part in wanted if part not in str(caught.value)] == [], str(caught.value)


FILES = {
    "no YAML": ("spec: [", "is no YAML"),
    "another kind": (JOB.replace("RLTrainingJob", "RLRollout"), "no object of kind RLTrainingJob, but RLRollout"),
    "another version": (JOB.replace("v1alpha1", "v1"), "apiVersion is 'belay.dev/v1', wanted belay.dev/v1alpha1"),
    "no name": (JOB.replace("name: cartpole, ", ""), "metadata.name is missing"),
    "a name that is none": (JOB.replace("cartpole", "Cart_Pole"), "metadata.name must start with a letter"),
    "a name too long": (JOB.replace("cartpole", "c" * 53), "metadata.name is longer than 52"),
    "no spec": (JOB.partition("spec:")[0], "spec is missing"),
    "a key twice": (JOB + "  budget: {steps: 5000}\n", "'budget' stands twice"),
    "two jobs": (f"{JOB}---{JOB.replace('cartpole', 'other')}", "choose with --name, of cartpole, other"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, case: str) -> None:
    text, wanted = FILES[case]
    with pytest.raises(BadConfiguration) as caught:
        read_manifest(_write(tmp_path, text))
    assert wanted in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read"):
        read_manifest(tmp_path / "none.yaml")


def test_of_several_jobs_one_is_chosen(tmp_path: Path) -> None:
    path = _write(tmp_path, f"{JOB}---{JOB.replace('cartpole', 'other')}")
    assert read_manifest(path, name="other").name == "other"
    with pytest.raises(BadConfiguration, match="no such RLTrainingJob, but cartpole, other"):
        read_manifest(path, name="third")


def test_numbers_and_dates_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    text = JOB.replace("{id: CartPole-v1}", "{id: CartPole-v1, kwargs: {scale: 1e-3, most: -2E5, since: 2026-05-04}}")
    kwargs = read_manifest(_write(tmp_path, text)).spec.environment.kwargs
    assert kwargs == {"scale": 0.001, "most": -200000.0, "since": "2026-05-04"}


def test_what_only_a_cluster_uses_is_named(tmp_path: Path) -> None:
    runtime = {"threads": 2, "image": "mine:1", "resources": {"limits": {"cpu": "1", "gpu": 1}}}
    manifest = read_manifest(_write(tmp_path, _with(runtime=runtime, suspend=True)))
    assert manifest.unused == ("spec.suspend", "spec.runtime.image", "spec.runtime.resources")
    assert manifest.unchecked == ()


def test_a_rule_without_a_twin_is_named_where_its_field_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TWINS, next(rule for rule in TWINS if "self.grace" in rule))
    assert read_manifest(_write(tmp_path, JOB)).unchecked == ()
    assert read_manifest(_write(tmp_path, _with(checkpoint={"grace": "5s"}))).unchecked == ("spec.checkpoint",)


def test_every_twin_belongs_to_a_rule() -> None:
    """A rule that was reworded would lose its twin in silence."""
    kind = next(kind for kind in RESOURCES if kind.kind == "RLTrainingJob")
    schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rules = set(_rules(schema))
    assert set(TWINS) <= rules
    judged_by_form = {rule for rule in rules if twin(rule)} - set(TWINS)
    assert all("exists_one" in rule or rule.startswith("has(self.") for rule in judged_by_form)
    assert any("self.ppo" in rule for rule in judged_by_form)


def _rules(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [rule for one in schema for rule in _rules(one)]
    if not isinstance(schema, dict):
        return []
    return [one["rule"] for one in schema.get("x-kubernetes-validations", ())] + _rules(list(schema.values()))
