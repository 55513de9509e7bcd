"""Columns of a dataset as Arrow has them, for whoever writes a Parquet file."""

from collections.abc import Sequence
from typing import Any

import numpy as np

COMPRESSION = "zstd(3)"


def rows(values: np.ndarray) -> Any:
    """Return a column of numbers, or of lists of numbers, row-major."""
    from arro3.core import Array, fixed_size_list_array  # noqa: PLC0415

    if values.ndim == 1:
        return Array.from_numpy(values)
    flat = np.ascontiguousarray(values.reshape(len(values), -1))
    return fixed_size_list_array(Array.from_numpy(flat.ravel()), flat.shape[1])


def following(last: np.ndarray, lengths: Sequence[int]) -> Any:
    """Return `next_observation`: in the last row of each episode, null elsewhere. Args: last: (episodes, *shape)."""
    from arro3.core import Array, list_array  # noqa: PLC0415

    if last.ndim == 1:  # `observation` is one number then, and no list of one
        numbers = zip(last.tolist(), lengths, strict=True)
        column = [row for number, length in numbers for row in [*[None] * (length - 1), number]]
        return Array(column, Array.from_numpy(last).type)
    known = np.zeros(sum(lengths), dtype=bool)
    known[np.cumsum(lengths) - 1] = True
    offsets = np.concatenate([[0], np.cumsum(known) * last[0].size]).astype(np.int32)
    return list_array(
        Array.from_numpy(offsets), Array.from_numpy(np.ascontiguousarray(last.ravel())), mask=Array.from_numpy(~known)
    )
