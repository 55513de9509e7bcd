"""Fit parameters of a simulator to logged transitions, one timestep ahead.

    belay-trainer fit-simulator --config job.yaml --dataset log.parquet --out fitted/

Fitted are the values that the RLTrainingJob's environment.randomize names, within its ranges. Each gets an interval,
or the reason why the log does not tell it, and what is printed last replaces environment.randomize. --out writes it as
randomize.yaml, and fit.json. Exit codes: 0 all are told · 5 at least one cannot be told · 3 bad input.
"""

import argparse
import os
import sys
from pathlib import Path

from belay_api import names
from belay_trainer.errors import BadConfiguration

HELP = "fit parameters of a simulator to logged transitions"
EXIT_CANNOT_TELL = 5  # as `validate`: an outcome, no failure

PLACE = "package.module:function of (environment, observation) that puts one into the state of the other"
TRANSITIONS = "timesteps that are compared; of more, every second, third, … is (default: 5000)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is fitted, and to what."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML with an RLTrainingJob")
    parser.add_argument("--name", help="which one, where the file has several")
    parser.add_argument(
        "--dataset", type=Path, required=True, metavar="FILE", help="Parquet, HDF5, or a folder of Minari's"
    )
    parser.add_argument("--state", metavar="NAME", help=PLACE)
    parser.add_argument("--transitions", type=int, default=5_000, metavar="N", help=TRANSITIONS)
    parser.add_argument("--confidence", type=float, default=0.95, help="of each interval (default: 0.95)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where it is written (default: nowhere)")


def run(options: argparse.Namespace) -> int:
    """Fit, print, write, and return the exit code."""
    # Slow to import, and help needs none of them.
    from belay_trainer import datasets, files  # noqa: PLC0415
    from belay_trainer.local.manifest import read_manifest  # noqa: PLC0415
    from belay_trainer.simulator import report  # noqa: PLC0415
    from belay_trainer.simulator.fit import FitRequest, fit  # noqa: PLC0415

    _check(options)
    sys.path.append(os.getcwd())  # for a module of the user's own, as `python3 -m` has it
    task = read_manifest(options.config, name=options.name).spec.played_in
    if task is None:
        raise BadConfiguration(f"{options.config}: spec.environment is missing, and there is no simulator to fit.")
    if options.out is not None:  # before all is fitted: a place that cannot be written is told at once
        options.out.mkdir(parents=True, exist_ok=True)
    request = FitRequest(
        task=task,
        dataset=options.dataset,
        place=options.state,
        transitions=options.transitions,
        confidence=options.confidence,
        seed=options.seed,
    )
    found = fit(request, tell=lambda line: print(line, file=sys.stderr, flush=True))
    block = report.as_yaml(found)
    print(f"{report.as_text(request, found)}\n\n{block}", end="")
    if options.out is not None:
        digest = datasets.sha256_of(options.dataset)
        files.write_atomically(options.out / "fit.json", report.as_json(request, found, sha256=digest))
        files.write_atomically(options.out / "randomize.yaml", block.encode())
    return EXIT_CANNOT_TELL if any(one.unknown is not None for one in found.parameters) else names.EXIT_DONE


def _check(options: argparse.Namespace) -> None:
    """Raise BadConfiguration for a flag that argparse let pass."""
    if options.transitions < 1:
        raise BadConfiguration(f"--transitions is {options.transitions}, wanted 1 or more.")
    if not 0.5 <= options.confidence < 1:
        raise BadConfiguration(f"--confidence is {options.confidence:g}, wanted at least 0.5 and less than 1.")
    if options.seed < 0:
        raise BadConfiguration(f"--seed is {options.seed}, wanted 0 or more.")
