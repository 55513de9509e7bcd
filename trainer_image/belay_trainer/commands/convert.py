"""Convert logged episodes from a pickle of arrays to Parquet, which everything else here reads.

    belay-trainer convert log.pkl --out log.parquet

One mapping of arrays for all timesteps, as D4RL has them, or a list with a mapping for each episode. No code in the
pickle is run: one that names more than NumPy's arrays is refused. What is written is read back and checked as every
dataset is. Exit codes: 0 converted · 3 it cannot be, and nothing was written.
"""

import argparse
from pathlib import Path

HELP = "turn a pickle of arrays into a Parquet dataset, without running it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is converted, and where to."""
    parser.add_argument("pickle", type=Path, metavar="FILE", help="a pickle of NumPy arrays")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .parquet")
    parser.add_argument(
        "--dones",
        choices=("terminated", "truncated"),
        help="what a field `dones` means: the task ended there, or it was cut from outside",
    )


def run(options: argparse.Namespace) -> int:
    """Convert, check, and return the exit code."""
    from belay_trainer.converting.convert import convert  # noqa: PLC0415  help needs none of this

    dataset, notes = convert(options.pickle, options.out, dones=options.dones)
    print(f"{options.out}: {dataset.episodes:,} episodes, {dataset.timesteps:,} timesteps.")
    for line in notes:
        print(line)
    return 0
