"""The example of an environment of one's own: it keeps Gymnasium's contract, and there is something to learn in it."""

import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from trainer_support import ROOT

from belay_trainer.__main__ import main


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> gymnasium.Env:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "examples" / "own-environment")])
    return gymnasium.make("thermostat:Thermostat-v0")


def test_it_keeps_the_contract(room: gymnasium.Env) -> None:
    check_env(room.unwrapped)


def day(room: gymnasium.Env, seed: int, *, heats: object) -> float:
    observation, _ = room.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        observation, reward, terminated, truncated, _ = room.step(heats(observation))
        assert -10.1 <= reward <= 0, "the range of the example's YAML"
        total, over = total + reward, terminated or truncated
    return total


def test_heating_when_it_is_cold_is_worth_more_than_chance(room: gymnasium.Env) -> None:
    rng = np.random.default_rng(0)
    cold = [day(room, seed, heats=lambda seen: int(seen[0] < 20.0)) for seed in range(20)]
    chance = [day(room, seed, heats=lambda seen: int(rng.integers(2))) for seed in range(20)]
    assert np.mean(cold) > np.mean(chance) + 50


def test_a_leak_is_found_again_in_the_log_of_a_house(
    room: gymnasium.Env, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, log = ROOT / "examples" / "own-environment", tmp_path / "house.parquet"
    assert main(["collect", "--config", str(folder / "house.yaml"), "--out", str(log)]) == 0
    asked = ["--config", str(folder / "40-fitted.yaml"), "--dataset", str(log), "--state", "thermostat:put"]
    assert main(["fit-simulator", *asked, "--transitions", "500", "--out", str(tmp_path)]) == 0
    assert "the simulator's own is 0.05" in capsys.readouterr().out
    leak = json.loads((tmp_path / "fit.json").read_text())["parameters"]["leak"]
    assert leak["low"] <= leak["high"]
    assert leak["value"] == pytest.approx(0.08, rel=1e-4)
