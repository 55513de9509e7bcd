"""The clock of a training: how much of `budget.deadline` is used up."""

from belay_api.model import StatusModel
from belay_api.units import Duration, Instant, duration_default


class ClockStatus(StatusModel):
    """How long the job's pods were allowed to run: search and seeds together, waiting for a node included, pauses not.
    `budget.deadline` is held against it."""

    used: Duration = duration_default("0s")
    """How long, until `since`."""
    since: Instant | None = None
    """From when on more is used; absent: the clock stands still: the job is suspended, over, or between two Jobs."""
