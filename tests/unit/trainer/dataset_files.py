"""Logged episodes as files: written here as other programs write them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from arro3.core import Array, DataType, Table, fixed_size_list_array, list_array
from arro3.io import write_parquet

from belay_trainer.datasets.dataset import Dataset


def columns(**other: Any) -> dict[str, Any]:
    """Two episodes, of three timesteps and of two; None leaves a column out."""
    found = {
        "episode": ["a", "a", "a", "b", "b"],
        "step": np.array([0, 1, 2, 0, 1]),
        "observation": np.arange(10.0).reshape(5, 2),
        "action": np.array([0, 1, 0, 1, 1]),
        "reward": np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        "terminated": np.array([False, False, True, False, False]),
        "truncated": np.array([False, False, False, False, True]),
        "propensity": np.array([0.5, 0.25, 0.5, 1.0, 0.75]),
    }
    return {name: value for name, value in (found | other).items() if value is not None}


def arrow(value: Any) -> Array:
    """Lists of text, arrays of numbers, rows of numbers, or what is Arrow already."""
    if isinstance(value, list):
        return Array(value, DataType.utf8())
    if isinstance(value, np.ndarray):
        if value.ndim == 2:
            return fixed_size_list_array(Array.from_numpy(value.ravel()), value.shape[1])
        return Array.from_numpy(value)
    return value


def lists(*rows: list[float]) -> Array:
    """Lists of any length."""
    ends = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int32)
    return list_array(Array.from_numpy(ends), Array.from_numpy(np.concatenate([np.array(row, float) for row in rows])))


def parquet(path: Path, found: dict[str, Any]) -> Path:
    """Write columns."""
    write_parquet(Table.from_arrays([arrow(value) for value in found.values()], names=list(found)), path)
    return path


def dataset_columns(dataset: Dataset) -> dict[str, Any]:
    """A dataset as a program that logs would write it."""
    last = np.zeros(dataset.timesteps, dtype=bool)
    last[dataset.starts[1:] - 1] = True
    ends = np.repeat(dataset.terminated, dataset.lengths)
    return {
        "episode": [dataset.ids[episode] for episode in dataset.episode_of],
        "step": dataset.step_of,
        "observation": dataset.observations.reshape(dataset.timesteps, -1),
        "action": dataset.actions,
        "reward": dataset.rewards,
        "terminated": last & ends,
        "truncated": last & ~ends,
        "propensity": dataset.propensities,
    }


def minari(path: Path, **changed: Any) -> Path:
    """Write Minari's layout: episode 0 of three timesteps that terminated, episode 1 of two that was truncated.

    Args:
        changed: By field, of episode 1; None leaves it out. `info` writes infos/propensity in place of propensities.
    """
    first = {
        "observations": np.arange(8.0).reshape(4, 2),
        "actions": np.array([0, 1, 0]),
        "rewards": np.array([1.0, 2.0, 3.0]),
        "terminations": np.array([False, False, True]),
        "truncations": np.array([False, False, False]),
        "propensities": np.array([0.5, 0.25, 0.5]),
    }
    second = {
        "observations": np.arange(6.0).reshape(3, 2) + 6,
        "actions": np.array([1, 1]),
        "rewards": np.array([4.0, 5.0]),
        "terminations": np.array([False, False]),
        "truncations": np.array([False, True]),
        "propensities": np.array([1.0, 0.75]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for number, fields in enumerate((first, second | changed)):
            group = file.create_group(f"episode_{number}")
            for name, value in fields.items():
                if value is not None:
                    group[name] = value
    return path
