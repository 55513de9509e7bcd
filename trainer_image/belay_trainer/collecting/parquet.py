"""Episodes as Parquet, in the columns of `docs/reference/dataset.md`; costs stand beside, one column for each."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from belay_trainer.collecting.play import Episode, Log
from belay_trainer.datasets.arrow import COMPRESSION, following, rows
from belay_trainer.datasets.columns import COST
from belay_trainer.datasets.parquet import readable
from belay_trainer.errors import BadConfiguration
from belay_trainer.files import sync

SUFFIX = ".parquet"
SAID = "belay.collection"
"""Key in the file's metadata under which stands what was collected."""


def as_parquet(episodes: Sequence[Episode], log: Log) -> bytes:
    """Return a file."""
    from arro3.core import Array, DataType, Table  # noqa: PLC0415  only where a file is written
    from arro3.io import write_parquet  # noqa: PLC0415

    lengths = [one.length for one in episodes]

    def text(values: list[str]) -> Any:
        return Array(
            [value for value, length in zip(values, lengths, strict=True) for _ in range(length)], DataType.utf8()
        )

    last = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    terminated = np.repeat([one.terminated for one in episodes], lengths)
    columns = {
        "episode": text([f"{one.number:08d}" for one in episodes]),
        "step": Array.from_numpy(np.concatenate([np.arange(length) for length in lengths])),
        "observation": rows(np.concatenate([one.observations[:-1] for one in episodes])),
        "action": rows(np.concatenate([one.actions for one in episodes])),
        "reward": Array.from_numpy(np.concatenate([one.rewards for one in episodes])),
        "terminated": Array.from_numpy(last & terminated),
        "truncated": Array.from_numpy(last & ~terminated),
        "propensity": Array.from_numpy(np.concatenate([one.propensities for one in episodes])),
        "next_observation": following(np.stack([one.observations[-1] for one in episodes]), lengths),
        "policy": text([one.policy for one in episodes]),
        "seed": Array.from_numpy(np.repeat([one.seed for one in episodes], lengths)),
    }
    for place, name in enumerate(log.constraints):
        columns[f"{COST}{name}"] = Array.from_numpy(np.concatenate([one.costs[:, place] for one in episodes]).copy())
    table = Table.from_arrays(list(columns.values()), names=list(columns), metadata={SAID: log.said})
    written = io.BytesIO()
    write_parquet(table, written, compression=COMPRESSION)
    return written.getvalue()


def said(path: Path) -> str | None:
    """Return what a file says was collected; None: nothing, it is of somebody else."""
    from arro3.io import read_parquet  # noqa: PLC0415

    try:
        with readable(path):
            found: bytes | None = read_parquet(path).schema.metadata.get(SAID.encode())
    except BadConfiguration:
        return None
    return None if found is None else found.decode()


def join(parts: Sequence[Path], path: Path, log: Log) -> None:
    """Write the rows of all parts into one file, that is whole or absent. What it says of itself they say as well."""
    from arro3.core import RecordBatchReader  # noqa: PLC0415
    from arro3.io import read_parquet, write_parquet  # noqa: PLC0415

    def batches() -> Iterator[Any]:
        for part in parts:
            yield from read_parquet(part).read_all().to_batches()

    temporary = path.with_name(f".{path.name}.tmp")
    reader = RecordBatchReader.from_batches(read_parquet(parts[0]).schema, batches())
    write_parquet(reader, temporary, compression=COMPRESSION)
    sync(temporary)
    temporary.rename(path)
    sync(path.parent)
