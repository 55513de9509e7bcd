"""`belay-trainer COMMAND`, or `python3 -m belay_trainer COMMAND`; without a command: a training pod.

One file per command in `commands/`.
"""

import argparse
import errno
import sys
import traceback

from belay_trainer import threads
from belay_trainer.commands import COMMANDS, POD
from belay_trainer.errors import TrainerError, own_error

REFUSED = frozenset(
    (
        errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR,
        errno.EEXIST, errno.ENAMETOOLONG,
    )
)  # fmt: skip
"""What a file system says of a place that a person named: full, read-only, of somebody else, or not there."""
EXIT_REFUSED = 1  # nothing that was asked for is wrong with it somewhere else, or once there is room


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; a misspelt one ends with 2 and the list of them.

    What a command cannot do is told in one sentence, and where the user's own code failed, with its traceback beneath.
    """
    threads.limit()
    given = sys.argv[1:] if arguments is None else arguments
    named = bool(given) and (given[0] in ("-h", "--help") or not given[0].startswith("-"))
    options = _parser().parse_args(given if named else [POD, *given])
    try:
        return int(options.run(options))
    except TrainerError as error:
        print(f"belay-trainer {options.command}: {error}", file=sys.stderr)
        if (own := own_error(error)) is not None:
            traceback.print_exception(own)
        return error.exit_code
    except OSError as error:
        # A pod's is the machine's fault, of which the whole story is told.
        if options.command == POD or error.errno not in REFUSED:
            raise
        place = error.filename or getattr(options, "out", None)  # a disk that is full names no file
        where = f"{place}: " if place else ""
        print(
            f"belay-trainer {options.command}: {where}{error.strerror}. Make room, or name a place that can be used.",
            file=sys.stderr,
        )
        return EXIT_REFUSED


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
        one.set_defaults(run=command.run, command=name)
    return parser


if __name__ == "__main__":
    sys.exit(main())
