"""Patience with what does not answer: it may be back in a minute, and a pod that ends meanwhile costs a retry."""

import logging
from collections.abc import Callable
from typing import TypeVar

from belay_trainer.errors import Interrupted, Unreachable
from belay_trainer.stop import Stop

PATIENCE_S = 600.0  # in one pod; the next one begins anew
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 60.0

Result = TypeVar("Result")
log = logging.getLogger(__name__)


def until_reached(
    action: Callable[[], Result], *, stop: Stop, patience_s: float = PATIENCE_S, first_wait_s: float = FIRST_WAIT_S
) -> Result:
    """Return what `action` returns, trying again while it raises Unreachable.

    Raises: Unreachable once the waits together are longer than `patience_s`; Interrupted; whatever else `action` does.
    """
    wait, left = first_wait_s, patience_s
    while True:
        try:
            return action()
        except Unreachable as error:
            if left <= 0:
                raise
            wait = min(wait, left)
            log.warning("%s Asking again in %.0f s.", error, wait)
            if stop.wait(wait):
                raise Interrupted("asked to stop before the training began; the next pod begins it.") from error
            left -= wait
            wait = min(2 * wait, LONGEST_WAIT_S)
