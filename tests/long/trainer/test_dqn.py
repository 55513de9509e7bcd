"""DQN as everybody tries it first. Beside it, over seeds and with what it costs: bench/training/returns."""

from pathlib import Path

from trainer_configs import make_config
from trainer_support import Pods


def test_the_dqn_preset_learns_cartpole_within_20_000_timesteps(tmp_path: Path) -> None:
    pod = Pods(tmp_path).run(
        make_config(algorithm={"dqn": {}}, budget={"steps": 20_000}, evaluation={"every": 1000, "episodes": 20})
    )
    assert pod.wait() == 0, pod.log
    assert pod.report.return_ is not None
    assert pod.report.return_ > 195
