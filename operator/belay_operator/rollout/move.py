"""One change of the recorded status, with what is worth telling about it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout import RLRolloutStatus
from belay_operator.engine.plan import Note
from belay_operator.rollout.observed import Observed


@dataclass(frozen=True, slots=True)
class Move:
    """The next recorded status; everything else follows from it."""

    status: RLRolloutStatus
    events: tuple[Note, ...] = ()


Decider = Callable[[Observed, datetime], Move | None]
"""One link of the chain: a move when something is due, else None."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a rollout is waiting for."""

    reason: RolloutReason
    message: str  # without running numbers: it changes only when the situation does
    requeue_after: timedelta | None = None  # when waiting for time; None: an event will tell
    stalled: bool = False  # waiting for people, not for the world


def changed(status: RLRolloutStatus, **fields: Any) -> RLRolloutStatus:
    """Return the status with some fields replaced."""
    return status.model_copy(update=fields)


def note(reason: EventReason, message: str, *, warning: bool = False) -> Note:
    """Return an event of the closed list."""
    return Note(reason=str(reason), message=message, warning=warning)


def instant(now: datetime) -> datetime:
    """Return `now` as status stores it, to the millisecond: what is compared later must survive the writing."""
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
