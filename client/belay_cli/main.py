"""The command line: read it, run one command, and turn what went wrong into one line on stderr.

kubectl finds a plugin by its name: `kubectl belay curve JOB` runs the executable `kubectl-belay` with what follows.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from belay_api.names import LOGBOOK_URL_ENV
from belay_cli import curve, event_files
from belay_cli.errors import Failed
from belay_cli.kubectl import Kubectl
from belay_cli.plot import in_ascii
from belay_cli.told import told_by

EXIT_FAILED = 1  # 2 is argparse's, for a command line that is none
SYSTEM_NAMESPACE = "belay-system"
FEWEST_COLUMNS, MOST_COLUMNS = 40, 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of the command line (None: the process's own) and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with told_by(
            Kubectl(context=options.context, kubeconfig=options.kubeconfig),
            job=options.job,
            namespace=options.namespace,
            logbook_url=options.logbook or os.environ.get(LOGBOOK_URL_ENV),
            system_namespace=options.system_namespace,
        ) as told:
            if options.tensorboard is not None:
                text = event_files.write(told, options.tensorboard)
            else:
                columns = _columns(options.width)
                text = curve.run(told, metric=options.metric, columns=columns, now=datetime.now(UTC))
    except Failed as error:
        print(f"kubectl belay: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    print(text if _can_print(text) else in_ascii(text))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubectl belay", description="Belay in a terminal.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("curve", help="how a training went, as a plot with a band over its seeds")
    one.add_argument("job", metavar="JOB", help="name of the RLTrainingJob")
    shown = one.add_mutually_exclusive_group()
    shown.add_argument("--metric", help="default: return, the mean return of the evaluations during training")
    shown.add_argument(
        "--tensorboard",
        metavar="DIR",
        type=Path,
        help="draw nothing, and write all metrics of every seed below DIR for `tensorboard --logdir DIR`",
    )
    one.add_argument("-n", "--namespace", help="of the job; default: the context's")
    one.add_argument("--context", help="of the kubeconfig")
    one.add_argument("--kubeconfig", help="file")
    one.add_argument("--width", type=int, help="columns; default: the terminal's")
    one.add_argument(
        "--logbook", metavar="URL", help=f"default: {LOGBOOK_URL_ENV}, or else through `kubectl port-forward`"
    )
    one.add_argument(
        "--system-namespace", default=SYSTEM_NAMESPACE, help=f"where Belay is installed; default: {SYSTEM_NAMESPACE}"
    )
    return parser


def _columns(width: int | None) -> int:
    wanted = min(MOST_COLUMNS, shutil.get_terminal_size().columns) if width is None else width
    return max(FEWEST_COLUMNS, wanted)


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
