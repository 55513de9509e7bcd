"""Healthy trainings of some length are told nothing at any look, whatever their seed."""

import logging
from pathlib import Path
from typing import Any

import pytest
from test_diagnosis import CARTPOLE, PENDULUM, SMALL, corridor, findings, spec

from belay_api.reasons import FindingReason as R

HEALTHY: dict[str, dict[str, Any]] = {
    "ppo": spec(CARTPOLE, {"ppo": {}}, 30_000, looks=15),
    "a2c": spec(CARTPOLE, {"a2c": {}}, 15_000, looks=10),
    "dqn": spec(CARTPOLE, {"dqn": {}}, 10_000, looks=5),
    "sac": spec(PENDULUM, {"sac": SMALL}, 5_000, looks=5),
    "td3": spec(PENDULUM, {"td3": SMALL}, 5_000, looks=5),
    "ppo-acrobot": spec({"id": "Acrobot-v1"}, {"ppo": {}}, 15_000, looks=5),
    "ppo-lander": spec({"id": "LunarLander-v3"}, {"ppo": {}}, 15_000, looks=5),
    "dqn-mountain-car": spec({"id": "MountainCar-v0"}, {"dqn": {}}, 10_000, looks=5),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("wanted", HEALTHY.values(), ids=HEALTHY.keys())
def test_silent_at_every_look(
    tmp_path: Path, wanted: dict[str, Any], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "belay_trainer.diagnosis"):
        assert findings(tmp_path, wanted, seed) == []
    assert caplog.text == ""


def test_a_deterministic_policy_without_noise_explores_nothing(tmp_path: Path) -> None:
    assert findings(tmp_path, spec(PENDULUM, {"td3": SMALL | {"action_noise": 0.0}}, 1_000)) == [R.NO_EXPLORATION]


def test_what_cannot_be_learned_is_told_after_half_of_the_budget(tmp_path: Path) -> None:
    wanted = spec({"id": "tasks:Luck-v0"}, {"ppo": {"n_epochs": 1}}, 30_000, looks=15)
    assert findings(tmp_path, wanted) == [R.NO_BETTER_THAN_RANDOM]


def test_a_task_that_is_learned_stays_silent(tmp_path: Path) -> None:
    assert findings(tmp_path, spec(corridor(""), {"ppo": {}}, 30_000, looks=15)) == []
