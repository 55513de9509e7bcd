"""The command line: read it, run one command, and turn what went wrong into one line on stderr.

kubectl finds a plugin by its name: `kubectl belay curve JOB` runs the executable `kubectl-belay` with what follows.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from belay_api.names import LOGBOOK_URL_ENV
from belay_cli import curve, event_files, terminal
from belay_cli.errors import Failed
from belay_cli.kubectl import Kubectl
from belay_cli.rollout import command as rollout
from belay_cli.told import told_by

EXIT_FAILED = 1  # 2 is argparse's, for a command line that is none
SYSTEM_NAMESPACE = "belay-system"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of the command line (None: the process's own) and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(Kubectl(context=options.context, kubeconfig=options.kubeconfig), options)
    except Failed as error:
        print(f"kubectl belay: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    return 0


def _curve(kubectl: Kubectl, options: argparse.Namespace) -> None:
    with told_by(
        kubectl,
        job=options.job,
        namespace=options.namespace,
        logbook_url=options.logbook or os.environ.get(LOGBOOK_URL_ENV),
        system_namespace=options.system_namespace,
    ) as told:
        if options.tensorboard is not None:
            text = event_files.write(told, options.tensorboard)
        else:
            columns = terminal.columns(options.width)
            text = curve.run(told, metric=options.metric, columns=columns, now=datetime.now(UTC))
    terminal.show(text)


def _rollout(kubectl: Kubectl, options: argparse.Namespace) -> None:
    rollout.run(kubectl, options.rollout, namespace=options.namespace, width=options.width, watch=options.watch)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubectl belay", description="Belay in a terminal.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_curve(commands.add_parser("curve", help="how a training went, as a plot with a band over its seeds"))
    _add_rollout(commands.add_parser("rollout", help="where a rollout stands, and the evidence for it"))
    return parser


def _add_curve(one: argparse.ArgumentParser) -> None:
    one.set_defaults(run=_curve)
    one.add_argument("job", metavar="JOB", help="name of the RLTrainingJob")
    shown = one.add_mutually_exclusive_group()
    shown.add_argument("--metric", help="default: return, the mean return of the evaluations during training")
    shown.add_argument(
        "--tensorboard",
        metavar="DIR",
        type=Path,
        help="draw nothing, and write all metrics of every seed below DIR for `tensorboard --logdir DIR`",
    )
    _add_common(one, of="job")
    one.add_argument(
        "--logbook", metavar="URL", help=f"default: {LOGBOOK_URL_ENV}, or else through `kubectl port-forward`"
    )
    one.add_argument(
        "--system-namespace", default=SYSTEM_NAMESPACE, help=f"where Belay is installed; default: {SYSTEM_NAMESPACE}"
    )


def _add_rollout(one: argparse.ArgumentParser) -> None:
    one.set_defaults(run=_rollout)
    one.add_argument("rollout", metavar="NAME", help="of the RLRollout")
    one.add_argument("-w", "--watch", action="store_true", help="look again every two seconds, until it is ended")
    _add_common(one, of="rollout")


def _add_common(one: argparse.ArgumentParser, *, of: str) -> None:
    one.add_argument("-n", "--namespace", help=f"of the {of}; default: the context's")
    one.add_argument("--context", help="of the kubeconfig")
    one.add_argument("--kubeconfig", help="file")
    one.add_argument("--width", type=int, help="columns; default: the terminal's")
