"""Curves for TensorBoard, as event files.

tensorboardX writes them: torch's own writer needs TensorBoard with its servers and gRPC, 53 MB against 0.7.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tensorboardX import SummaryWriter

FLUSH_S = 2  # who looks sees so old points at most, and so many are lost with a killed process


class TensorBoard:
    """See `trackers.tracker.Tracker`. Each life writes a file of its own; together they are one curve."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def begin(self, step: int) -> None:
        """Begin a file. TensorBoard hides what earlier ones have beyond the timestep."""
        if step == 0:
            for old in self._folder.glob("events.out.tfevents.*"):
                old.unlink()
        self._close()
        self._writer = SummaryWriter(
            str(self._folder),
            purge_step=step + 1 if step else None,
            flush_secs=FLUSH_S,
            filename_suffix=f".{step}",
        )

    def record(self, step: int, metrics: Mapping[str, float], at: datetime | None = None) -> None:
        """Add points. Args: at: When they were told; None: now."""
        if self._writer is None:
            raise RuntimeError("record() before begin(): there is no file yet")
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step, walltime=None if at is None else at.timestamp())

    def close(self, patience_s: float) -> None:
        """Write what waits in the writer's thread."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
