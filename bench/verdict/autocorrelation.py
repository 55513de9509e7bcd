"""Episodes that resemble those before them: errors and detection where the world strays, and where a side strays alone.

    make bench-verdict                          with the rest of it
    python bench/verdict/autocorrelation.py     these worlds alone, a minute of one core; `--quick`: a few seconds

The worlds, figures and checks against the operator's `judge` are those of `measure`; its naive rules stand beside.
"""

from __future__ import annotations

import sys
from typing import Any

from belay_operator.rollout.analysis.budget import split
from verdict import part
from verdict.measure import Trial, measure

NAME = "autocorrelation"


def figures(load: dict[str, Any], rollouts: int) -> part.Figures:
    """Yield the figures of every world and drop."""
    for name, values in load["worlds"].items():
        trial = Trial.read(name, values, schedule=load["schedule"], earlier=load["earlier"])
        number = max(1, round(rollouts * trial.share))
        for drop in trial.drops:
            ours, _ = measure(
                trial,
                drop,
                margin=load["margin"],
                seed=load["seed"],
                rollouts=number,
                budget=split(load["false_rollback_rate"], 1),
                peers=None,
            )
            for figure, value in ours.items():
                yield figure, value, number


def run(kind: str) -> int:
    """Measure, print, hold against the bands; return the exit status. kind: full or quick."""
    return part.run(NAME, kind, figures)


if __name__ == "__main__":
    sys.exit(part.main(__doc__, run))
