"""The pod was asked to go: one flag, set by the signal, asked wherever the trainer may stop or waits.

Since it is asked in every phase and before every timestep, it also knows when the trainer was last seen at work; and
since whoever waits has it at hand, what is waited for stands beside it.
"""

import os
import signal
import threading
import time
from types import FrameType

from belay_trainer.waits import Waits

_LOOK_S = 0.2  # a signal does not cut a sleep short, so long waits are slept in parts


class Stop:
    """Whether SIGTERM or SIGINT came. A plain flag: a handler must not take a lock that its victim may hold."""

    def __init__(self) -> None:
        self.last_looked = time.monotonic()
        self.waits = Waits()
        self._asked = False

    @property
    def asked(self) -> bool:
        """Whether the signal came."""
        self.look()
        return self._asked

    def look(self) -> None:
        """Show that the trainer is at work, where it cannot go whether asked or not."""
        self.last_looked = time.monotonic()

    def listen(self) -> None:
        """Take the signals from now on."""
        signal.signal(signal.SIGTERM, self._take)
        signal.signal(signal.SIGINT, self._take)

    def follow(self, pipe: int) -> None:
        """Take the end of a pipe (its descriptor) as a signal: whoever held its other end is gone."""
        threading.Thread(target=self._read_to_end, args=(pipe,), name="parent", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Sleep, at most until asked to go; return whether that is so."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
        return self.asked

    def _read_to_end(self, pipe: int) -> None:
        while os.read(pipe, 1024):  # no file object: its lock would be held while the interpreter ends
            pass
        self._asked = True

    def _take(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked = True
