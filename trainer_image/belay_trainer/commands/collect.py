"""Play policies in an environment and log what they do, as a dataset with propensities and costs.

    belay-trainer collect --config collect.yaml --out log.parquet
    belay-trainer collect --config collect.yaml --out log             a folder in Minari's layout

The same command goes on where an earlier one stopped, with the same bits. What is written is read back and checked as
every dataset is. Exit codes: 0 collected · 3 bad configuration · 130 ctrl-C: what was played is kept · 1 anything else,
such as an error that the environment raised.
"""

import argparse
import os
import sys
from pathlib import Path

from belay_trainer.errors import BadConfiguration

HELP = "log episodes of policies, as a dataset with propensities"
EXIT_STOPPED = 130
PARQUET = ".parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is collected, and where to."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="YAML: environment, policies, episodes"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="log.parquet, or a folder for Minari's layout"
    )


def run(options: argparse.Namespace) -> int:
    """Play, write, check, and return the exit code."""
    try:
        return _collect(options)
    except KeyboardInterrupt:
        print("belay-trainer collect: stopped; the same command goes on.", file=sys.stderr)
        return EXIT_STOPPED


def _collect(options: argparse.Namespace) -> int:
    # Slow to import, and help needs none of them.
    from belay_trainer import datasets  # noqa: PLC0415
    from belay_trainer.collecting.collect import collect  # noqa: PLC0415
    from belay_trainer.collecting.collection import read_collection  # noqa: PLC0415

    if options.out.suffix not in ("", PARQUET):
        raise BadConfiguration(
            f"--out is {options.out}, wanted a name that ends in {PARQUET}, or one without an ending for a folder "
            "of Minari's."
        )
    sys.path.append(os.getcwd())  # for a module of the user's own, as `python3 -m` has it
    spec = read_collection(options.config)
    if spec.environment.reward.said() or spec.environment.vector.said():
        print(
            "environment.reward and environment.vector are not used: rewards are logged as the environment pays them."
        )
    done = collect(spec, options.out, told=lambda count: print(f"{count:,} of {spec.episodes:,} episodes", flush=True))
    dataset, notes = datasets.read(options.out)
    print(f"{options.out}: {dataset.episodes:,} episodes, {dataset.timesteps:,} timesteps, {done.found:,} were there.")
    for line in (*done.summary, *notes):
        print(line)
    return 0
