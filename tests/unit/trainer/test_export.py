"""What is published acts as the policy did, whatever goes in and comes out; what does not is not published."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from trainer_configs import make_config

from belay_api.artifact import EvaluationReport, Manifest, verify
from belay_api.spaces import space_model
from belay_heads import head_of
from belay_trainer.config import Run
from belay_trainer.environments import maker
from belay_trainer.errors import BadConfiguration
from belay_trainer.evaluate import Stopped
from belay_trainer.export import Evaluations, ExportFailed, check_agreement, export, loaded, rehearse, write_networks
from belay_trainer.learners.learner import Learner
from belay_trainer.train import build

REPORT = EvaluationReport(step=7, episodes=1, first_seed=0, mean=1.0, std=0.0, min=1.0, max=1.0)
PLAYED = Evaluations(REPORT, selection=REPORT, step=7)
TASKS = {
    "ppo on CartPole-v1": ("ppo", "CartPole-v1", "logits", (2,)),
    "dqn on CartPole-v1": ("dqn", "CartPole-v1", "q-values", (2,)),
    "ppo on Pendulum-v1": ("ppo", "Pendulum-v1", "gaussian", (2,)),
    "a2c on Acrobot-v1, behind statistics": ("a2c", "Acrobot-v1", "logits", (3,)),
    "a2c on Pendulum-v1, behind statistics": ("a2c", "Pendulum-v1", "gaussian", (2,)),
    "sac on Pendulum-v1": ("sac", "Pendulum-v1", "squashed-gaussian", (2,)),
    "td3 on Pendulum-v1": ("td3", "Pendulum-v1", "mean", (1,)),
    "td3 on BipedalWalker-v3": ("td3", "BipedalWalker-v3", "mean", (4,)),
    "qrdqn on CartPole-v1": ("qrdqn", "CartPole-v1", "q-values", (2,)),
    "tqc on Pendulum-v1": ("tqc", "Pendulum-v1", "squashed-gaussian", (2,)),
    "crossq on Pendulum-v1": ("crossq", "Pendulum-v1", "squashed-gaussian", (2,)),
    "ppo on actions in two rows": ("ppo", "tasks:Sheet-v0", "gaussian", (12,)),
    "ppo on discrete observations": ("ppo", "tasks:Rooms-v0", "logits", (2,)),
    "dqn on discrete observations": ("dqn", "tasks:Rooms-v0", "q-values", (2,)),
    "qrdqn on images, channels last": ("qrdqn", "tasks:Picture-v0", "q-values", (2,)),
    "ppo on images, channels last": ("ppo", "tasks:Picture-v0", "logits", (2,)),
}


def _run(
    algorithm: str = "ppo", environment: str = "CartPole-v1", settings: dict[str, Any] | None = None, **spec: Any
) -> Run:
    asked = {algorithm: settings or {}}
    return Run(make_config(algorithm=asked, environment={"id": environment}, **spec), index=0, seed=3)


def _export(run: Run, folder: Path) -> tuple[Learner, Manifest]:
    learner = build(run)
    learner.start()
    environment, evaluations = maker(run.spec.environment)(), PLAYED
    return learner, export(learner, run, environment=environment, evaluations=evaluations, folder=folder)


def observations(run: Run, count: int) -> np.ndarray:
    """Return what random actions lead to."""
    environment = maker(run.spec.environment)()
    environment.action_space.seed(0)
    found = [environment.reset(seed=0)[0]]
    while len(found) < count:
        observation, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
        found.append(environment.reset()[0] if terminated or truncated else observation)
    return np.stack(found)


@pytest.mark.parametrize("case", TASKS)
def test_both_networks_act_as_predict(case: str, tmp_path: Path) -> None:
    algorithm, environment, output, shape = TASKS[case]
    run = _run(algorithm, environment)
    learner, manifest = _export(run, tmp_path)
    assert (manifest.output, manifest.algorithm, manifest.environment) == (output, algorithm, environment)
    assert (manifest.normaliser is not None) == ("statistics" in case)
    batch = observations(run, 37)  # no batch size seen at export
    actions = learner.policy.predict(batch, deterministic=True)[0]
    head = head_of(manifest.output, manifest.action)
    for network in loaded(tmp_path).values():
        found = network(batch)
        assert found.shape == (37, *shape)
        np.testing.assert_allclose(head.greedy(found), actions, atol=1e-4)


def test_a_served_observation_is_not_normalised_by_the_batch_it_came_in(tmp_path: Path) -> None:
    """CrossQ's layers compute with running statistics in service, and with a batch's own in training."""
    run = _run("crossq", "Pendulum-v1")
    learner = build(run)
    learner.start()
    learner.advance(300, leave=lambda: False, on_step=lambda: None)
    statistics = [buffer for name, buffer in learner.model.policy.actor.named_buffers() if name.endswith("ra_mean")]
    assert statistics
    assert all((mean != 0).any() for mean in statistics), "the statistics are those of a training"
    learner.model.policy.set_training_mode(True)
    batch = observations(run, 37)
    actions = learner.policy.predict(batch, deterministic=True)[0]
    learner.model.policy.set_training_mode(True)  # predict has ended it
    write_networks(learner.networks().actor, batch[:2], tmp_path)
    head = head_of("squashed-gaussian", space_model(learner.model.action_space))
    for network in loaded(tmp_path).values():
        alone = np.concatenate([network(batch[row : row + 1]) for row in range(37)])
        np.testing.assert_allclose(network(batch), alone, atol=1e-5)
        np.testing.assert_allclose(head.greedy(alone), actions, atol=1e-4)


def test_quantiles_are_served_as_their_mean(tmp_path: Path) -> None:
    run = _run("qrdqn", "CartPole-v1")
    learner, manifest = _export(run, tmp_path)
    assert "sb3-contrib" in manifest.lineage.packages
    batch = observations(run, 37)
    with torch.no_grad():
        quantiles = learner.model.policy.quantile_net(torch.from_numpy(batch)).numpy()
    assert quantiles.shape == (37, 10, 2)
    for network in loaded(tmp_path).values():
        np.testing.assert_allclose(network(batch), quantiles.mean(axis=1), rtol=1e-4, atol=1e-5)


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
    assert set(manifest.lineage.packages) >= {"belay", "python", "torch", "stable-baselines3", "gymnasium", "numpy"}
    assert json.loads((tmp_path / "manifest.json").read_bytes())["observation"]["low"][1] is None


def test_the_artifact_says_what_was_asked_for(tmp_path: Path) -> None:
    described = {"description": "holds the pole", "tags": {"team": "control"}}
    _export(_run(budget={"steps": 4321}, **described), tmp_path)
    said = json.loads((tmp_path / "config.json").read_bytes())
    assert described.items() <= said.items()
    assert (said["budget"], said["algorithm"]) == ({"steps": 4321}, {"ppo": {}})


def test_the_training_file_goes_on_from_the_same_weights(tmp_path: Path) -> None:
    learner, _ = _export(_run(), tmp_path)
    again = PPO.load(tmp_path / "training.zip")
    for name, tensor in learner.model.policy.state_dict().items():
        assert torch.equal(again.policy.state_dict()[name], tensor)


def test_a_network_that_acts_differently_is_not_published(tmp_path: Path) -> None:
    learner, manifest = _export(_run(), tmp_path)
    with torch.no_grad():
        learner.model.policy.action_net.bias += torch.tensor([5.0, -5.0])
    environment = maker(_run().spec.environment)()
    head = head_of(manifest.output, space_model(environment.action_space))
    with pytest.raises(ExportFailed, match="nothing is published"):
        check_agreement(learner.policy, head, tmp_path, environment, first_seed=0)


def test_statistics_that_only_training_has_are_not_published(tmp_path: Path) -> None:
    """The policy acts on normalised observations, its network here on raw ones."""
    run = _run("ppo", "tasks:Far-v0", normalize={"observation": True})
    learner, manifest = _export(run, tmp_path)
    plain = build(_run("ppo", "tasks:Far-v0"))
    plain.model.policy.load_state_dict(learner.model.policy.state_dict())
    environment = maker(run.spec.environment)()
    head = head_of(manifest.output, space_model(environment.action_space))
    with pytest.raises(ExportFailed, match="another action"):
        check_agreement(plain.policy, head, tmp_path, environment, first_seed=0)


def test_what_cannot_be_exported_is_told_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    run = _run()
    learner, environment = build(run), maker(run.spec.environment)()
    rehearse(learner, environment)

    class Unknown(torch.nn.Module):
        def forward(self, observation: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(observation.T @ observation).real

    networks = replace(learner.networks(), actor=Unknown())
    monkeypatch.setattr(learner, "networks", lambda: networks)
    with pytest.raises(BadConfiguration, match="cannot be exported"):
        rehearse(learner, environment)


def test_a_pod_that_must_go_leaves_the_played_episodes(tmp_path: Path) -> None:
    learner = build(_run())
    environment = maker(_run().spec.environment)()
    looks = iter([False] * 5 + [True])
    with pytest.raises(Stopped):
        export(learner, _run(), environment=environment, evaluations=PLAYED, folder=tmp_path, stop=lambda: next(looks))
