"""A number that the status of each object of a kind says, for whoever watches; how it gets there: `statuses.py`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Status = Mapping[str, Any]
"""As the API server has it."""
Sample = tuple[tuple[str, ...], float]
"""The values of a gauge's own labels, and the number."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric: a sample or more for each object, or none."""

    name: str
    text: str
    labels: tuple[str, ...]  # its own, beside the object's namespace and name
    samples: Callable[[Status], Iterable[Sample]]  # pure
