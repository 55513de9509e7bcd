"""A seed that is killed ten times, wherever it stands, ends with the bits of one that nobody touched."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from offline_worlds import anyhow, play, swing, write
from trainer_configs import make_config
from trainer_support import ROOT, Pod, Pods, until

from belay_api.algorithms import ALGORITHMS, FROM_DATASET
from belay_api.training import TrainingConfig

KILLS = 10
SMALL = {"net_arch": [32, 32], "batch_size": 64, "learning_starts": 200}
PENDULUM = {"environment": {"id": "Pendulum-v1"}, "evaluation": {"every": 2_000, "episodes": 2}}
SPECS: dict[str, dict[str, Any]] = {
    "ppo": {"budget": {"steps": 60_000}, "checkpoint": {"every": 512}},
    "a2c": {"budget": {"steps": 60_000}, "checkpoint": {"every": 400}},
    "dqn": {"budget": {"steps": 60_000}, "checkpoint": {"every": 400}},
    "qrdqn": {"budget": {"steps": 30_000}, "checkpoint": {"every": 512}},
    "sac": PENDULUM | {"budget": {"steps": 10_000}, "checkpoint": {"every": 100}},
    "td3": PENDULUM | {"budget": {"steps": 12_000}, "checkpoint": {"every": 100}},
    "tqc": PENDULUM | {"budget": {"steps": 10_000}, "checkpoint": {"every": 128}},  # which it learns 64 by 64
    "crossq": PENDULUM | {"budget": {"steps": 10_000}, "checkpoint": {"every": 100}},
    "maskablePPO": {
        "environment": {"id": "panels:Panel-v0", "kwargs": {"action": "dials", "masks": "info"}},
        "budget": {"steps": 60_000},
        "checkpoint": {"every": 512},
    },
    "recurrentPPO": {
        "environment": {"id": "recall:Recall-v0"},
        "algorithm": {"recurrentPPO": {"lstm_hidden_size": 16, "n_steps": 30, "batch_size": 60}},
        "budget": {"steps": 30_000},
        "checkpoint": {"every": 240},  # in the middle of episodes of four
    },
} | {
    algorithm: {
        "environment": None,
        "dataset": {"path": "log.parquet"},  # written below
        "algorithm": {algorithm: {"net_arch": [32, 32], "batch_size": 64}},
        "evaluation": {"every": 1_000, "episodes": 2, "environment": {"id": "Pendulum-v1"}},
        "budget": {"steps": 8_000},
        "checkpoint": {"every": 100},
    }
    for algorithm in FROM_DATASET
}
_SCALES = {"maskablePPO": "reward"}  # its observations are choices
assert set(SPECS) == set(ALGORITHMS), "every algorithm is killed"


@pytest.mark.parametrize("algorithm", SPECS)
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_ten_kills_change_no_bit(tmp_path: Path, algorithm: str, *, scaled: bool) -> None:
    settings = SMALL if SPECS[algorithm].get("environment") == PENDULUM["environment"] else {}
    scales = {"normalize": {_SCALES.get(algorithm, "observation"): scaled}}
    spec = {"algorithm": {algorithm: settings}} | SPECS[algorithm] | scales
    if algorithm in FROM_DATASET:
        log = write(tmp_path / "log.parquet", play("Pendulum-v1", [(swing, 10), (anyhow, 10)]))
        spec |= {"dataset": {"path": str(log)}}
    config = make_config(**{"evaluation": {"every": 10_000, "episodes": 2}} | spec)
    _kill_ten_times(tmp_path, config, random.Random(algorithm))


@pytest.mark.parametrize("entrypoint", ["reinforce:Reinforce", "cem:CEM"])
def test_ten_kills_change_no_bit_of_a_users_own_algorithm(tmp_path: Path, entrypoint: str) -> None:
    config = make_config(
        algorithm={"custom": {"entrypoint": entrypoint}},
        runtime={"code": {"configMap": {"name": "mine"}}},
        budget={"steps": 200_000},
        checkpoint={"every": 2_048},
        evaluation={"every": 20_000, "episodes": 2},
    )
    _kill_ten_times(tmp_path, config, random.Random(entrypoint), code=ROOT / "examples" / "your-own-algorithm")


def _kill_ten_times(tmp_path: Path, config: TrainingConfig, lots: random.Random, *, code: Path | None = None) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "pieces").mkdir()
    whole = Pods(tmp_path / "whole").run(config, code=code)
    assert whole.wait() == 0, whole.log
    pods, last = Pods(tmp_path / "pieces"), 0
    for kill in range(KILLS):
        pod = pods.start(config, code=code)
        until(lambda pod=pod, last=last: pod.process.poll() is not None or _newest(pods) > last)
        time.sleep(lots.random() * 0.5)  # an arbitrary place between two checkpoints
        pod.signal(signal.SIGKILL)
        assert pod.wait() == -signal.SIGKILL, f"ended before kill {kill + 1}: {pod.log}"
        last = _newest(pods)
        print(f"{config.spec.algorithm.chosen}: killed beyond timestep {last}", flush=True)
    survivor: Pod = pods.run(config, code=code)
    assert survivor.wait() == 0, survivor.log
    assert survivor.report.resumed_from == last
    assert survivor.report.weights_sha256 == whole.report.weights_sha256
    assert (survivor.report.return_, survivor.report.best_step) == (whole.report.return_, whole.report.best_step)
    assert survivor.report.artifact.digest == whole.report.artifact.digest, "and every byte is the same"


def _newest(pods: Pods) -> int:
    return max((int(path.name.split("-")[0]) for path in pods.stored()), default=0)
