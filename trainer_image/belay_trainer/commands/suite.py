"""Train algorithms in environments, several seeds each, on this machine, and set them side by side.

    environments: {cartpole: {id: CartPole-v1}, acrobot: {id: Acrobot-v1}}
    algorithms: {ppo: {ppo: {}}, dqn: {dqn: {}}}
    training: {budget: {steps: 50000}, seeds: {count: 5}}

`training` is the rest of an RLTrainingJob's spec. Random actions are always among what is compared. The same command
goes on where an earlier one stopped. Exit codes: 0 every pair has enough seeds, else the highest of its pairs', which
are those of `belay-trainer run`.
"""

import argparse
from pathlib import Path

from belay_trainer.commands.run import at_least_one

HELP = "train algorithms times environments times seeds on this machine, and compare"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to train, and where to."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML with the suite")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: suites/NAME OF THE FILE")
    parser.add_argument("--parallel", type=at_least_one, metavar="N", help="seeds at once; default: by cores")


def run(options: argparse.Namespace) -> int:
    """Train, report, and return the exit code."""
    # A training pod imports every command, and needs nothing of this one.
    from belay_trainer.suite.run import run_suite  # noqa: PLC0415

    return run_suite(options.config, out=options.out, parallel=options.parallel)
