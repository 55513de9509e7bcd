"""`kubectl belay curve JOB`: how a training went, as a plot with a band over its seeds.

In three layers, as everything that Belay shows: a sentence, a picture, numbers.
"""

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta

from belay_api.units import format_duration
from belay_api.wire import Curve, Curves
from belay_cli import plot
from belay_cli.errors import Failed
from belay_cli.told import Told

DEFAULT_METRIC = "return"
NAMED_SEEDS = 8  # a line each in the numbers; of more seeds the lowest and the highest are told
_POINTS_PER_COLUMN = 4  # the lowest and the highest of half a column


def run(told: Told, *, metric: str | None, columns: int, now: datetime) -> str:
    """Return what to print. Raises: Failed."""
    found = told.read(metric or DEFAULT_METRIC, _POINTS_PER_COLUMN * columns)
    if not found.items:
        raise Failed(f"{told.name}: no seed has told of {found.metric} since it began anew; look again in a moment")
    return render(found, job=told.name, first_seed=told.first_seed, columns=columns, now=now)


def render(found: Curves, *, job: str, first_seed: int, columns: int, now: datetime) -> str:
    """Return the curve as text. Pure.

    Args:
        found: With at least one seed.
        first_seed: Seed of index 0.
        columns: Width of the terminal.
    """
    series = [list(zip(one.steps, one.values, strict=True)) for one in found.items]
    count = len(series)
    key = f"{plot.LINE} mean of {count} seeds   {plot.BAND} lowest to highest" if count > 1 else f"{plot.LINE} one seed"
    title = f"{job}: {found.metric} by timestep"
    lines = [f"{title}{key:>{max(len(key) + 3, columns - len(title))}}", ""]
    lines += plot.draw(series, width=columns)
    lines += ["", *_numbers(found.items, first_seed), _age(found.items, now)]
    others = [name for name in found.metrics if name != found.metric]
    if others:
        lines += textwrap.wrap(f"Other metrics: {', '.join(others)}", columns, break_on_hyphens=False)
    return "\n".join(lines)


def _numbers(curves: Sequence[Curve], first_seed: int) -> list[str]:
    ends = [(one.values[-1], one.steps[-1], first_seed + one.index) for one in curves]
    if len(ends) <= NAMED_SEEDS:
        told = [f"seed {seed}: {plot.number(value)} at timestep {step:,}" for value, step, seed in ends]
    else:
        mean = sum(value for value, _, _ in ends) / len(ends)
        told = [f"{len(ends)} seeds, each at its newest point: mean {plot.number(mean)}"]
        for word, (value, step, seed) in (("lowest", min(ends)), ("highest", max(ends))):
            told.append(f"{word}: {plot.number(value)} at timestep {step:,}, seed {seed}")
    last = max(step for _, step, _ in ends)
    if behind := sum(step < last for _, step, _ in ends):
        told.append(
            f"The mean at a timestep is of the seeds that reach it; {behind} of {len(ends)} have not reached {last:,}."
        )
    return told


def _age(curves: Sequence[Curve], now: datetime) -> str:
    age = max(now - max(one.at[-1] for one in curves), timedelta(0))
    return f"The newest point came {format_duration(timedelta(seconds=round(age.total_seconds())))} ago."
