"""What a rollout is waiting for: the reason and the words of its Ready condition."""

from dataclasses import dataclass
from datetime import timedelta

from belay_api.reasons import RolloutReason


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing waited for."""

    reason: RolloutReason
    message: str  # without running numbers: it changes only when the situation does
    requeue_after: timedelta | None = None  # when waiting for time; None: an event will tell
    stalled: bool = False  # waiting for people, not for the world
