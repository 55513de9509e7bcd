"""What `belay-trainer` can do: one file per command, and a line here.

A command is a module with a line of help, its arguments, and what it does. Each imports what is slow, torch above all,
only when it runs: help and bad arguments are told at once.
"""

import argparse
from typing import Protocol

from belay_trainer.commands import (
    collect,
    convert,
    evaluate_offline,
    fit_simulator,
    import_policy,
    judge,
    pod,
    record,
    remove_checkpoints,
    run,
    suite,
    validate,
    verify,
)


class Command(Protocol):
    """One command, written as a module; its docstring is the long help."""

    HELP: str
    """One line in the list of commands."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare flags and positional arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it and return the process's exit code. Raises: TrainerError, which `main` tells."""


POD = "pod"
COMMANDS: dict[str, Command] = {
    POD: pod,
    "run": run,
    "suite": suite,
    "import": import_policy,
    "verify": verify,
    "collect": collect,
    "convert": convert,
    "evaluate-offline": evaluate_offline,
    "fit-simulator": fit_simulator,
    "record": record,
    "validate": validate,
    "judge": judge,
    "remove-checkpoints": remove_checkpoints,
}
