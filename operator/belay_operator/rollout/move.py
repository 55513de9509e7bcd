"""One change of the recorded status, with what is worth telling about it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from belay_api.conditions import Condition, set_condition
from belay_api.reasons import EventReason, RolloutReason
from belay_api.rollout.status import RLRolloutStatus
from belay_operator.engine.plan import Note
from belay_operator.rollout.observed import Observed
from belay_operator.rollout.wait import Wait


@dataclass(frozen=True, slots=True)
class Move:
    """The next recorded status; everything else follows from it."""

    status: RLRolloutStatus
    events: tuple[Note, ...] = ()


Act = Callable[[Observed, datetime], Move | None]
"""What a situation does: a move when something is due, else None."""

Explain = Callable[[Observed, datetime], Wait | None]
"""What a situation tells: what the rollout waits for because of it; None: the rollout is not in it."""


def changed(status: RLRolloutStatus, **fields: Any) -> RLRolloutStatus:
    """Return the status with some fields replaced."""
    return status.model_copy(update=fields)


def note(reason: EventReason, message: str, *, warning: bool = False) -> Note:
    """Return an event of the closed list."""
    return Note(reason=str(reason), message=message, warning=warning)


def raised(observed: Observed, kind: str, reason: RolloutReason, message: str, now: datetime) -> list[Condition]:
    """Return the conditions with one of that kind that holds: an alarm, beside what the rollout waits for."""
    return set_condition(
        observed.status.conditions,
        kind,
        True,
        reason=reason,
        message=message,
        generation=observed.owner.generation,
        now=now,
    )


def instant(now: datetime) -> datetime:
    """Return `now` as status stores it, to the millisecond: what is compared later must survive the writing."""
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
