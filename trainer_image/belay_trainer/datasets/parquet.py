"""Parquet: one row per timestep, columns as `columns.py` names them. The logbook's export is to be the same.

Read by arro3, which is the Apache project's Rust reader with nothing around it: 34 MB where pyarrow 26 has 171. It is
imported when a file is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from belay_trainer.datasets.columns import other_columns
from belay_trainer.datasets.dataset import Dataset
from belay_trainer.errors import BadConfiguration

MAGIC = b"PAR1"  # the first and the last four bytes of every file
ROWS = 65_536  # a batch; the reader's own 1,024 are slow
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def read(path: Path) -> Dataset:
    """Return the dataset in a Parquet file; what its numbers are worth is not checked here.

    Raises: BadConfiguration, naming the column.
    """
    columns = _Columns(path)
    unknown = other_columns(columns.names, source=columns.source)
    codes, ids = columns.episodes()
    step = columns.whole("step")
    order = np.lexsort((step, codes))
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(ids)))]).astype(np.intp)
    columns.check_steps(step[order], starts, ids)
    terminated = columns.flags("terminated")[order]
    columns.check_ends(terminated | columns.flags("truncated")[order], starts, ids)

    last = starts[1:] - 1
    observations = columns.numbers("observation")
    following, known = columns.following(order[last], observations)
    times = columns.seconds()
    return Dataset(
        observations=observations[order],
        actions=columns.numbers("action")[order],
        rewards=columns.numbers("reward", single=True)[order].astype(np.float64),
        starts=starts,
        terminated=terminated[last],
        ids=ids,
        propensities=columns.numbers("propensity", single=True)[order].astype(np.float64)
        if "propensity" in columns.names
        else None,
        last_observations=following,
        last_known=known,
        times=None if times is None else times[order][starts[:-1]],
        notes=(f"Columns that are not known were left out: {', '.join(unknown)}.",) if unknown else (),
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Read a file inside. Raises: BadConfiguration when it is no Parquet file, or a torn or damaged one."""
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
            file.seek(max(0, path.stat().st_size - len(MAGIC)))
            if head != MAGIC or file.read() != MAGIC:
                raise BadConfiguration(f"dataset {path}: this is no Parquet file, or a torn one: write it again.")
        yield
    except BadConfiguration:
        raise
    except BaseException as error:
        # A file damaged inside makes the reader panic, which is no Exception: it has no other way to say so.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise BadConfiguration(f"dataset {path}: it cannot be read, write it again: {error}") from error


class _Columns:
    """The table in a file, column by column as arrays."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises: BadConfiguration when it is no Parquet file, or a torn one."""
        from arro3.io import read_parquet  # noqa: PLC0415  only where a file is read

        self.source = f"dataset {path}"
        with readable(path):
            self._table = read_parquet(path, batch_size=ROWS).read_all()
        if not self._table.num_rows:
            raise BadConfiguration(f"{self.source}: there is no row in it.")
        self.names: list[str] = self._table.column_names

    def episodes(self) -> tuple[NDArray[np.intp], tuple[str, ...]]:
        """Return (rows,) the number of each row's episode, and the episodes' ids in the order in which they appear."""
        from arro3.core import DataType  # noqa: PLC0415

        column = self._whole_column("episode")
        if not (DataType.is_integer(column.type) or DataType.is_string(column.type)
                or DataType.is_large_string(column.type) or DataType.is_dictionary(column.type)
                or DataType.is_string_view(column.type)):  # fmt: skip
            raise self._kind("episode", column, "text or a whole number")
        names = np.asarray(column.cast(DataType.utf8()))
        begins = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]])) if len(names) else np.array([], int)
        numbers: dict[str, int] = {}
        of_run = [numbers.setdefault(str(names[row]), len(numbers)) for row in begins]
        codes = np.repeat(np.array(of_run, dtype=np.intp), np.diff(np.append(begins, len(names))))
        return codes, tuple(numbers)

    def whole(self, name: str) -> NDArray[Any]:
        """Return a column of whole numbers."""
        from arro3.core import DataType  # noqa: PLC0415

        column = self._whole_column(name)
        if not DataType.is_integer(column.type):
            raise self._kind(name, column, "whole numbers")
        return np.asarray(column)

    def flags(self, name: str) -> NDArray[np.bool_]:
        """Return a column of booleans."""
        from arro3.core import DataType  # noqa: PLC0415

        column = self._whole_column(name)
        if not DataType.is_boolean(column.type):
            raise self._kind(name, column, "booleans")
        return np.asarray(column)

    def numbers(self, name: str, *, single: bool = False) -> NDArray[Any]:
        """Return a column of numbers, (rows,), or of lists of numbers of one length, (rows, length)."""
        from arro3.core import DataType, list_flatten, list_offsets  # noqa: PLC0415

        column = self._whole_column(name)
        kind = column.type
        wanted = "numbers" if single else "numbers, or flat lists of numbers of one length"
        if DataType.is_numeric(kind):
            return np.asarray(column)
        lists = DataType.is_list(kind) or DataType.is_large_list(kind) or DataType.is_fixed_size_list(kind)
        if single or not lists or not DataType.is_numeric(kind.value_type):
            raise self._kind(name, column, wanted)
        flat = list_flatten(column)
        if flat.null_count:
            raise self._null(name, flat.null_count)
        values = np.asarray(flat)
        if DataType.is_fixed_size_list(kind):
            return values.reshape(len(column), kind.list_size)
        lengths = np.diff(np.asarray(list_offsets(column)))
        if len(lengths) and (lengths != lengths[0]).any():
            odd = int(np.argmax(lengths != lengths[0]))
            raise BadConfiguration(
                f"{self.source}: column `{name}` has {lengths[odd]} numbers in row {odd} and {lengths[0]} in row 0: "
                "wanted lists of one length."
            )
        return values.reshape(len(column), -1) if len(values) else values.reshape(len(column), 0)

    def following(
        self, rows: NDArray[np.intp], observations: NDArray[Any]
    ) -> tuple[NDArray[Any] | None, NDArray[np.bool_] | None]:
        """Return `next_observation` in these rows, and where it is known; None twice without that column."""
        from arro3.core import Array  # noqa: PLC0415

        if "next_observation" not in self.names:
            return None, None
        column = self._table["next_observation"].combine_chunks()
        found = column.take(Array.from_numpy(rows.astype(np.int64))).to_pylist()
        known = np.array([value is not None for value in found])
        values = np.zeros((len(rows), *observations.shape[1:]), dtype=observations.dtype)
        for row in np.flatnonzero(known):
            value = np.asarray(found[row])
            if value.shape != values.shape[1:] or value.dtype.kind not in "iuf":
                raise BadConfiguration(
                    f"{self.source}: column `next_observation` has {value.size} numbers where `observation` has "
                    f"{values[row].size}."
                )
            values[row] = value
        return values, known

    def seconds(self) -> NDArray[np.float64] | None:
        """Return the column `time` as seconds since 1970; None: there is none."""
        from arro3.core import DataType  # noqa: PLC0415

        if "time" not in self.names:
            return None
        column = self._whole_column("time")
        if DataType.is_timestamp(column.type):
            ticks = np.asarray(column.cast(DataType.int64()))
            return ticks / PER_SECOND[column.type.time_unit]
        if not DataType.is_numeric(column.type):
            raise self._kind("time", column, "timestamps, or numbers of seconds since 1970")
        return np.asarray(column).astype(np.float64)

    def check_steps(self, step: NDArray[Any], starts: NDArray[np.intp], ids: tuple[str, ...]) -> None:
        """Check that each episode's sorted steps are 0, 1, 2, … Raises: BadConfiguration."""
        wanted = np.arange(len(step)) - np.repeat(starts[:-1], np.diff(starts))
        bad = step != wanted
        if bad.any():
            row = int(np.argmax(bad))
            episode = ids[int(np.searchsorted(starts, row, side="right")) - 1]
            twice = row > 0 and step[row] == step[row - 1] and wanted[row] > 0
            what = f"has step {step[row]} twice" if twice else f"has no step {wanted[row]}"
            raise BadConfiguration(
                f"{self.source}: column `step`: episode `{episode}` {what}. Steps count from 0 without gaps: log whole "
                "episodes, and each timestep once."
            )

    def check_ends(self, ended: NDArray[np.bool_], starts: NDArray[np.intp], ids: tuple[str, ...]) -> None:
        """Check that no episode goes on after its end. Raises: BadConfiguration."""
        early = ended.copy()
        early[starts[1:] - 1] = False
        if early.any():
            row = int(np.argmax(early))
            episode = int(np.searchsorted(starts, row, side="right")) - 1
            raise BadConfiguration(
                f"{self.source}: columns `terminated`, `truncated`: episode `{ids[episode]}` goes on after step "
                f"{row - int(starts[episode])} ended it: give each episode an id of its own."
            )

    def _whole_column(self, name: str) -> Any:
        """One array, without nulls."""
        column = self._table[name].combine_chunks()
        if column.null_count:
            raise self._null(name, column.null_count)
        return column

    def _null(self, name: str, count: int) -> BadConfiguration:
        return BadConfiguration(f"{self.source}: column `{name}` is null {count} times: wanted a value in every row.")

    def _kind(self, name: str, column: Any, wanted: str) -> BadConfiguration:
        kind = str(column.type).removeprefix("arro3.core.DataType<").removesuffix(">\n").removesuffix(">")
        return BadConfiguration(f"{self.source}: column `{name}` holds {kind}, wanted {wanted}.")
