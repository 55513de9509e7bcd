"""Episodes as a folder of Minari's, in HDF5: `data/main_data.hdf5` and `data/metadata.json`, without Minari.

Minari knows neither propensities nor costs. Both stand where it keeps what steps told, `infos`, as `propensity` and
`cost.NAME`, with a first row for the reset; who played is an attribute of the episode.

Layout: Farama Foundation, Minari 0.5.4, `minari/dataset/minari_storage.py`, `_storages/hdf5_storage.py`.
"""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from belay_trainer.collecting.play import Log
from belay_trainer.datasets import parquet
from belay_trainer.datasets.columns import COST
from belay_trainer.datasets.hdf5 import MINARI_FILE, PREFIX
from belay_trainer.files import sync

VERSION = "0.5.4"  # whose layout it is
METADATA_FILE = MINARI_FILE.with_name("metadata.json")
SAID = "belay_collection"
"""Key in the metadata under which stands what was collected."""


def said(folder: Path) -> str | None:
    """Return what a folder says was collected; None: nothing, it is of somebody else."""
    try:
        found: str | None = json.loads((folder / METADATA_FILE).read_text()).get(SAID)
    except (OSError, ValueError):
        return None
    return found


def join(parts: Sequence[Path], folder: Path, log: Log) -> None:
    """Write the episodes of all parts into one folder, that is whole or absent."""
    import h5py  # noqa: PLC0415  only where a file is written

    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    file = temporary / MINARI_FILE
    file.parent.mkdir(parents=True)
    episodes = timesteps = 0
    with h5py.File(file, "w", track_order=True) as whole:
        for part in parts:
            for fields, attributes in _episodes(part, log):
                group = whole.create_group(f"{PREFIX}{episodes}")
                group.attrs.update({"id": episodes, **attributes})
                for name, values in fields.items():
                    group.create_dataset(name, data=values, compression="gzip")
                episodes += 1
                timesteps += attributes["total_steps"]
    metadata = {
        "dataset_id": f"belay/{re.sub('[^A-Za-z0-9-]', '-', folder.name)}-v0",
        "minari_version": VERSION,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "total_episodes": episodes,
        "total_steps": timesteps,
        "dataset_size": round(file.stat().st_size / 1e6, 1),  # MB
        "observation_space": _space(log.observation),
        "action_space": _space(log.action),
        SAID: log.said,
    }
    (temporary / METADATA_FILE).write_text(json.dumps(metadata, indent=1) + "\n")
    for written in (file, temporary / METADATA_FILE):
        sync(written)
    temporary.rename(folder)
    sync(folder.parent)


def _episodes(part: Path, log: Log) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Yield the fields and the attributes of each episode of a part."""
    from arro3.io import read_parquet  # noqa: PLC0415

    found, table = parquet.read(part), read_parquet(part).read_all()
    policies, seeds = (table[name].combine_chunks().to_pylist() for name in ("policy", "seed"))
    costs = {f"{COST}{name}": np.asarray(table[f"{COST}{name}"].combine_chunks()) for name in log.constraints}
    following, _ = found.follows()
    for episode in range(found.episodes):
        rows = slice(found.starts[episode], found.starts[episode + 1])
        length = int(found.lengths[episode])
        ends = np.arange(length) == length - 1
        observations = np.concatenate([found.observations[rows], following[episode : episode + 1]])
        told = {"propensity": found.propensities} | costs
        fields = {
            "observations": observations.reshape(length + 1, *(log.observation.shape or ())),
            "actions": found.actions[rows].reshape(length, *(log.action.shape or ())),
            "rewards": found.rewards[rows],
            "terminations": ends & found.terminated[episode],
            "truncations": ends & ~found.terminated[episode],
        }
        # The reset took no action and cost nothing.
        fields |= {f"infos/{name}": np.append(0.0, values[rows]) for name, values in told.items()}
        attributes = {"total_steps": length, "seed": int(seeds[rows.start]), "policy": policies[rows.start]}
        yield fields, attributes


def _space(space: spaces.Space[Any]) -> str:
    """Return a space as Minari writes it, for those that can be served."""
    if isinstance(space, spaces.Discrete):
        return json.dumps({"type": "Discrete", "dtype": "int64", "start": int(space.start), "n": int(space.n)})
    if isinstance(space, spaces.Box):
        ends = {"low": space.low.tolist(), "high": space.high.tolist()}
        return json.dumps({"type": "Box", "dtype": str(space.dtype), "shape": list(space.shape), **ends})
    raise ValueError(f"{space} has no form in Minari's files here: wanted Box or Discrete")
