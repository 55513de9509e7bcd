"""Patience with who has what a pod needs before it begins: he may be back in a minute, and its end costs a retry."""

from collections.abc import Callable
from typing import TypeVar

from belay_trainer.errors import Unreachable
from belay_trainer.patience import until_answered
from belay_trainer.stop import Stop

PATIENCE_S = 600.0  # in one pod; the next one begins anew
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 60.0

Result = TypeVar("Result")


def until_reached(
    action: Callable[[], Result],
    *,
    what: str,
    stop: Stop,
    patience_s: float = PATIENCE_S,
    first_wait_s: float = FIRST_WAIT_S,
) -> Result:
    """Return what `action` returns, trying again while it raises Unreachable.

    Args:
        what: As in `until_answered`.
    Raises: Unreachable once the waits together are longer than `patience_s`; Interrupted; whatever else `action` does.
    """
    return until_answered(
        action,
        what=what,
        away=Unreachable,
        stop=stop,
        patience_s=patience_s,
        first_wait_s=first_wait_s,
        longest_wait_s=LONGEST_WAIT_S,
    )
