"""Presets are the measured ones, and a user's words mean what they say whatever the number of environments."""

from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch

from belay_api.algorithms import ALGORITHMS, AlgorithmSpec
from belay_api.algorithms.common import Activation
from belay_trainer.errors import BadConfiguration
from belay_trainer.learners import FROM_DATASET, LEARNERS
from belay_trainer.presets import a2c
from belay_trainer.presets.preset import ACTIVATIONS, Model, PresetContext

LIBRARYS = tuple(LEARNERS)  # the others are Belay's own
FILES: dict[str, ModuleType] = {
    name: import_module(LEARNERS[name].settings.__module__ if name in LEARNERS else f"belay_trainer.presets.{name}")
    for name in ALGORITHMS
}
USUAL_RATES = {
    "ppo": 3e-4,
    "a2c": 7e-4,
    "dqn": 1e-4,
    "sac": 3e-4,
    "td3": 1e-3,
    "qrdqn": 5e-5,
    "tqc": 3e-4,
    "crossq": 1e-3,
    "maskablePPO": 3e-4,
    "recurrentPPO": 3e-4,
}


LAYERS = {"pi": [64, 64], "vf": [64, 64]}
FOUR = {"train_freq": 4, "gradient_steps": 1, "target_update_gradient_steps": 100}


def _model(name: str, environment: str, *, copies: int | None = None, steps: int = 100_000, **overrides: Any) -> Model:
    spec = AlgorithmSpec.model_validate({name: overrides})
    return FILES[name].model(spec.settings, PresetContext(environment=environment, steps=steps, copies=copies))


def _arguments(name: str, **how: Any) -> dict[str, Any]:
    return _model(name, "CartPole-v1", **how).arguments


def test_every_algorithm_of_the_api_has_a_learner_and_presets() -> None:
    assert (*LEARNERS, *FROM_DATASET) == ALGORITHMS
    assert {name: learner.algorithm for name, learner in FROM_DATASET.items()} == {name: name for name in FROM_DATASET}
    for name, learner in LEARNERS.items():
        assert learner.algorithm == name
        assert learner.library.__module__.startswith("sb3_contrib") == ("sb3-contrib" in learner.packages)


@pytest.mark.parametrize("algorithm", LIBRARYS)
def test_a_task_without_a_preset_of_its_own_gets_the_librarys_settings(algorithm: str) -> None:
    found = _model(algorithm, "Mine-v0")
    assert found.preset == "default"
    assert found.arguments["learning_rate"] == USUAL_RATES[algorithm]  # and does not decay


def test_every_preset_is_complete() -> None:
    # A share of the budget then; learned then; the library's own then; nothing then; no update ends early then.
    free = {"exploration_steps", "ent_coef", "activation_fn", "policy_kwargs", "sde_sample_freq", "target_kl"}
    for name, file in FILES.items():
        for preset in file.PRESETS.values():
            missing = {setting for setting, value in preset.settings if value is None}
            assert missing <= free, (name, preset)


def test_what_is_scaled_is_the_users_to_choose() -> None:
    spec = AlgorithmSpec.model_validate({"a2c": {}}).settings
    for said, wanted in ((None, True), (False, False)):
        found = a2c.model(spec, PresetContext(environment="Acrobot-v1", steps=1, observation=said))
        assert (found.scaled.observation, found.scaled.reward) == (wanted, True)
    found = a2c.model(spec, PresetContext(environment="CartPole-v1", steps=1, reward=True))
    assert (found.scaled.observation, found.scaled.reward) == (False, True)


def test_a_schedule_is_the_users_to_choose() -> None:
    found = _arguments("ppo", learning_rate_schedule="constant", clip_range=0.3)
    assert found["learning_rate"] == 1e-3
    assert found["clip_range"](0.5) == pytest.approx(0.15)


def test_ppo_is_the_zoos() -> None:
    found = _arguments("ppo")
    wanted = {"n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20, "ent_coef": 0.0}
    assert {name: found[name] for name in wanted} == wanted
    for name, first in (("learning_rate", 1e-3), ("clip_range", 0.2)):
        assert [found[name](left) for left in (1.0, 0.5, 0.0, -0.001)] == pytest.approx([first, first / 2, 0, 0])


@pytest.mark.parametrize("algorithm", ["ppo", "maskablePPO", "recurrentPPO"])
def test_how_far_an_update_goes_is_the_users_to_choose(algorithm: str) -> None:
    said = {"vf_coef": 0.58, "max_grad_norm": 0.8, "target_kl": 0.03}  # the zoo has such for HalfCheetah
    usual = _arguments(algorithm)
    assert [usual[name] for name in said] == [0.5, 0.5, None]
    found = _arguments(algorithm, **said)
    assert {name: found[name] for name in said} == said


def test_noise_that_depends_on_what_is_seen_is_the_zoos() -> None:
    found = _model("a2c", "Pendulum-v1").arguments
    assert (found["use_sde"], found["sde_sample_freq"]) == (True, -1)
    assert found["policy_kwargs"] == {"net_arch": LAYERS, "log_std_init": -2.0, "ortho_init": False}
    assert _model("ppo", "Pendulum-v1").arguments["sde_sample_freq"] == 4


def test_noise_is_the_users_to_choose() -> None:
    plain = _model("a2c", "Pendulum-v1", use_sde=False).arguments
    assert "use_sde" not in plain
    assert plain["policy_kwargs"] == {"net_arch": LAYERS}  # the first noise goes with the kind of noise
    mine = _model("a2c", "Mine-v0", use_sde=True, sde_sample_freq=8).arguments
    assert (mine["use_sde"], mine["sde_sample_freq"]) == (True, 8)
    own = _model("a2c", "Pendulum-v1", policy_kwargs={"log_std_init": 0.0}).arguments
    assert own["policy_kwargs"] == {"net_arch": LAYERS}  # the learner adds the user's own


def test_ppo_with_less_experience_than_a_batch_uses_what_there_is() -> None:
    assert _arguments("ppo", copies=2)["batch_size"] == 64
    assert _arguments("ppo", copies=2, batch_size=32)["batch_size"] == 32


def test_every_activation_function_of_the_api_is_known() -> None:
    assert set(ACTIVATIONS) == set(Activation)


@pytest.mark.parametrize("algorithm", LIBRARYS)
def test_an_activation_function_is_the_users_to_choose(algorithm: str) -> None:
    assert "activation_fn" not in _model(algorithm, "Mine-v0").arguments["policy_kwargs"]
    found = _model(algorithm, "Mine-v0", activation_fn="leaky_relu")
    assert found.arguments["policy_kwargs"]["activation_fn"] is torch.nn.LeakyReLU


@pytest.mark.parametrize(
    ("copies", "overrides", "train_freq", "interval"),
    [
        (1, {}, 256, 256),  # the zoo's for CartPole: 128 gradient steps every 256 timesteps, then the target network
        (1, FOUR, 4, 400),  # 100 gradient steps, one every 4 timesteps
        (1, FOUR | {"gradient_steps": 4}, 4, 100),
        (1, FOUR | {"train_freq": 1}, 1, 100),
        (4, FOUR, 1, 400),  # one step of four copies is four timesteps
        (8, FOUR, 1, 800),  # no finer than one step of the vector: one gradient step every 8 timesteps
        (1, FOUR | {"target_update_gradient_steps": 250}, 4, 1000),
    ],
)
def test_dqn_counts_target_updates_in_gradient_steps(
    copies: int, overrides: dict[str, object], train_freq: int, interval: int
) -> None:
    found = _arguments("dqn", copies=copies, **overrides)
    assert (found["train_freq"], found["target_update_interval"]) == ((train_freq, "step"), interval)


def test_dqn_explores_for_timesteps_not_for_a_share_of_the_budget() -> None:
    assert _arguments("dqn", steps=20_000)["exploration_fraction"] == 0.4
    assert _arguments("dqn", steps=5_000)["exploration_fraction"] == 1.6  # ends before epsilon is at its lowest


def test_a_layer_list_shapes_policy_and_value_networks() -> None:
    assert _arguments("ppo", net_arch=[32])["policy_kwargs"] == {"net_arch": {"pi": [32], "vf": [32]}}
    assert _arguments("dqn", net_arch=[32])["policy_kwargs"] == {"net_arch": [32]}
    assert _arguments("crossq")["policy_kwargs"] == {"net_arch": {"pi": [256, 256], "qf": [1024, 1024]}}
    assert _arguments("crossq", net_arch=[32])["policy_kwargs"] == {"net_arch": {"pi": [32], "qf": [32]}}
    wide = _arguments("crossq", net_arch=[32], critic_net_arch=[64])
    assert wide["policy_kwargs"] == {"net_arch": {"pi": [32], "qf": [64]}}


@pytest.mark.parametrize(
    ("task", "train_freq", "interval"),
    # The zoo's intervals are 10, 250 and 1, but between two collections the target network follows once at most.
    [("CartPole-v1", 256, 256), ("Acrobot-v1", 4, 250), ("LunarLander-v3", 256, 256)],
)
def test_qrdqn_updates_its_target_network_as_often_as_the_zoo(task: str, train_freq: int, interval: int) -> None:
    found = _model("qrdqn", task).arguments
    assert (found["train_freq"], found["target_update_interval"]) == ((train_freq, "step"), interval)


def test_qrdqn_is_the_zoos() -> None:
    found = _model("qrdqn", "CartPole-v1", steps=50_000).arguments
    wanted = {"learning_rate": 2.3e-3, "batch_size": 64, "learning_starts": 1000, "gradient_steps": 128}
    wanted |= {"exploration_fraction": 0.16, "exploration_final_eps": 0.04}
    assert {name: found[name] for name in wanted} == wanted
    assert found["policy_kwargs"] == {"net_arch": [256, 256], "n_quantiles": 10}
    lander = _model("qrdqn", "LunarLander-v3").arguments
    assert lander["learning_rate"](0.5) == pytest.approx(0.75e-3)


def test_tqc_keeps_a_quantile_to_learn_from() -> None:
    found = _arguments("tqc", n_quantiles=3, n_critics=5)
    assert found["top_quantiles_to_drop_per_net"] == 2
    assert found["policy_kwargs"] == {"net_arch": [256, 256], "n_critics": 5, "n_quantiles": 3}
    with pytest.raises(BadConfiguration, match=r"algorithm\.tqc\.top_quantiles_to_drop_per_net is 2 of 2 n_quantiles"):
        _arguments("tqc", n_quantiles=2)
