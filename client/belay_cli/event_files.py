"""`kubectl belay curve JOB --tensorboard DIR`: all curves of a training as event files, as a run on a laptop has them.

    DIR/JOB/seed-0/events.out.tfevents…

Of each metric there are as many points as the logbook keeps, so the files of a training under way are written anew by
the next call. The trainer's own writer makes them; it needs tensorboardX and nothing else of the trainer.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from belay_api.wire import Curves
from belay_cli.errors import Failed
from belay_cli.told import Told

FIRST_METRIC = "return"  # every training tells it
MOST_POINTS = 1024  # that the logbook keeps of a curve

Rows = dict[int, dict[str, tuple[float, datetime]]]
"""By timestep, of each metric its value and when the logbook heard of it."""


def write(told: Told, folder: Path) -> str:
    """Write the files and return what to print. Raises: Failed."""
    try:
        from belay_trainer.trackers.tensorboard import TensorBoard  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise Failed(f"--tensorboard needs a package ({error}): pip install '.[client,tensorboard]'") from error
    first = told.read(FIRST_METRIC, MOST_POINTS)
    rest = (told.read(metric, MOST_POINTS) for metric in first.metrics if metric != FIRST_METRIC)
    seeds = rows_by_seed([first, *rest])
    if not seeds:
        raise Failed(f"{told.name}: no seed has told of anything since it began anew; look again in a moment")
    try:
        for index, rows in seeds.items():
            writer = TensorBoard(folder / told.name / f"seed-{told.first_seed + index}")
            writer.begin(0)  # without the files of an earlier call
            for step in sorted(rows):
                for metric, (value, at) in rows[step].items():
                    writer.record(step, {metric: value}, at=at)
            writer.close(0.0)
    except OSError as error:
        raise Failed(f"--tensorboard {folder}: {error}") from error
    count = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return (
        f"{told.name}: {len(first.metrics)} metrics of {count} are in {folder / told.name}. Look at them:\n\n"
        f"tensorboard --logdir {folder}"
    )


def rows_by_seed(found: Iterable[Curves]) -> dict[int, Rows]:
    """Return the curves of every metric by index and timestep. Pure."""
    seeds: dict[int, Rows] = defaultdict(lambda: defaultdict(dict))
    for curves in found:
        for one in curves.items:
            for step, at, value in zip(one.steps, one.at, one.values, strict=True):
                seeds[one.index][step][curves.metric] = value, at
    return seeds
