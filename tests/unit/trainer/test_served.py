"""What is served is what was measured: the artifact alone, in plain environments, returns what the report says."""

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import tasks  # noqa: F401 - registers its environments
import torch
from test_export import _export, _run, observations
from trainer_configs import make_config

from belay_api.artifact import MANIFEST, Manifest
from belay_api.training import TrainingReport
from belay_heads import Head, head_of
from belay_trainer.config import Run
from belay_trainer.export import ONNX, Network, loaded
from belay_trainer.session import train_and_publish
from belay_trainer.stop import Stop

EPISODES = 50
Z = 3.3  # once in a thousand
SCALED = {"normalize": {"observation": True, "reward": True}}
QUICK = {"learning_starts": 100, "net_arch": [32, 32], "batch_size": 64}
AT_ONCE = QUICK | {"learning_rate": 1e-3, "gamma": 0.5}  # nothing that is done here has consequences
QUANTILES = {"exploration_steps": 1500, "learning_rate": 1e-3, "gamma": 0.5, "n_quantiles": 10}
BRIEF = {"budget": {"steps": 600}}
FAR, PULL, PENDULUM, CARTPOLE = (
    {"environment": {"id": name}} for name in ("tasks:Far-v0", "tasks:Pull-v0", "Pendulum-v1", "CartPole-v1")
)
CASES: dict[str, tuple[str, dict[str, Any], float]] = {  # output, spec, what a policy that learned returns at least
    "categorical, scaled": ("logits", FAR | SCALED | {"algorithm": {"ppo": {}}}, 45),
    "categorical": ("logits", CARTPOLE | {"algorithm": {"a2c": {}}}, 30),
    "values, scaled": ("q-values", FAR | SCALED | {"algorithm": {"dqn": {"exploration_steps": 1500}}}, 35),
    "gaussian, scaled": ("gaussian", PULL | SCALED | {"algorithm": {"ppo": {"n_steps": 32, "gamma": 0.5}}}, 30),
    "gaussian": ("gaussian", PENDULUM | {"algorithm": {"ppo": {"n_steps": 128}}}, -2000),
    "squashed, scaled": (
        "squashed-gaussian",
        PULL | SCALED | {"algorithm": {"sac": AT_ONCE}, "budget": {"steps": 1500}},
        35,
    ),
    "squashed": ("squashed-gaussian", PENDULUM | BRIEF | {"algorithm": {"sac": QUICK}}, -2000),
    "values of quantiles, scaled": ("q-values", FAR | SCALED | {"algorithm": {"qrdqn": QUANTILES}}, 35),
    "squashed behind batch statistics, scaled": (
        "squashed-gaussian",
        PULL | SCALED | {"algorithm": {"crossq": AT_ONCE | {"policy_delay": 1}}, "budget": {"steps": 800}},
        35,
    ),
    "mean, scaled": ("mean", PULL | SCALED | {"algorithm": {"td3": QUICK}, "budget": {"steps": 1500}}, 35),
    "mean": ("mean", PENDULUM | BRIEF | {"algorithm": {"td3": QUICK}}, -2000),
}


@pytest.mark.parametrize("case", CASES)
def test_the_artifact_alone_returns_what_was_reported(case: str, tmp_path: Path) -> None:
    output, spec, learned = CASES[case]
    spec = (
        {"budget": {"steps": 3000}} | spec | {"evaluation": {"every": 1000, "episodes": 10, "finalEpisodes": EPISODES}}
    )
    report = _train(spec, tmp_path)
    assert report.return_ is not None
    (folder,) = (path for path in (tmp_path / "artifacts").iterdir() if path.is_dir())
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    assert manifest.output == output
    assert (manifest.normaliser is not None) == ("scaled" in case)

    head, network = head_of(manifest.output, manifest.action), loaded(folder)[ONNX]
    served = _play(head, network, gymnasium.make(manifest.environment))

    error = math.sqrt((manifest.evaluation.std**2 + np.var(served)) / EPISODES)
    assert abs(report.return_ - np.mean(served)) <= Z * error
    assert np.mean(served) >= learned, "a policy that learned nothing returns the same however it is served"


@pytest.mark.parametrize(
    ("algorithm", "environment", "settings"),
    [
        ("ppo", "CartPole-v1", {}),
        ("ppo", "Pendulum-v1", {"use_sde": False}),
        ("ppo", "Pendulum-v1", {"use_sde": True}),
        ("ppo", "Pendulum-v1", {"use_sde": True, "policy_kwargs": {"full_std": False, "use_expln": True}}),
    ],
)
def test_propensities_are_the_librarys_probabilities(
    algorithm: str, environment: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    run = _run(algorithm, environment, settings)
    learner, manifest = _export(run, tmp_path)
    head, batch = head_of(manifest.output, manifest.action), observations(run, 64)
    outputs = loaded(tmp_path)[ONNX](batch)
    actions = head.sample(outputs, np.random.default_rng(1))
    inside = np.ones(64, dtype=bool)
    if environment == "Pendulum-v1":  # of a number at a bound the library knows no probability
        inside = np.abs(actions[:, 0]) < 2.0
    with torch.no_grad():
        known = learner.model.policy.get_distribution(torch.from_numpy(batch))
        wanted = known.log_prob(torch.from_numpy(np.asarray(actions))).numpy()
    assert inside.sum() > 20
    np.testing.assert_allclose(head.log_propensity(outputs, actions)[inside], wanted[inside], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["sac", "crossq"])
def test_propensities_of_squashed_actions_are_the_librarys(algorithm: str, tmp_path: Path) -> None:
    run = _run(algorithm, "Pendulum-v1")
    learner, manifest = _export(run, tmp_path)
    head, batch = head_of(manifest.output, manifest.action), observations(run, 64)
    outputs = loaded(tmp_path)[ONNX](batch)
    actions = head.sample(outputs, np.random.default_rng(1))
    with torch.no_grad():
        actor = learner.model.policy.actor
        mean, log_std, _ = actor.get_action_dist_params(torch.from_numpy(batch))
        actor.action_dist.proba_distribution(mean, log_std)
        # The library speaks of actions within -1 and 1, and keeps away from its bounds by an epsilon.
        wanted = actor.action_dist.log_prob(torch.from_numpy(actions / 2.0)).numpy() - math.log(2.0)
    inside = np.abs(actions[:, 0]) < 1.9
    assert inside.sum() > 20
    np.testing.assert_allclose(head.log_propensity(outputs, actions)[inside], wanted[inside], atol=1e-3)


def _train(spec: dict[str, Any], root: Path) -> TrainingReport:
    run = Run(make_config(**spec), index=0, seed=1)
    return train_and_publish(run, work_dir=root, pvc_dir=root, initial_dir=root, logbook=None, stop=Stop())


def _play(head: Head, network: Network, environment: gymnasium.Env[Any, Any]) -> list[float]:
    returns = []
    for episode in range(EPISODES):
        observation, _ = environment.reset(seed=70_000 + episode)
        total, ended = 0.0, False
        while not ended:
            action = head.greedy(network(np.stack([observation])))[0]
            observation, reward, terminated, truncated, _ = environment.step(action)
            total += float(reward)
            ended = terminated or truncated
        returns.append(total)
    return returns
