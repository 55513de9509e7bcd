"""Judge a policy by episodes that another policy was logged in, without playing one of its own.

Prints a table; --out writes report.json, report.md, report.html and a picture as well.
Exit codes: 0 judged, and no worse than --max-regression allows · 6 worse · 5 cannot be judged offline, or the log does
not tell whether it is worse · 3 bad input.
"""

import argparse
from pathlib import Path

from belay_api.reasons import Verdict
from belay_api.units import parse_percent
from belay_trainer.errors import EXIT_GATES_FAILED, BadConfiguration

HELP = "judge a policy by logged episodes of another one"
EXIT_JUDGED = 0
EXIT_NOT_JUDGED = 5  # an outcome, no failure: the log does not hold what the policy does
PICTURE = "report.png"
ACTIONS = ("greedy", "sampled")

DATASET = "logged episodes: Parquet, HDF5, or a folder of Minari's"
ESTIMATOR = "wdr, dr, wpdis, wis, pdis, is or fqe; may be said again (default: all, with fqe as advice)"
EFFECTIVE = "episodes of its own that the logged ones must be worth at least (default: 20)"
REGRESSION = "share of the logged return that the policy may return less, such as 5%% (default: held to nothing)"
HOW_SERVED = "how the policy would be served: its best action, the default, or a drawn one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is judged, by what, and how."""
    parser.add_argument("--policy", type=Path, required=True, metavar="DIR", help="the folder of an artifact")
    parser.add_argument("--dataset", type=Path, required=True, metavar="FILE", help=DATASET)
    parser.add_argument("--estimator", action="append", metavar="NAME", help=ESTIMATOR)
    parser.add_argument("--discount", type=float, default=0.99, help="of the next timestep's reward (default: 0.99)")
    parser.add_argument("--actions", choices=ACTIONS, default=ACTIONS[0], help=HOW_SERVED)
    parser.add_argument("--confidence", type=float, default=0.95, help="of the intervals (default: 0.95)")
    parser.add_argument("--min-effective-samples", type=float, metavar="N", help=EFFECTIVE)
    parser.add_argument("--max-regression", metavar="SHARE", help=REGRESSION)
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where reports are written (default: nowhere)")


def run(options: argparse.Namespace) -> int:
    """Judge, print, write, and return the exit code."""
    from belay_trainer.ope.evaluate import EvaluationRequest, evaluate  # noqa: PLC0415  help needs none of this
    from belay_trainer.ope.plot import draw  # noqa: PLC0415
    from belay_trainer.ope.report import as_text, document  # noqa: PLC0415
    from belay_trainer.reporting.document import write  # noqa: PLC0415
    from belay_trainer.served import read_artifact  # noqa: PLC0415

    _check(options)
    if options.out is not None:  # before all is judged: a place that cannot be written is told at once
        options.out.mkdir(parents=True, exist_ok=True)
    request = EvaluationRequest(
        artifact=read_artifact(options.policy),
        dataset=options.dataset,
        name=str(options.policy),
        greedy=options.actions == "greedy",
        estimators=options.estimator or (),
        discount=options.discount,
        confidence=options.confidence,
        seed=options.seed,
        least_effective=options.min_effective_samples,
        max_regression=None if options.max_regression is None else parse_percent(options.max_regression),
    )
    judgement, subject = evaluate(request)
    print(as_text(judgement, subject))
    if options.out is not None:
        picture = PICTURE if draw(judgement, options.out / PICTURE) else None
        write(document(judgement, subject, picture=picture), options.out)
        print(f"\nreports are in {options.out}")
    if judgement.headline is None or judgement.verdict is Verdict.NOT_ENOUGH_SAMPLES:
        return EXIT_NOT_JUDGED
    return EXIT_GATES_FAILED if judgement.verdict is Verdict.FAIL else EXIT_JUDGED


def _check(options: argparse.Namespace) -> None:
    """Raise BadConfiguration for a flag that argparse let pass."""
    if not 0 < options.discount <= 1:
        raise BadConfiguration(f"--discount is {options.discount:g}, wanted more than 0 and at most 1.")
    if options.seed < 0:
        raise BadConfiguration(f"--seed is {options.seed}, wanted 0 or more.")
    if options.max_regression is None:
        return
    try:
        parse_percent(options.max_regression)
    except ValueError as error:
        raise BadConfiguration(f"--max-regression: {error}.") from error
    if options.estimator == ["fqe"]:
        raise BadConfiguration(
            "--max-regression: fqe alone rests on a model, which is advice and no proof: leave one of the two out."
        )
