"""The one way to wait for somebody who does not answer: with patience, aloud, and until this pod has to go."""

import logging
from collections.abc import Callable
from typing import TypeVar

from belay_trainer.errors import Interrupted, TrainerError
from belay_trainer.stop import Stop

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0  # between two questions; doubled from one to the next

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


def until_answered(
    ask: Callable[[], Answer],
    *,
    what: str,
    away: type[TrainerError],
    stop: Stop,
    patience_s: float = float("inf"),
    first_wait_s: float | None = None,
    longest_wait_s: float = LONGEST_WAIT_S,
    hangs: bool = False,
) -> Answer:
    """Return what `ask` returns, asking again while it raises `away`.

    Args:
        what: Is said of it, as a sentence without its end: `the artifact waits for the store`.
        patience_s: Once the waits together are longer, `away` is raised.
        first_wait_s: None: FIRST_WAIT_S.
        hangs: The answer may never come, without an error; False: it may take its time.
    Raises: that; Interrupted when asked to stop meanwhile; whatever else `ask` does.
    """
    wait, left = FIRST_WAIT_S if first_wait_s is None else first_wait_s, patience_s
    if hangs:
        stop.waits.begin(what, what)
    try:
        while True:
            try:
                return ask()
            except away as error:
                if left <= 0:
                    raise
                stop.waits.tell(what, what, error)
                wait = min(wait, left)
                log.warning("%s, asked again in %.0f s: %s", what, wait, error)
                if stop.wait(wait):
                    raise Interrupted(f"asked to stop while {what}: {error}") from error
                left -= wait
                wait = min(2 * wait, longest_wait_s)
    finally:
        stop.waits.end(what)
