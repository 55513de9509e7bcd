"""How metrics went over the seeds of a training: one line with a band, and a picture of several.

A band says what it is. With few seeds nothing is estimated from them: it reaches from the lowest to the highest.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from belay_api.summary import FEWEST_SEEDS, interquartile_mean, interval
from belay_trainer import files
from belay_trainer.metrics import METRICS
from belay_trainer.trackers.json_lines import Row

POINTS = 100  # timesteps at most at which an interval is worked out: each is a bootstrap of 20 ms
_COLUMNS = 3  # of the small pictures
_LARGE, _SMALL = 3.6, 2.2  # inches high
_FIRST = "return"

Series = tuple[Sequence[int], Sequence[float]]
"""Timesteps, ascending, and a value at each: one metric of one seed."""


@dataclass(frozen=True, slots=True)
class Band:
    """One metric over the seeds; all lists are equally long."""

    steps: list[int]
    middle: list[float]
    low: list[float]  # not a number: too few seeds are there
    high: list[float]
    title: str  # what middle and band are


def band(series: Sequence[Series], *, estimate: bool) -> Band:
    """Return how a metric went over the seeds, at the timesteps that any of them told.

    Between two timesteps of its own a seed is on the straight line; before its first and beyond its last it is not
    there, and the others are shown without it.

    Args:
        series: One per seed; none is empty.
        estimate: Where at least five seeds are there, show the interquartile mean and its 95 % interval, as
            `belay_api.summary` has them; else the mean, and a band from the lowest to the highest.
    Raises: ValueError without a seed.
    """
    if not series:
        raise ValueError("a band of no seeds is undefined: pass at least one")
    steps = np.unique(np.concatenate([np.asarray(told) for told, _ in series]))
    estimated = estimate and len(series) >= FEWEST_SEEDS
    if estimated and len(steps) > POINTS:
        steps = steps[np.unique(np.linspace(0, len(steps) - 1, POINTS).round().astype(int))]
    values = np.array([np.interp(steps, told, one, left=np.nan, right=np.nan) for told, one in series])
    columns = [column[~np.isnan(column)].tolist() for column in values.T]
    spans = [_interval(column) if estimated else (min(column), max(column)) for column in columns]
    return Band(
        steps.tolist(),
        middle=[interquartile_mean(column) if estimated else sum(column) / len(column) for column in columns],
        low=[low for low, _ in spans],
        high=[high for _, high in spans],
        title=_title(len(series), estimated=estimated),
    )


def series_of(seeds: Mapping[int, Sequence[Row]], metric: str) -> list[Series]:
    """Return how a metric went in each seed that told it, by seed."""
    found = []
    for seed in sorted(seeds):
        values = {row.step: row.metrics[metric] for row in seeds[seed] if metric in row.metrics}
        if values:
            found.append((list(values), list(values.values())))
    return found


def draw(seeds: Mapping[int, Sequence[Row]], path: Path, *, title: str, random: float | None) -> None:
    """Write a PNG of the return, large, and of every other metric, small.

    Args:
        seeds: Rows by seed, of at least one evaluation.
        random: What random actions return, to compare; None: not known.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second, and only who draws needs it

    others = [name for name in _metrics(seeds) if name != _FIRST]
    rows = -(-len(others) // _COLUMNS)
    figure = Figure(figsize=(10, _LARGE + rows * _SMALL), layout="constrained")
    grid = figure.add_gridspec(1 + rows, _COLUMNS, height_ratios=[_LARGE, *[_SMALL] * rows])
    large = figure.add_subplot(grid[0, :])
    found = _plot(large, series_of(seeds, _FIRST), each=True)
    if random is not None:
        large.axhline(random, linestyle=":", color="grey", label="random actions")
    large.set_title(f"{title}: {found.title}", loc="left", fontsize=10)
    large.set_ylabel("return of greedy episodes")
    large.set_xlabel("timestep")
    large.legend(fontsize=8)
    for place, name in enumerate(others):
        small = figure.add_subplot(grid[1 + place // _COLUMNS, place % _COLUMNS])
        _plot(small, series_of(seeds, name), each=False)
        small.set_title(name, loc="left", fontsize=8)
        small.tick_params(labelsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    files.write_atomically(path, picture.getvalue())


def draw_side_by_side(
    policies: Mapping[str, Mapping[int, Sequence[Row]]], path: Path, *, title: str, random: float | None
) -> None:
    """Write a PNG of the returns of several trainings in one environment.

    Args:
        policies: Rows by seed, of at least one evaluation, by what the legend says.
        random: What random actions return, to compare; None: not known.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    figure = Figure(figsize=(10, _LARGE + 1), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, seeds) in enumerate(policies.items()):
        found = band(series_of(seeds, _FIRST), estimate=True)
        color = f"C{place % 10}"
        _draw_band(axes, found, color=color, alpha=0.15, label=f"{name}: {found.title}")
    if random is not None:
        axes.axhline(random, linestyle=":", color="grey", label="random actions")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel("return of greedy episodes")
    axes.set_xlabel("timestep")
    axes.legend(fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    files.write_atomically(path, picture.getvalue())


def write_table(seeds: Mapping[int, Sequence[Row]], path: Path) -> None:
    """Write all curves as one table: a line per seed and timestep, a column per metric; an empty cell: not told."""
    names = _metrics(seeds)
    text = io.StringIO()
    table = csv.DictWriter(text, ["seed", "step", *names], lineterminator="\n")
    table.writeheader()
    for seed in sorted(seeds):
        by_step: dict[int, dict[str, float]] = {}
        for row in seeds[seed]:
            by_step.setdefault(row.step, {}).update(row.metrics)
        table.writerows({"seed": seed, "step": step, **metrics} for step, metrics in by_step.items())
    files.write_atomically(path, text.getvalue().encode())


def _plot(axes: Any, series: Sequence[Series], *, each: bool) -> Band:
    from matplotlib.ticker import EngFormatter, MaxNLocator  # noqa: PLC0415 - as above

    found = band(series, estimate=each)
    if each and len(series) > 1:
        for steps, values in series:
            axes.plot(steps, values, color="C0", alpha=0.25, linewidth=0.7)
    _draw_band(axes, found, color="C0", alpha=0.2, label="the policy")
    axes.xaxis.set_major_locator(MaxNLocator(6 if each else 4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 40k: longer numbers run into each other
    return found


def _draw_band(axes: Any, found: Band, *, color: str, alpha: float, label: str) -> None:
    lone = len(found.steps) == 1  # of which neither a line nor a band is seen
    axes.fill_between(found.steps, found.low, found.high, color=color, alpha=alpha, linewidth=0)
    axes.plot(found.steps, found.middle, color=color, label=label, marker="o" if lone else None)
    if lone:
        axes.vlines(found.steps, found.low, found.high, color=color, alpha=alpha)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    return interval(tuple(values)) if len(values) >= FEWEST_SEEDS else (np.nan, np.nan)


def _title(seeds: int, *, estimated: bool) -> str:
    if estimated:
        return f"interquartile mean of {seeds} seeds, band: its 95 % interval"
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds, band: lowest to highest"


def _metrics(seeds: Mapping[int, Sequence[Row]]) -> list[str]:
    """Return the names of all that was told, in the order of the table of metrics, others behind."""
    told = {name for rows in seeds.values() for row in rows for name in row.metrics}
    known = list(dict.fromkeys(metric.name for metric in METRICS))
    return [name for name in known if name in told] + sorted(told - set(known))
