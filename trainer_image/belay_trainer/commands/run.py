"""Train an RLTrainingJob here, without Kubernetes: the very YAML that `kubectl apply` takes.

Every seed trains in a process of its own, into a folder that holds checkpoints, policies, curves and a report. The same
command goes on where an earlier one stopped. Ctrl-C saves first; a second one ends at once.
Exit codes: 0 enough seeds succeeded · 3 bad configuration · 4 diverged · 6 enough seeds succeeded, and none passed its
gates · 143 stopped after a save · 130 stopped at once · 1 anything else.
"""

import argparse
import sys
from pathlib import Path

HELP = "train an RLTrainingJob on this machine, with a progress bar"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to train, and where to."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML with an RLTrainingJob")
    parser.add_argument("--name", help="which one, where the file has several")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: runs/NAME; goes on with what is there")
    parser.add_argument("--init-from", type=Path, metavar="FOLDER", help="artifact whose weights the seeds begin with")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="artifact that `betterThan` of the gates names")
    parser.add_argument("--parallel", type=at_least_one, metavar="N", help="seeds at once; default: by cores")


def run(options: argparse.Namespace) -> int:
    """Train, report, and return the exit code."""
    # A training pod imports every command, and needs nothing of this one.
    from belay_trainer.local.run import run_here  # noqa: PLC0415

    try:
        return run_here(
            options.config,
            name=options.name,
            out=options.out,
            parallel=options.parallel,
            init_from=options.init_from,
            against=options.against,
        )
    except OSError as error:  # of the run's folder: what trains has its own words for its own troubles
        where = "" if error.filename else f"{options.out or 'runs'}: "  # a disk that is full names no file
        print(
            f"belay-trainer run: {where}{error}. Mend that and run the command again, which goes on.", file=sys.stderr
        )
        return 1


def at_least_one(text: str) -> int:
    """Return how many seeds a flag asks for."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, wanted a number of seeds from 1 on")
    return int(text)
