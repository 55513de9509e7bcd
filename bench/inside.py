"""Benchmarks of the trainer need what only its image has: started elsewhere they enter it by themselves."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "belay-trainer-test"


def run_inside(script: Path, arguments: Sequence[str]) -> int:
    """Run a script of this repository inside the trainer's test image; return its exit status."""
    command = [sys.executable, "-m", "belay_cluster", "image-run", "--mount", f"{ROOT}:/src", "--workdir", "/src"]
    command += ["--env", "PYTHONDONTWRITEBYTECODE=1", IMAGE, "--", "python3", str(script.relative_to(ROOT)), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "dev" / "cluster")}
    return subprocess.run(command, check=False, env=environment).returncode
