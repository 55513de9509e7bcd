"""Curves as lines of JSON: a row is whole or the last one, whenever the process ended.

{"step": 1024, "metrics": {"return": 187.3, "length": 187.3}}
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay_trainer import files


@dataclass(frozen=True, slots=True)
class Row:
    """The metrics of one timestep."""

    step: int
    metrics: dict[str, float]


class JsonLines:
    """See `trackers.tracker.Tracker`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, step: int) -> None:
        """Keep the rows up to the timestep."""
        kept = (row for row in read_rows(self._path) if row.step <= step) if step else ()
        files.write_atomically(self._path, "".join(map(_line, kept)).encode())

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a row."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(Row(step, dict(metrics))))

    def close(self, patience_s: float) -> None:
        """Nothing waits."""


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, which may be under way; a torn last one is left out. No file: no rows."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            said: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            return
        yield Row(said["step"], said["metrics"])


def _line(row: Row) -> str:
    return json.dumps({"step": row.step, "metrics": row.metrics}) + "\n"
