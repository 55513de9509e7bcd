"""Judge a policy by episodes that another policy was logged in, without playing one of its own.

Prints a table; --out writes report.json, report.md, report.html and a picture as well.
Exit codes: 0 judged · 5 cannot be judged offline · 3 bad input.
"""

import argparse
import sys
from pathlib import Path

from belay_trainer.errors import BadConfiguration, TrainerError

HELP = "judge a policy by logged episodes of another one"
EXIT_JUDGED = 0
EXIT_NOT_JUDGED = 5  # an outcome, no failure: the log does not hold what the policy does
PICTURE = "report.png"
ACTIONS = ("greedy", "sampled")

DATASET = "logged episodes: Parquet, HDF5, or a folder of Minari's"
ESTIMATOR = "wdr, dr, wpdis, wis, pdis, is or fqe; may be said again (default: all, with fqe as advice)"
HOW_SERVED = "how the policy would be served: its best action, the default, or a drawn one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is judged, by what, and how."""
    parser.add_argument("--policy", type=Path, required=True, metavar="DIR", help="the folder of an artifact")
    parser.add_argument("--dataset", type=Path, required=True, metavar="FILE", help=DATASET)
    parser.add_argument("--estimator", action="append", metavar="NAME", help=ESTIMATOR)
    parser.add_argument("--discount", type=float, default=0.99, help="of the next timestep's reward (default: 0.99)")
    parser.add_argument("--actions", choices=ACTIONS, default=ACTIONS[0], help=HOW_SERVED)
    parser.add_argument("--confidence", type=float, default=0.95, help="of the intervals (default: 0.95)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where reports are written (default: nowhere)")


def run(options: argparse.Namespace) -> int:
    """Judge, print, write, and return the exit code."""
    try:
        return _evaluate(options)
    except TrainerError as error:
        print(f"belay-trainer evaluate-offline: {error}", file=sys.stderr)
        return error.exit_code


def _evaluate(options: argparse.Namespace) -> int:
    from belay_trainer import datasets  # noqa: PLC0415  help needs none of this
    from belay_trainer.ope import ESTIMATORS, Logged, judge  # noqa: PLC0415
    from belay_trainer.ope.artifact_policy import ArtifactPolicy  # noqa: PLC0415
    from belay_trainer.ope.plot import draw  # noqa: PLC0415
    from belay_trainer.ope.report import Subject, as_text, document  # noqa: PLC0415
    from belay_trainer.reporting.document import write  # noqa: PLC0415

    if not 0 < options.discount <= 1:
        raise BadConfiguration(f"--discount is {options.discount:g}, wanted more than 0 and at most 1.")
    if options.seed < 0:
        raise BadConfiguration(f"--seed is {options.seed}, wanted 0 or more.")
    if options.out is not None:  # before all is judged: a place that cannot be written is told at once
        options.out.mkdir(parents=True, exist_ok=True)
    policy = ArtifactPolicy(options.policy, greedy=options.actions == "greedy")
    found, notes = datasets.read(options.dataset)
    lineage = policy.manifest.lineage
    if lineage is not None and lineage.dataset == f"sha256:{datasets.sha256_of(options.dataset)}":
        raise BadConfiguration(
            f"--dataset {options.dataset} is the log that the policy was learned from, and it does what was "
            "logged more often there than elsewhere: judge it by episodes that it has not seen."
        )
    dataset = policy.fitted(found, name=str(options.dataset))
    judgement = judge(
        Logged(dataset, policy, discount=options.discount, seed=options.seed),
        estimators=options.estimator or tuple(ESTIMATORS),
        confidence=options.confidence,
        cap=policy.manifest.max_episode_steps,
    )
    subject = Subject(
        policy=str(options.policy),
        digest=policy.digest,
        environment=policy.manifest.environment,
        acts=options.actions,
        dataset=str(options.dataset),
        timesteps=dataset.timesteps,
        notes=tuple(notes),
    )
    print(as_text(judgement, subject))
    if options.out is not None:
        picture = PICTURE if draw(judgement, options.out / PICTURE) else None
        write(document(judgement, subject, picture=picture), options.out)
        print(f"\nreports are in {options.out}")
    return EXIT_JUDGED if judgement.headline else EXIT_NOT_JUDGED
