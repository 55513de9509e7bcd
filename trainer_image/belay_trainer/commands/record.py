"""Record an episode of a policy as a moving picture.

    belay-trainer record runs/cartpole/artifacts/7f3a9c.../ --out cartpole.gif

The policy acts as it is served, in the environment it was trained for, from a start it was measured at. Exit codes:
0 done · 3 something is wrong with what was given · 1 anything else, such as an error that the environment raised.
"""

import argparse
from pathlib import Path

HELP = "record an episode of a policy as a GIF"
FORMATS = (".gif", ".webp", ".png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is recorded, and where to."""
    parser.add_argument("policy", metavar="DIR", type=Path, help="the folder of an artifact")
    parser.add_argument("--out", metavar="FILE", type=_moving, required=True, help=f"ends in {', '.join(FORMATS)}")
    parser.add_argument("--seed", type=_seed, help="of the reset (default: the first it was measured at, or 0)")
    parser.add_argument("--environment", metavar="ID", help="Gymnasium id (default: what it was trained for)")
    parser.add_argument("--environment-kwargs", metavar="JSON", help="keyword arguments of gymnasium.make")


def run(options: argparse.Namespace) -> int:
    """Record and return the exit code."""
    from belay_trainer.recording import played, record  # noqa: PLC0415  help needs none of this
    from belay_trainer.served import read_artifact  # noqa: PLC0415
    from belay_trainer.trained_for import read_kwargs, task_of  # noqa: PLC0415

    artifact = read_artifact(options.policy)
    task = task_of(artifact, id=options.environment, kwargs=read_kwargs(options.environment_kwargs))
    measured = artifact.manifest.evaluation
    seed = options.seed if options.seed is not None else measured.first_seed if measured else 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    recorded = record(artifact, task, options.out, seed=seed)
    print(f"{options.out}, from seed {seed}: {played(recorded)}")
    return 0


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, wanted a whole number from 0 on")
    return int(text)


def _moving(text: str) -> Path:
    if Path(text).suffix not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text}, wanted a file that ends in {', '.join(FORMATS)}")
    return Path(text)
