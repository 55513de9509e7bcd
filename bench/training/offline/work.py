"""What each side is asked to do, and what it answers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from belay_trainer.datasets.dataset import Dataset
from belay_trainer.evaluate import Policy


@dataclass(frozen=True)
class Work:
    """One training from a log."""

    algorithm: str
    settings: dict[str, Any]  # all of them, as `spec.algorithm` has them
    updates: int
    seed: int
    task: str
    path: Path
    log: Dataset


@dataclass(frozen=True)
class Learned:
    """What came of it."""

    policy: Policy
    ms: float  # CPU of an update, of all threads


def timed(work: Work, learn: Callable[[], object]) -> float:
    """Return the CPU milliseconds of an update."""
    began = time.process_time()
    learn()
    return 1000 * (time.process_time() - began) / work.updates
