"""A policy that remembers: learned where nothing else helps, exported, played, cut, collected with, begun from."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml
from arro3.io import read_parquet
from recall import LENGTH
from test_export import PLAYED
from test_initial import begun, run_of, trained
from trainer_configs import make_config
from trainer_support import ROOT, train_in, train_in_pieces

from belay_api.artifact import MANIFEST, verify
from belay_api.environment import EnvironmentSpec
from belay_api.gates import Gate
from belay_api.reasons import Verdict
from belay_api.spaces import space_model
from belay_api.training import TrainingReport
from belay_heads import head_of
from belay_heads.observations import numbers, parts
from belay_trainer.collecting.collect import collect
from belay_trainer.collecting.collection import CollectionSpec
from belay_trainer.config import Run
from belay_trainer.environments import maker, maker_for
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Evaluator
from belay_trainer.export import ExportFailed, check_agreement, export, loaded
from belay_trainer.learners.recurrent_ppo import RecurrentPPO
from belay_trainer.ope.artifact_policy import ArtifactPolicy
from belay_trainer.recording import record
from belay_trainer.served import Artifact, ServedNetwork, ServedPolicy, read_artifact
from belay_trainer.session import train_and_publish
from belay_trainer.stop import Stop
from belay_trainer.train import build
from belay_trainer.validation.gates import run_gates

SMALL = {"net_arch": [16], "lstm_hidden_size": 8, "n_steps": 30, "batch_size": 60, "n_epochs": 2}
QUICK = {
    "n_steps": 32,
    "batch_size": 64,
    "n_epochs": 6,
    "learning_rate": 1e-2,
    "gamma": 1.0,
    "net_arch": [16],
    "lstm_hidden_size": 16,
}
TASK = {"id": "recall:Recall-v0"}
GATES: list[dict[str, Any]] = [
    {"performance": {"minReturn": 0.8, "betterThan": "random"}},
    {"robustness": {"maxDrop": "30%", "noise": [0.01], "episodes": 50}},
    {"worstCase": {"maxDrop": "30%", "epsilon": 0.05, "episodes": 50}},
    {"latency": {"p99": "100ms"}},
]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingReport, Artifact]:
    """What a training of 4,000 timesteps came to, its gates among them."""
    root = tmp_path_factory.mktemp("recall")
    config = make_config(
        environment=TASK,
        algorithm={"recurrentPPO": QUICK},
        budget={"steps": 4000},
        evaluation={"every": 1000, "episodes": 20, "finalEpisodes": 100},
        gates=GATES,
    )
    run = Run(config, index=0, seed=0)
    report = train_and_publish(run, work_dir=root, pvc_dir=root, initial_dir=root, logbook=None, stop=Stop())
    (manifest,) = root.rglob(MANIFEST)
    return report, read_artifact(manifest.parent)


# --- learned ----------------------------------------------------------------------------------------------------------
def test_it_learns_what_cannot_be_played_without_a_memory(learned: tuple[TrainingReport, Artifact]) -> None:
    """The right action is told by nothing but the first observation, three timesteps before."""
    report, artifact = learned
    assert report.return_ == 1.0
    assert report.random is not None
    assert 0.3 < report.random.mean < 0.7  # of 100 episodes, four standard errors
    assert artifact.manifest.state is not None
    assert artifact.manifest.state.shape == [2, 1, 16]
    assert report.findings == []


def test_the_same_network_without_its_memory_plays_by_chance(learned: tuple[TrainingReport, Artifact]) -> None:
    policy = ServedPolicy(learned[1])
    assert _returns(policy, remembers=True) == [1.0] * 100
    assert 0.3 < np.mean(_returns(policy, remembers=False)) < 0.7


def _returns(policy: ServedPolicy, *, remembers: bool) -> list[float]:
    environment, returns = maker(EnvironmentSpec.model_validate(TASK))(), []
    for seed in range(100):
        observation, state, over, returned = environment.reset(seed=seed)[0], None, False, 0.0
        while not over:
            actions, after = policy.predict(observation[None], state=state)
            observation, reward, over, _, _ = environment.step(actions[0])
            state, returned = after if remembers else None, returned + float(reward)
        returns.append(returned)
    return returns


def test_an_evaluation_gives_each_episode_its_own_memory() -> None:
    """Of a policy that counts: what it remembers is how many timesteps of that very episode it has seen."""

    class Counting:
        def predict(self, observation: np.ndarray, *, deterministic: bool, state: Any = None) -> Any:
            before = np.zeros((len(observation), 1), np.float32) if state is None else state
            np.testing.assert_array_equal(before[:, 0], observation[:, 1] * LENGTH)
            seen.append(len(observation))
            return np.zeros(len(observation), int), before + 1

    seen: list[int] = []
    task = EnvironmentSpec.model_validate(TASK)
    evaluator = Evaluator(maker(task), task, episodes=10, first_seed=0, copies=4)
    assert len(evaluator.returns(Counting(), range(10))) == 10
    assert sum(seen) == 10 * LENGTH
    assert set(seen) == {4, 2}, "episodes end and others begin beside them"


# --- exported ---------------------------------------------------------------------------------------------------------
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {  # settings, environment, output
    "a choice": ({}, {}, "logits"),
    "two layers": ({"n_lstm_layers": 2}, {}, "logits"),
    "a critic that shares the memory": ({"shared_lstm": True}, {}, "logits"),
    "a critic without a memory": ({"enable_critic_lstm": False}, {}, "logits"),
    "a number": ({}, {"kwargs": {"action": "number"}}, "gaussian"),
    "parts by key": ({}, {"kwargs": {"shows": "dict"}}, "logits"),
    "a picture": ({"n_steps": 16, "batch_size": 16}, {"id": "tasks:Picture-v0"}, "logits"),
}


def _run(case: str, **further: Any) -> Run:
    settings, environment, _ = CASES[case]
    spec = {"environment": TASK | environment, "algorithm": {"recurrentPPO": SMALL | settings}} | further
    return Run(make_config(**spec), index=0, seed=3)


@pytest.mark.parametrize(  # one array of numbers is what can be scaled
    ("case", "scaled"), [*((case, False) for case in CASES), ("a choice", True), ("a number", True)]
)
def test_both_networks_remember_and_act_as_the_policy_does(case: str, tmp_path: Path, *, scaled: bool) -> None:
    run = _run(case, normalize={"observation": scaled})
    learner, environment = build(run), maker_for(run.spec)()
    learner.start()
    learner.advance(120, leave=lambda: False, on_step=lambda: None)
    batch = np.stack([_row(environment, seed) for seed in range(37)])  # no batch size seen at export
    learner.policy.predict(batch, deterministic=True)  # as every training asks it before it is exported
    manifest = export(learner, run, environment=environment, evaluations=PLAYED, folder=tmp_path)
    assert verify(tmp_path, wanted=manifest.digest()) == manifest
    assert (manifest.output, manifest.normaliser is not None) == (CASES[case][2], scaled)
    assert manifest.state is not None

    generator, policy = np.random.default_rng(0), ServedPolicy(read_artifact(tmp_path))
    state = generator.uniform(-1, 1, (37, *manifest.state.shape)).astype(np.float32)
    actions, after = learner.policy.predict(batch, deterministic=True, state=state)
    head = head_of(manifest.output, manifest.action)
    for name, network in loaded(tmp_path).items():
        outputs, next_state = network(batch, state)
        assert outputs.shape == (37, head.width), name
        np.testing.assert_allclose(head.greedy(outputs), actions, atol=1e-4)
        np.testing.assert_allclose(next_state, after, atol=1e-5)
    assert np.abs(np.asarray(after) - policy.predict(batch)[1]).max() > 0.01, "what was remembered counts"
    assert learner.values(batch) is None


def _row(environment: Any, seed: int) -> np.ndarray:
    return numbers(environment.reset(seed=seed)[0], parts(space_model(environment.observation_space)))


def test_a_network_that_remembers_otherwise_is_not_published(tmp_path: Path) -> None:
    run = _run("a choice")
    (one, other), environment = (build(Run(run.config, index=0, seed=seed)) for seed in (0, 1)), maker_for(run.spec)()
    one.start()
    export(one, run, environment=environment, evaluations=PLAYED, folder=tmp_path)
    head = read_artifact(tmp_path).head
    shape = one.networks().state
    check_agreement(one.policy, head, tmp_path, environment, first_seed=0, state=shape)
    other.model.policy.action_net.load_state_dict(one.model.policy.action_net.state_dict())
    with pytest.raises(ExportFailed, match="remembers otherwise than the policy"):
        check_agreement(other.policy, head, tmp_path, environment, first_seed=0, state=shape)


# --- resumed ----------------------------------------------------------------------------------------------------------
CUT = {
    "environment": TASK,
    "algorithm": {"recurrentPPO": SMALL},
    "budget": {"steps": 1000},
    "evaluation": {"every": 500, "episodes": 2},
    "checkpoint": {"every": 240},  # of eight copies for 30 timesteps: in the middle of their episodes of four
}


@pytest.mark.parametrize("spec", [{}, {"normalize": {"observation": True, "reward": True}}], ids=["plain", "scaled"])
def test_a_training_cut_in_two_ends_with_the_same_bits(tmp_path: Path, spec: dict[str, Any]) -> None:
    whole, cut = train_in(tmp_path / "whole", **CUT | spec), train_in_pieces(tmp_path / "cut", (40, 30), **CUT | spec)
    assert cut.resumed_from, "it began anew: this shows nothing"
    assert cut.learner.weights_sha256() == whole.learner.weights_sha256()
    assert cut.best.report == whole.best.report


def test_what_is_remembered_of_episodes_under_way_is_part_of_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_in(tmp_path / "whole", **CUT)
    remember = RecurrentPPO._remember

    def forget(self: RecurrentPPO, memory: Any) -> None:
        remember(self, [[np.zeros_like(array) for array in part] for part in memory])

    monkeypatch.setattr(RecurrentPPO, "_remember", forget)
    cut = train_in_pieces(tmp_path / "cut", (40,), **CUT)
    assert cut.resumed_from
    assert cut.learner.weights_sha256() != whole.learner.weights_sha256()


# --- validated, recorded, collected -----------------------------------------------------------------------------------
def test_gates_play_it_with_its_memory(learned: tuple[TrainingReport, Artifact]) -> None:
    report, artifact = learned
    assert report.validation is not None
    assert report.validation.gates == len(GATES)
    performance, robustness, attack, latency = run_gates(
        [Gate.model_validate(one) for one in GATES], artifact, EnvironmentSpec.model_validate(TASK)
    )
    assert performance.verdict is robustness.verdict is latency.verdict is Verdict.PASS
    (measured,) = attack.measured.measurements
    assert measured.verdict is not Verdict.NO_DATA, "the gradient goes through the memory's network"
    assert any("The policy remembers" in note for note in attack.measured.notes)


def test_a_recording_shows_what_it_plays_with_its_memory(tmp_path: Path) -> None:
    folder, _ = trained(
        tmp_path / "before",
        algorithm={"recurrentPPO": SMALL | {"learning_rate": 1e-2}},
        budget={"steps": 480},
        evaluation={"every": 480, "episodes": 2, "finalEpisodes": 2},
    )
    artifact, task = read_artifact(folder), EnvironmentSpec(id="CartPole-v1")
    recorded = record(artifact, task, tmp_path / "episode.gif", seed=5)
    evaluator = Evaluator(maker(task), task, episodes=1, first_seed=5)
    (returned,) = evaluator.returns(ServedPolicy(artifact), range(5, 6))
    assert recorded.return_ == returned


def test_collected_propensities_follow_from_all_that_the_policy_saw(
    learned: tuple[TrainingReport, Artifact], tmp_path: Path
) -> None:
    artifact, epsilon = learned[1], 0.3
    collection = {
        "environment": TASK,
        "policies": [{"policy": str(artifact.folder), "name": "drawn", "actions": "sampled", "epsilon": epsilon}],
        "episodes": 40,
    }
    collect(CollectionSpec.model_validate(collection), tmp_path / "log.parquet")
    table = read_parquet(tmp_path / "log.parquet").read_all()
    columns = {name: table[name].combine_chunks().to_pylist() for name in table.column_names}
    network, state, explored = ServedNetwork(artifact), None, 0
    for observation, action, propensity in zip(
        columns["observation"], columns["action"], columns["propensity"], strict=True
    ):
        seen = np.asarray(observation, np.float32)[None]
        state = None if seen[0, 1] == 0 else state
        outputs, state = network.outputs(seen, state)
        likely = float(np.exp(artifact.head.log_propensity(outputs, [action]))[0])
        assert propensity == pytest.approx((1 - epsilon) * likely + epsilon / 2, rel=1e-4)
        explored += likely < 0.01
    assert len(columns["action"]) == 40 * LENGTH
    assert explored, "an action of chance is one that the policy would not have taken, and it saw what came of it"


def test_it_cannot_be_judged_by_single_decisions(learned: tuple[TrainingReport, Artifact]) -> None:
    with pytest.raises(BadConfiguration, match="it remembers what it saw before.*cannot be judged offline"):
        ArtifactPolicy(learned[1], greedy=True)


# --- begun from -------------------------------------------------------------------------------------------------------
def test_a_training_begins_with_its_weights_and_says_what_does_not_fit(tmp_path: Path) -> None:
    parts = {"environment": TASK, "budget": {"steps": 240}, "evaluation": {"every": 240, "episodes": 2}}
    spec = parts | {"algorithm": {"recurrentPPO": SMALL}}
    folder, policy = trained(tmp_path / "before", **spec)
    learner = begun(run_of(policy, **spec), folder)
    before, environment = ServedPolicy(read_artifact(folder)), maker(EnvironmentSpec.model_validate(TASK))()
    seen = environment.reset(seed=9)[0][None]
    for mine, theirs in zip(learner.policy.predict(seen, deterministic=True), before.predict(seen), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    other = {"recurrentPPO": SMALL | {"lstm_hidden_size": 12}}
    with pytest.raises(
        BadConfiguration, match=r"remembers a state of shape \[2, 1, 8\].*a state of shape \[2, 1, 12\]"
    ):
        begun(run_of(policy, **parts, algorithm=other), folder)
    with pytest.raises(BadConfiguration, match=r"state of shape \[2, 1, 8\].*this training nothing between decisions"):
        begun(run_of(policy, **parts, algorithm={"ppo": {"net_arch": [16]}}), folder)


# --- the example ------------------------------------------------------------------------------------------------------
def test_the_example_hides_velocities_and_has_the_tasks_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ROOT / "examples" / "hidden-velocity"
    monkeypatch.syspath_prepend(str(folder))
    spec = yaml.safe_load((folder / "10-training.yaml").read_text())["spec"]
    learner = build(Run(make_config(**{name: spec[name] for name in ("environment", "algorithm")}), index=0, seed=0))
    assert learner.preset == "CartPole-v1"
    assert learner.networks().state == (2, 1, 64)
    shown = maker(EnvironmentSpec.model_validate(spec["environment"]))()
    assert shown.reset(seed=0)[0].tolist() == gymnasium.make("CartPole-v1").reset(seed=0)[0][[0, 2]].tolist()
