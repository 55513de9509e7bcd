"""Training, part by part, each in a folder here with its own load and bands.

    make bench-training                                     every part, one after the other: hours of a core
    make bench-training ARGS="offline --quick"              one part, with what it takes; `PART --help` tells

`resume` is no measurement but a test, ten kills of every algorithm: tests/long/trainer/test_kills.py.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "bench")]

from inside import run_inside  # noqa: E402  found only now

PARTS = {
    "returns": "every preset on every task, beside the zoo's",
    "speed": "steps per CPU second, beside the library called directly",
    "resume": "the bits after ten kills at random places, beside those of an undisturbed seed",
    "offline": "what is learned from two qualities of logs, beside d3rlpy",
    "ope": "off-policy estimates of six policies, beside what they return when they are played",
}
KILLS = ("-m", "pytest", "-p", "no:cacheprovider", "tests/long/trainer/test_kills.py")


def main() -> int:
    """Run the part that is named, or all of them and one table at the end."""
    asked, *arguments = sys.argv[1:] or ["all"]
    if asked in PARTS:
        return run(asked, arguments)
    if asked != "all" or arguments:
        print(__doc__)
        print("\n".join(f"    {part:8} {what}" for part, what in PARTS.items()))
        return 0 if asked in ("-h", "--help") else 2
    status = {}
    for part in PARTS:
        print(f"== {part}", flush=True)
        status[part] = run(part, [])
    for part, what in PARTS.items():
        print(f"{part:8} {'holds' if status[part] == 0 else 'FAILS'}  {what}")
    return max(status.values())


def run(part: str, arguments: list[str]) -> int:
    """Return the exit status of a part."""
    if part == "resume":
        return run_inside([*KILLS, *arguments], env={"PYTHONPATH": "api:trainer_image"})
    return subprocess.run([sys.executable, str(HERE / part / "run.py"), *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
