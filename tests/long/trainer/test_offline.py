"""Learning from a log of few good and many bad episodes: what a copy of the log cannot do, at the presets.

CartPole's log is the one that `examples/offline/log.py` writes: its behaviour cloning falls after ten timesteps.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from offline_worlds import anyhow, play, swing, write
from trainer_configs import make_config
from trainer_support import ROOT, Pods

from belay_api.dataset import FloorVerdict


def train(folder: Path, log: Path, environment: str, algorithm: str, steps: int, **settings: Any) -> Any:
    """Return the report of a training that is measured in a simulator."""
    pod = Pods(folder).run(
        make_config(
            environment=None,
            dataset={"path": str(log)},
            algorithm={algorithm: settings},
            budget={"steps": steps},
            evaluation={"every": 1_000, "episodes": 10, "environment": {"id": environment}},
            checkpoint={"every": 1_000},
        )
    )
    assert pod.wait() == 0, pod.log
    return pod.report


@pytest.mark.parametrize("algorithm", ["iql", "cql"])
def test_the_few_good_episodes_are_found(tmp_path: Path, algorithm: str) -> None:
    log = tmp_path / "cartpole.parquet"
    subprocess.run([sys.executable, str(ROOT / "examples" / "offline" / "log.py"), str(log)], check=True)
    report = train(tmp_path, log, "CartPole-v1", algorithm, 3_000)
    print(algorithm, report.return_, report.floor)
    assert report.return_ > 400
    assert report.floor.return_ < 50
    assert report.floor.verdict is FloorVerdict.BETTER


def test_td3bc_is_better_than_a_copy_of_its_log(tmp_path: Path) -> None:
    log = write(tmp_path / "pendulum.parquet", play("Pendulum-v1", [(swing, 20), (anyhow, 40)]))
    report = train(tmp_path, log, "Pendulum-v1", "td3bc", 4_000, learning_rate=1e-3)
    print("td3bc", report.return_, report.floor)
    assert report.floor.verdict is FloorVerdict.BETTER
