"""The command line: which command runs, and what a wrong one is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from belay_trainer.__main__ import main
from belay_trainer.commands import COMMANDS, pod


def test_without_a_command_it_is_a_training_pod(monkeypatch):
    seen = []
    monkeypatch.setattr(pod, "run", lambda options: seen.append(options) or 7)

    assert main(["--index", "4"]) == 7
    assert main(["pod", "--index", "5"]) == 7
    assert [options.index for options in seen] == ["4", "5"]


def test_a_misspelt_command_is_answered_with_the_list(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["trian"])

    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "trian" in told
    assert all(name in told for name in COMMANDS)


def test_help_has_a_line_for_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert all(command.HELP in told for command in COMMANDS.values())


BAD = """
apiVersion: belay.dev/v1alpha1
kind: RLTrainingJob
metadata: {name: bad}
spec: {environment: {id: CartPole-v1}, algorithm: {ppo: {}}, budget: {stpes: 5}, publish: {family: bad}}
"""
SLOW = ("torch", "stable_baselines3", "matplotlib", "onnxruntime")
RUN = f"""
import sys
from belay_trainer.__main__ import main
code = main(sys.argv[1:])
print("slow:", *[name for name in {SLOW} if name in sys.modules])
sys.exit(code)
"""


def test_a_bad_file_is_refused_before_anything_slow_is_imported(tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    found = subprocess.run(
        [sys.executable, "-c", RUN, "run", "--config", str(path)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 3
    assert "spec.budget.stpes is no field: did you mean steps?" in found.stderr
    assert found.stdout.split() == ["slow:"]


COUNT = """
import os, sys
from belay_trainer.__main__ import main
print("read:", *{"numpy", "torch"} & sys.modules.keys())
main(["verify", "nowhere"])
import torch
print(os.environ["OMP_NUM_THREADS"], torch.get_num_threads())
"""


@pytest.mark.parametrize(("variable", "threads"), [(None, "1"), ("2", "2")])
def test_a_command_computes_with_one_thread_unless_somebody_says_otherwise(variable: str | None, threads: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if variable is not None:
        environment["OMP_NUM_THREADS"] = variable
    found = subprocess.run(
        [sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert found == ["read:", f"{threads} {threads}"], "BLAS reads the variable when NumPy is imported"
