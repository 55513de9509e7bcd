"""A training's metrics by timestep, told to whoever keeps them: at most a thousand rows, and every evaluation.

Which timesteps have a row follows from the budget alone, so a run that was cut and taken up again has the rows of one
that was not: what a lost life told beyond its last checkpoint is void, and told again.
"""

import time
from collections.abc import Mapping, Sequence

from belay_trainer.trackers.tracker import Tracker

CLOSE_S = 20.0  # for what trackers have not been told at the end of a training
ROWS = 1000  # of updates; a picture has no more pixels, and each costs about a tenth of a millisecond


class History:
    """One life of one seed; without trackers nothing is kept."""

    def __init__(self, trackers: Sequence[Tracker] = (), *, budget: int = 1) -> None:
        """Args: budget: Timesteps of the whole training."""
        self._trackers = trackers
        self._every = max(1, budget // ROWS)
        self._next = self._every

    def begin(self, step: int) -> None:
        """Take up at a timestep; 0: from the beginning."""
        self._next = self._after(step)
        for tracker in self._trackers:
            tracker.begin(step)

    def due(self, step: int) -> bool:
        """Return whether an update that ended at a timestep is to have a row."""
        return bool(self._trackers) and step >= self._next

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell the metrics after an update."""
        self._next = self._after(step)
        self._tell(step, metrics)

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell how an evaluation went."""
        self._tell(step, metrics)

    def close(self, patience_s: float = CLOSE_S) -> None:
        """Write what is left. Args: patience_s: How long all trackers may take together."""
        until = time.monotonic() + patience_s
        for tracker in self._trackers:
            tracker.close(max(0.0, until - time.monotonic()))

    def _tell(self, step: int, metrics: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.record(step, metrics)

    def _after(self, step: int) -> int:
        return (step // self._every + 1) * self._every
