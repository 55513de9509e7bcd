"""A zip of Stable-Baselines3 serves what the library's own predict says."""

import copy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import panels  # noqa: F401 - registers its environment
import pytest
import recall  # noqa: F401 - likewise
import sb3_contrib
import stable_baselines3
import tasks
from import_support import Imports, seen_in, served
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from belay_api.artifact import TRAINING_FILE
from belay_handler.acting import Actor
from belay_handler.networks import load_network

SMALL = {"policy_kwargs": {"net_arch": [16]}}
ROUNDS = SMALL | {"n_steps": 64, "batch_size": 32, "n_epochs": 2}
BUFFERED = SMALL | {"learning_starts": 32}
PRESSED = {"net_arch": [16], "squash_output": True}
APART = {"net_arch": [16], "share_features_extractor": False}
CASES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "ppo": ("PPO", "CartPole-v1", ROUNDS, "logits"),
    "ppo, continuous": ("PPO", "Pendulum-v1", ROUNDS, "gaussian"),
    "ppo, features apart": ("PPO", "CartPole-v1", ROUNDS | {"policy_kwargs": APART}, "logits"),
    "ppo, noise by state": ("PPO", "Pendulum-v1", ROUNDS | {"use_sde": True}, "gaussian"),
    "ppo, noise by state between bounds": (
        "PPO",
        "Pendulum-v1",
        ROUNDS | {"use_sde": True, "policy_kwargs": PRESSED},
        "mean",
    ),
    "ppo, schedules": ("PPO", "CartPole-v1", ROUNDS | {"learning_rate": lambda left: left * 1e-3}, "logits"),
    "a2c": ("A2C", "Acrobot-v1", SMALL, "logits"),
    "dqn": ("DQN", "CartPole-v1", BUFFERED, "q-values"),
    "sac": ("SAC", "Pendulum-v1", BUFFERED, "squashed-gaussian"),
    "sac, noise by state": ("SAC", "Pendulum-v1", BUFFERED | {"use_sde": True}, "mean"),
    "td3": ("TD3", "Pendulum-v1", BUFFERED, "mean"),
    "qrdqn": ("QRDQN", "CartPole-v1", BUFFERED, "q-values"),
    "tqc": ("TQC", "Pendulum-v1", BUFFERED, "squashed-gaussian"),
    "crossq": ("CrossQ", "Pendulum-v1", BUFFERED, "squashed-gaussian"),
}
BEHIND_STATISTICS = ["ppo", "ppo, continuous", "a2c", "dqn", "sac", "td3", "ppo, noise by state"]


def _train(case: str, folder: Path, *, behind_statistics: bool = False) -> tuple[Path, Path, str]:
    """Train a little and save, as one does; return the model, the statistics and the environment."""
    name, environment, settings, _ = CASES[case]
    tasks = DummyVecEnv([lambda: gymnasium.make(environment)])
    if behind_statistics:
        tasks = VecNormalize(tasks)
    model = _library(name)("MlpPolicy", tasks, seed=1, device="cpu", **copy.deepcopy(settings))
    model.learn(64)
    path, statistics = folder / "model.zip", folder / "statistics.pkl"
    model.save(path)
    if behind_statistics:
        tasks.save(str(statistics))
    return path, statistics, environment


def _library(name: str) -> Any:
    return getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)


@pytest.mark.parametrize("case", CASES)
def test_it_acts_as_predict(case: str, imports: Imports, tmp_path: Path) -> None:
    path, _, environment = _train(case, tmp_path)
    folder, manifest = imports.artifact(path, "--trust")

    observations = seen_in(gymnasium.make(environment), 200)
    model = _library(CASES[case][0]).load(path, device="cpu")
    wanted, _ = model.predict(observations, deterministic=True)
    np.testing.assert_allclose(served(folder, manifest, observations), wanted, atol=1e-4)
    assert manifest.output == CASES[case][3]
    assert manifest.algorithm == CASES[case][0].lower()
    assert manifest.imported is not None
    assert manifest.imported.timesteps == model.num_timesteps
    assert manifest.imported.packages["stable-baselines3"] == stable_baselines3.__version__
    assert (folder / TRAINING_FILE).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("case", BEHIND_STATISTICS)
def test_behind_statistics_it_acts_as_predict_does_behind_them(case: str, imports: Imports, tmp_path: Path) -> None:
    path, statistics, environment = _train(case, tmp_path, behind_statistics=True)
    folder, manifest = imports.artifact(path, "--trust", "--normalize", statistics)

    observations = seen_in(gymnasium.make(environment), 200)
    scaled = VecNormalize.load(str(statistics), DummyVecEnv([lambda: gymnasium.make(environment)]))
    model = getattr(stable_baselines3, CASES[case][0]).load(path, device="cpu")
    wanted, _ = model.predict(scaled.normalize_obs(observations), deterministic=True)
    np.testing.assert_allclose(served(folder, manifest, observations), wanted, atol=1e-4)
    assert manifest.normaliser is not None
    np.testing.assert_allclose(manifest.normaliser.mean, scaled.obs_rms.mean)


def test_a_policy_under_masks_is_measured_under_them(imports: Imports, tmp_path: Path) -> None:
    settings = {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "seed": 0, "device": "cpu"}
    task = gymnasium.make("panels:Panel-v0", action="dials", shows="dict", masks="observation")
    panel = ActionMasker(task, lambda environment: environment.unwrapped.mask)
    model = sb3_contrib.MaskablePPO("MultiInputPolicy", panel, policy_kwargs={"net_arch": [16]}, **settings)
    model.learn(64)
    model.save(tmp_path / "model.zip")
    kwargs = '{"action": "dials", "shows": "dict", "masks": "observation"}'
    folder, manifest = imports.artifact(
        tmp_path / "model.zip",
        "--trust",
        "--environment",
        "panels:Panel-v0",
        "--environment-kwargs",
        kwargs,
        "--episodes",
        "5",
    )
    assert (manifest.algorithm, manifest.output) == ("maskablePPO", "masked-multi-categorical")
    assert manifest.observation.kind == "dict"
    assert manifest.evaluation is not None  # the panel raises for an action that is not allowed
    assert (folder / TRAINING_FILE).exists()


@pytest.mark.parametrize(("action", "sde", "output"), [("choice", False, "logits"), ("number", True, "gaussian")])
def test_one_that_remembers_brings_its_memory(
    imports: Imports, tmp_path: Path, action: str, sde: bool, output: str
) -> None:
    task = gymnasium.make("recall:Recall-v0", action=action)
    settings = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "seed": 0, "device": "cpu", "use_sde": sde}
    network = {"net_arch": [16], "lstm_hidden_size": 8, "n_lstm_layers": 2}
    model = sb3_contrib.RecurrentPPO("MlpLstmPolicy", task, policy_kwargs=network, **settings)
    model.learn(128)
    model.save(tmp_path / "model.zip")
    kwargs = ("--environment", "recall:Recall-v0", "--environment-kwargs", f'{{"action": "{action}"}}')
    folder, manifest = imports.artifact(tmp_path / "model.zip", "--trust", *kwargs, "--episodes", "5")
    assert (manifest.algorithm, manifest.output) == ("recurrentPPO", output)
    assert manifest.state is not None
    assert manifest.state.shape == [2, 2, 8]
    assert manifest.evaluation is not None

    # An episode as a serving pod plays it, and as the library does.
    actor = Actor(manifest, load_network(manifest, folder), np.random.default_rng(0))
    states, theirs = np.zeros((1, 2, 2, 8), np.float32), None
    for observation in seen_in(task, 4):
        (action,), states = actor.act_and_remember(observation[None], states, [True])
        wanted, theirs = model.predict(observation[None], state=theirs, deterministic=True)
        np.testing.assert_allclose(action, wanted[0], atol=1e-4)
    np.testing.assert_allclose(states[0, 0], theirs[0][:, 0], atol=1e-5)
    assert np.abs(states).max() > 0.001


def test_pictures_go_in_as_the_environment_shows_them(imports: Imports, tmp_path: Path) -> None:
    environment = gymnasium.make("tasks:Picture-v0")
    model = stable_baselines3.PPO("CnnPolicy", environment, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
    model.save(tmp_path / "model.zip")
    folder, manifest = imports.artifact(
        tmp_path / "model.zip", "--trust", "--observation-space", "box:36x40x3:0:255:uint8"
    )

    observations = seen_in(environment, 20)
    assert list(observations.shape[1:]) == manifest.observation.shape == list(environment.observation_space.shape)
    wanted, _ = model.predict(observations, deterministic=True)
    np.testing.assert_array_equal(served(folder, manifest, observations), wanted)


def test_without_an_environment_it_says_what_it_does_not_know(imports: Imports, tmp_path: Path) -> None:
    path, _, _ = _train("ppo", tmp_path)
    _, manifest = imports.artifact(path, "--trust")
    assert manifest.absent == ["evaluation", "lineage", "outcomes"]
    assert (manifest.environment, manifest.max_episode_steps) == (None, None)
    assert "no evaluation, no lineage, no outcomes" in imports.told
    assert "if it was trained behind VecNormalize, give --normalize" in imports.told


def test_with_an_environment_it_is_measured_and_foresees(imports: Imports, tmp_path: Path) -> None:
    path, _, environment = _train("ppo", tmp_path)
    folder, manifest = imports.artifact(path, "--trust", "--environment", environment, "--episodes", "12")
    assert manifest.absent == ["lineage"]
    assert manifest.environment == environment
    assert manifest.max_episode_steps == 500

    model, returns = stable_baselines3.PPO.load(path, device="cpu"), []
    for episode in range(12):
        played = gymnasium.make(environment)
        observation, _ = played.reset(seed=1_010_000 + episode)
        total, ended = 0.0, False
        while not ended:
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = played.step(action)
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    assert manifest.evaluation is not None
    assert manifest.evaluation.mean == pytest.approx(np.mean(returns))
    assert manifest.evaluation.std == pytest.approx(np.std(returns))
    known = manifest.outcomes["return"]
    assert known.random is not None
    assert 15 < known.random.mean < 30, "random actions return about 22, with a standard error of 1.2"
    assert (known.low, known.high) == (
        min(known.random.min, known.evaluated.min),
        max(known.random.max, known.evaluated.max),
    )
    assert (folder / "critic.onnx").exists()


def test_its_code_runs_only_if_it_is_trusted(imports: Imports, tmp_path: Path) -> None:
    path, _, _ = _train("ppo", tmp_path)
    mark = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(mark), "w")

    model = stable_baselines3.PPO.load(path, device="cpu")
    model.policy_kwargs = {**model.policy_kwargs, "evil": Evil()}
    model.save(tmp_path / "evil.zip")
    told = imports.refused(tmp_path / "evil.zip")
    assert "holds pickles" in told
    assert "--trust" in told
    assert not mark.exists()

    imports.refused(tmp_path / "evil.zip", "--trust")  # its network cannot be made, but its code has run
    assert mark.exists(), "else the check above tells nothing"


@pytest.mark.parametrize(
    ("library", "module"),
    [
        (sb3_contrib.ARS, "sb3_contrib.ars.policies"),
        (sb3_contrib.TRPO, "stable_baselines3.common.policies"),  # whose settings are A2C's and some of its own
    ],
)
def test_one_of_another_algorithm_is_told_by_name(
    library: type[BaseAlgorithm], module: str, imports: Imports, tmp_path: Path
) -> None:
    library("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "other.zip")
    told = imports.refused(tmp_path / "other.zip", "--trust")
    assert module in told
    assert "ppo, dqn, sac, td3, a2c, qrdqn, tqc, crossq, maskablePPO, recurrentPPO can be" in told


def test_an_environment_that_it_was_not_trained_in_is_refused(imports: Imports, tmp_path: Path) -> None:
    path, _, _ = _train("ppo", tmp_path)
    told = imports.refused(path, "--trust", "--environment", "Acrobot-v1")
    assert "Name the environment it was trained in" in told
    assert "(6,)" in told


@pytest.mark.parametrize("content", [b"\x80\x04N.", b"nothing of the sort"])
def test_statistics_that_are_none_are_refused(content: bytes, imports: Imports, tmp_path: Path) -> None:
    path, _, _ = _train("ppo", tmp_path)
    (tmp_path / "other.pkl").write_bytes(content)
    assert "VecNormalize" in imports.refused(path, "--trust", "--normalize", tmp_path / "other.pkl")


def test_statistics_of_another_task_are_refused(imports: Imports, tmp_path: Path) -> None:
    path, _, _ = _train("ppo", tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, statistics, _ = _train("ppo, continuous", other, behind_statistics=True)
    assert "(3,)" in imports.refused(path, "--trust", "--normalize", statistics)


assert tasks  # registers its environments
