"""`belay-trainer COMMAND`, or `python3 -m belay_trainer COMMAND`; without a command: a training pod.

One file per command in `commands/`.
"""

import argparse
import sys

from belay_trainer.commands import COMMANDS, POD


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; a misspelt one ends with 2 and the list of them."""
    given = sys.argv[1:] if arguments is None else arguments
    named = bool(given) and (given[0] in ("-h", "--help") or not given[0].startswith("-"))
    options = _parser().parse_args(given if named else [POD, *given])
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="belay-trainer", description="Train policies, and judge them.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=command.HELP,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(one)
        one.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
