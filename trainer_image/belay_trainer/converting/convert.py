"""From a pickle to a Parquet file that has passed the ordinary checks, or to no file."""

import io
from pathlib import Path

import numpy as np

from belay_trainer import datasets, files
from belay_trainer.converting import layouts, pickles
from belay_trainer.datasets import Dataset
from belay_trainer.datasets.arrow import COMPRESSION, following, rows
from belay_trainer.errors import BadConfiguration

SUFFIX = ".parquet"


def convert(path: Path, out: Path, *, dones: str | None) -> tuple[Dataset, list[str]]:
    """Write the episodes of a pickle to `out`; return them as they are read from there, and what to know of them.

    Args:
        dones: See `layouts.episodes_of`.
    Raises: BadConfiguration; then nothing is left behind.
    """
    if out.suffix != SUFFIX:
        raise BadConfiguration(f"--out is {out}, wanted a name that ends in {SUFFIX}.")
    if out.exists():
        raise BadConfiguration(f"--out {out} is there already: name another file, or remove it.")
    found = layouts.episodes_of(pickles.read(path), dones=dones, source=str(path))
    try:
        files.write_atomically(out, as_parquet(found))
    except OSError as error:
        raise BadConfiguration(f"--out {out}: {error}. Name a file that can be written.") from error
    try:
        dataset, notes = datasets.read(out)
    except BadConfiguration:
        out.unlink()
        raise
    return dataset, [*found.notes, *notes]


def as_parquet(dataset: Dataset) -> bytes:
    """Return a file in the columns of `docs/reference/dataset.md`."""
    from arro3.core import Array, DataType, Table  # noqa: PLC0415  only where a file is written
    from arro3.io import write_parquet  # noqa: PLC0415

    last = np.zeros(dataset.timesteps, dtype=bool)
    last[dataset.starts[1:] - 1] = True
    terminated = np.repeat(dataset.terminated, dataset.lengths)
    columns = {
        "episode": Array([dataset.ids[episode] for episode in dataset.episode_of], DataType.utf8()),
        "step": Array.from_numpy(dataset.step_of),
        "observation": rows(dataset.observations),
        "action": rows(dataset.actions),
        "reward": Array.from_numpy(dataset.rewards),
        "terminated": Array.from_numpy(last & terminated),
        "truncated": Array.from_numpy(last & ~terminated),
    }
    if dataset.propensities is not None:
        columns["propensity"] = Array.from_numpy(dataset.propensities.reshape(dataset.timesteps).astype(np.float64))
    if dataset.last_observations is not None:
        columns["next_observation"] = following(dataset.last_observations, dataset.lengths)
    written = io.BytesIO()
    write_parquet(Table.from_arrays(list(columns.values()), names=list(columns)), written, compression=COMPRESSION)
    return written.getvalue()
