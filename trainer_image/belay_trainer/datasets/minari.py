"""A folder of Minari's: the HDF5 file of `hdf5.py`, and beside it what the dataset says of itself.

    data/metadata.json      data_format, action_space, ...      since Minari 0.5; earlier ones have none
    data/main_data.hdf5     the episodes

Belay reads both itself. The package would bring a command line, and readers for formats that need pyarrow; what it does
with HDF5 stands in `hdf5.py`.

Layout: Farama Foundation, Minari 0.5.4, `minari_storage.py` and `serialization.py`.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from belay_api.spaces import BoxSpace, DiscreteSpace, Space
from belay_trainer.datasets import hdf5
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

METADATA_FILE = Path("data/metadata.json")
FORMAT = "hdf5"


def read(folder: Path) -> Dataset:
    """Return the dataset in a folder. Raises: BadConfiguration."""
    metadata = _metadata(folder)
    found = metadata.get("data_format", FORMAT)
    if found != FORMAT:
        raise BadConfiguration(
            f"dataset {folder}: {METADATA_FILE} says that its format is {found!r}, wanted {FORMAT!r}: make it with "
            f"data_format={FORMAT!r}, or write its episodes as Parquet."
        )
    file = folder / hdf5.MINARI_FILE
    if not file.is_file():
        raise BadConfiguration(
            f"dataset {folder}: there is no {hdf5.MINARI_FILE} in this folder: name a file, or the folder of a Minari "
            "dataset in HDF5."
        )
    return replace(hdf5.read(file), action=_space(metadata.get("action_space")))


def _metadata(folder: Path) -> dict[str, Any]:
    file = folder / METADATA_FILE
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise BadConfiguration(f"dataset {folder}: {METADATA_FILE} is no JSON: {error}.") from error
    return found if isinstance(found, dict) else {}


def _space(said: Any) -> Space | None:
    """The space that was written down; None: none, or one that a policy of ours cannot act in."""
    found = json.loads(said) if isinstance(said, str) else said
    if not isinstance(found, dict):
        return None
    if found.get("type") == "Discrete":
        return DiscreteSpace(n=found["n"], start=found.get("start", 0))
    if found.get("type") == "Box":
        low, high = (_bounds(found[end]) for end in ("low", "high"))
        return BoxSpace(shape=found["shape"], dtype=found["dtype"], low=low, high=high)
    return None


def _bounds(values: Any) -> list[float | None]:
    """Flat, as they stand row-major in lists of lists; None: unbounded."""
    if isinstance(values, list):
        return [bound for value in values for bound in _bounds(value)]
    return [float(values) if math.isfinite(values) else None]
