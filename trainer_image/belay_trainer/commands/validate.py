"""Run gates on the policy in an artifact: in episodes of its environment, through the network that serving pods load.

    belay-trainer validate cartpole/ --gates gates.yaml
    belay-trainer validate cartpole/ --gates job.yaml --environment my_tasks:Windy-v0 --out report/
    belay-trainer validate cartpole/ --against stable/ --max-regression 5%

Gates are those of an RLTrainingJob, as a YAML list, under `gates:`, or in the RLTrainingJob itself; without --gates,
those that the artifact was trained with. Environment and keyword arguments are those it was trained in, unless others
are named. --against names another artifact, from the same starts: the difference is told, held to --max-regression,
and it is what a gate's `betterThan: NAME` compares with. --out writes report.json, report.md, report.html and a
picture.
Exit codes: 0 passed · 6 a gate failed · 5 no gate failed, and at least one cannot tell or has nothing to measure ·
3 bad input · 1 anything else, such as an error that the environment raised.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belay_api import names
from belay_api.reasons import Verdict
from belay_trainer.errors import EXIT_GATES_FAILED

if TYPE_CHECKING:
    from belay_trainer.validation.report import Validated

HELP = "run gates on the policy in an artifact"
EXIT_CANNOT_TELL = 5  # as `evaluate-offline`: an outcome, no failure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is validated, by what, and where."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder of an artifact")
    parser.add_argument("--gates", type=Path, metavar="FILE", help="YAML; default: what it was trained with")
    parser.add_argument("--environment", metavar="ID", help="Gymnasium id; default: where it was trained")
    parser.add_argument("--environment-kwargs", metavar="JSON", help="of gymnasium.make; default: as it was trained")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another artifact, to compare with")
    parser.add_argument("--max-regression", metavar="SHARE", help="how much less it may return, such as 5%%")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where reports are written (default: nowhere)")


def run(options: argparse.Namespace) -> int:
    """Validate, print, write, and return the exit code."""
    # Help and bad arguments are told at once: all of this is slow.
    from belay_api.gates import baseline  # noqa: PLC0415
    from belay_trainer.served import read_artifact  # noqa: PLC0415
    from belay_trainer.trained_for import read_kwargs, task_of  # noqa: PLC0415
    from belay_trainer.validation import asked  # noqa: PLC0415
    from belay_trainer.validation.against import Compared, compare  # noqa: PLC0415
    from belay_trainer.validation.gates import run_gates  # noqa: PLC0415
    from belay_trainer.validation.report import Validated, sentence, write_report  # noqa: PLC0415
    from belay_trainer.validation.subject import Subject  # noqa: PLC0415

    artifact = read_artifact(options.folder)
    other = None if options.against is None else read_artifact(options.against)
    task = task_of(artifact, id=options.environment, kwargs=read_kwargs(options.environment_kwargs))
    gates = asked.gates(artifact, options.gates, compared=other is not None)
    comparison = asked.comparison(gates, options.against, options.max_regression)
    if options.out is not None:  # before all is played: a place that cannot be written is told at once
        options.out.mkdir(parents=True, exist_ok=True)
    compared: list[Compared] = []

    def then(subject: Subject) -> None:
        if comparison is not None and other is not None:
            compared.append(compare(subject, other, comparison))

    beside = other if baseline(gates) is not None else None
    results = run_gates(gates, artifact, task, tell=_say, then=then, beside=beside)
    validated = Validated(artifact, task, results, next(iter(compared), None))
    print(sentence(validated))
    if options.out is not None:
        write_report(validated, options.out)
        print(f"Report: {options.out / 'report.md'}")
    return _exit_code(validated)


def _say(result: Any) -> None:
    for one in result.measured.measurements:
        print(f"{one.verdict.value:<17} {one.message}", flush=True)


def _exit_code(validated: "Validated") -> int:
    if validated.passed:
        return names.EXIT_DONE
    return EXIT_GATES_FAILED if validated.verdict is Verdict.FAIL else EXIT_CANNOT_TELL
