"""What this process waits for, for whoever tells it to people.

Waiting is right where nothing may be lost: a store comes back. But a log that nobody reads is no word of it, so
heartbeats carry what stands here (`heartbeat.py`), and the RLTrainingJob says it.
"""

import threading
import time
from dataclasses import dataclass

HANGS_S = 60.0  # a large checkpoint on its way to a slow store is no news; a volume that hangs raises no error, ever
LONGEST_WORDS = 1000  # characters


@dataclass(slots=True)
class _Wait:
    since: float
    what: str  # a sentence without its end, such as `checkpoints wait for the store`
    why: str | None = None  # None: nothing went wrong yet


class Waits:
    """Everything that is waited for now; any thread may ask and tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits: dict[str, _Wait] = {}  # by what is to be done: it waits for one thing at a time

    @property
    def words(self) -> str | None:
        """What is waited for and why, the longest wait first; None: nothing."""
        now = time.monotonic()
        with self._lock:
            told = [said for wait in self._waits.values() if (said := _said(wait, now)) is not None]
        return "; ".join(told)[:LONGEST_WORDS] or None

    def begin(self, task: str, what: str) -> None:
        """Note that the store is asked: it is told once the answer takes HANGS_S. What is waited for already stays."""
        with self._lock:
            self._waits.setdefault(task, _Wait(time.monotonic(), what))

    def tell(self, task: str, what: str, why: object) -> None:
        """Note why there is none. The first reason stays: the next one would differ by the name of a file alone."""
        with self._lock:
            wait = self._waits.setdefault(task, _Wait(time.monotonic(), what))
            if wait.what != what or wait.why is None:
                wait.what, wait.why = what, " ".join(str(why).split()).rstrip(".")

    def end(self, task: str) -> None:
        """Note that nothing is waited for any more."""
        with self._lock:
            self._waits.pop(task, None)


def _said(wait: _Wait, now: float) -> str | None:
    if wait.why is not None:
        return f"{wait.what}: {wait.why}"
    return f"{wait.what}, which has not answered for over {HANGS_S:.0f} s" if now - wait.since >= HANGS_S else None
