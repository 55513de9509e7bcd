"""Benchmarks of the trainer need what only its image has: started elsewhere they enter it by themselves."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "belay-trainer-test"


def run_inside(
    arguments: Sequence[str | Path],
    *,
    image: str = IMAGE,
    mounts: Mapping[Path, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Run Python inside an image of the trainer's, from the repository's root; return its exit status.

    Args:
        arguments: Python's; a path is that of a file of the repository.
        mounts: Folders beside the repository, by where they lie on this machine.
        env: Beside the image's own.
    """
    folders = {ROOT: "/src"} | dict(mounts or {})
    variables = {"PYTHONDONTWRITEBYTECODE": "1"} | dict(env or {})
    # Results are written into the repository, where the images' own user may not.
    command = [sys.executable, "-m", "belay_cluster", "image-run", "--workdir", "/src", "--user", "0"]
    command += [f"--mount={here}:{there}" for here, there in folders.items()]
    command += [f"--env={name}={value}" for name, value in variables.items()]
    command += [image, "--", "python3"]
    command += [str(one.relative_to(ROOT)) if isinstance(one, Path) else one for one in arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "dev" / "cluster")}
    return subprocess.run(command, check=False, env=environment).returncode
