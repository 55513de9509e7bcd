"""Cleanup: what of a training that is over is removed, and when."""

from belay_api.model import Model, StatusModel
from belay_api.units import Duration, Instant


class CleanupSpec(Model):
    """When a job that is over loses what it only needed to run: its Job with pods and their logs, and its checkpoints.
    The RLTrainingJob stays, with its results, and so do artifacts, policies and curves. May change at any time."""

    after_success: Duration | None = None
    """How long after it succeeded; unset: nothing is removed."""
    after_failure: Duration | None = None
    """How long after it failed; unset: nothing is removed."""


class CleanupStatus(StatusModel):
    """How far the cleanup is."""

    due_at: Instant
    """When it begins, or began."""
    done_at: Instant | None = None
    """When everything was removed; absent: it has not been."""
    message: str | None = None
    """Why it cannot go on, and what to do; absent: nothing is in its way."""
