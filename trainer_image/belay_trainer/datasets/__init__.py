"""Logged episodes from files: one reader per format, one form in memory, checked before anybody uses them.

A new source is a file beside this one and a line in READERS. What a Parquet or HDF5 file has to look like is a
contract: `docs/reference/dataset.md`.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from belay_api.artifact import file_sha256
from belay_api.words import nearest
from belay_trainer.datasets import hdf5, minari, parquet
from belay_trainer.datasets.check import check
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

__all__ = ["READERS", "Dataset", "read", "sha256_of"]

READERS: dict[str, Callable[[Path], Dataset]] = {
    ".parquet": parquet.read,
    ".hdf5": hdf5.read,
    ".h5": hdf5.read,
}
"""By the file's suffix. A folder is taken for a dataset of Minari."""


def read(path: Path) -> tuple[Dataset, list[str]]:
    """Return the checked dataset in a file, or in a folder of Minari's, and what its reader should know of it.

    Returns: The dataset, and a sentence for each thing that is no error: outliers, copies, what was left out.
    Raises: BadConfiguration, naming the column and the nearest known name.
    """
    if not path.exists():
        raise BadConfiguration(f"dataset {path}: {_absent(path)}")
    if path.is_file() and path.suffix not in READERS:
        raise BadConfiguration(f"dataset {path}: its suffix is {path.suffix!r}, wanted one of {', '.join(READERS)}.")
    dataset = minari.read(path) if path.is_dir() else READERS[path.suffix](path)
    return dataset, [*dataset.notes, *check(dataset, name=str(path))]


def sha256_of(path: Path) -> str:
    """Return hex of the file, or of the names and digests of all files in a folder."""
    if path.is_file():
        return file_sha256(path)
    digest = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        digest.update(f"{file.relative_to(path)} {file_sha256(file)}\n".encode())
    return digest.hexdigest()


def _absent(path: Path) -> str:
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, beside)
    return f"there is no such file; beside it lies {close!r}." if close else "there is no such file."
