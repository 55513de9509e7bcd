"""What is published acts as the model did, whatever goes in and comes out; what does not is not published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from stable_baselines3 import PPO
from trainer_support import make_config

from belay_api.artifact import EvaluationReport, verify
from belay_trainer.config import Run
from belay_trainer.environments import maker
from belay_trainer.export import Evaluations, ExportFailed, check_agreement, export, sample_observations
from belay_trainer.train import build

REPORT = EvaluationReport(step=7, episodes=1, first_seed=0, mean=1.0, std=0.0, min=1.0, max=1.0)
TASKS = {
    "ppo on CartPole-v1": ("ppo", "CartPole-v1", "logits", (2,)),
    "dqn on CartPole-v1": ("dqn", "CartPole-v1", "q-values", (2,)),
    "ppo on Pendulum-v1": ("ppo", "Pendulum-v1", "mean", (1,)),
    "ppo on discrete observations": ("ppo", "tasks:Rooms-v0", "logits", (2,)),
    "dqn on discrete observations": ("dqn", "tasks:Rooms-v0", "q-values", (2,)),
    "ppo on images, channels last": ("ppo", "tasks:Picture-v0", "logits", (2,)),
}


def _run(algorithm: str = "ppo", environment: str = "CartPole-v1", **spec: Any) -> Run:
    return Run(make_config(algorithm={"name": algorithm}, environment={"id": environment}, **spec), index=0, seed=3)


def _export(run: Run, folder: Path) -> Any:
    model = build(run)
    environment, evaluations = maker(run.spec.environment)(), Evaluations(REPORT, selection=REPORT)
    return model, export(model, run, environment=environment, evaluations=evaluations, folder=folder)


@pytest.mark.parametrize("case", TASKS)
def test_both_networks_act_as_predict(case: str, tmp_path: Path) -> None:
    algorithm, environment, kind, shape = TASKS[case]
    run = _run(algorithm, environment)
    model, manifest = _export(run, tmp_path)
    assert (manifest.output, manifest.algorithm, manifest.environment) == (kind, algorithm, environment)
    observations = sample_observations(maker(run.spec.environment)(), count=37)  # no batch size seen at export
    session = onnxruntime.InferenceSession(str(tmp_path / "policy.onnx"))
    (name,) = [given.name for given in session.get_inputs()]
    onnx = session.run(None, {name: observations})[0]
    script = torch.jit.load(str(tmp_path / "policy.pt"))(torch.from_numpy(observations)).numpy()
    assert onnx.shape == script.shape == (37, *shape)
    actions = model.policy.predict(observations, deterministic=True)[0]
    for found in (onnx, script):
        acted = found if kind == "mean" else found.argmax(axis=1)
        np.testing.assert_allclose(acted, actions, atol=1e-4)


def test_the_manifest_covers_every_byte(tmp_path: Path) -> None:
    _, manifest = _export(_run(), tmp_path)
    assert verify(tmp_path, wanted=manifest.digest()) == manifest
    assert [entry.path for entry in manifest.files] == [
        "config.json",
        "critic.onnx",
        "policy.onnx",
        "policy.pt",
        "training.zip",
    ]
    assert manifest.max_episode_steps == 500
    assert manifest.outcomes == {}
    assert (manifest.lineage.seed, manifest.lineage.step) == (3, 7)
    assert set(manifest.lineage.packages) >= {"python", "torch", "stable-baselines3", "gymnasium", "numpy"}
    assert json.loads((tmp_path / "manifest.json").read_bytes())["observation"]["low"][1] is None


def test_the_artifact_says_what_was_asked_for(tmp_path: Path) -> None:
    _export(_run(budget={"steps": 4321}), tmp_path)
    said = json.loads((tmp_path / "config.json").read_bytes())
    assert (said["budget"], said["algorithm"]) == ({"steps": 4321}, {"ppo": {}})


def test_the_training_file_goes_on_from_the_same_weights(tmp_path: Path) -> None:
    model, _ = _export(_run(), tmp_path)
    loaded = PPO.load(tmp_path / "training.zip")
    for name, tensor in model.policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], tensor)


def test_a_network_that_acts_differently_is_not_published(tmp_path: Path) -> None:
    from belay_trainer.export import Network

    model, _ = _export(_run(), tmp_path)
    with torch.no_grad():
        model.policy.action_net.bias += torch.tensor([5.0, -5.0])
    observations = sample_observations(maker(_run().spec.environment)(), count=37)
    with pytest.raises(ExportFailed, match="nothing is published"):
        check_agreement(model, Network(model).eval(), tmp_path, observations)
